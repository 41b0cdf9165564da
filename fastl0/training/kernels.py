"""The kernels that training calls: machine code that was built with the package.

With the environment variable ``FASTL0_JIT=1`` Numba compiles them, for work on the kernels.
"""

import os

if os.environ.get("FASTL0_JIT", "0") in ("", "0"):
    from fastl0._kernels import fill_rows_, train_batches
else:
    try:
        from fastl0._numba.permutation import fill_rows_
        from fastl0._numba.train_loop import train_batches
    except ImportError as error:
        raise ImportError(
            "FASTL0_JIT=1 needs Numba, which is not installed. Install it with "
            "`pip install 'fastl0[jit]'`, or unset FASTL0_JIT to use the kernels that were built "
            "with the package."
        ) from error

__all__ = ["fill_rows_", "train_batches"]
