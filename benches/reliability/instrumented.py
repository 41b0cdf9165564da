"""The kernels as object files that AddressSanitizer or ThreadSanitizer watches.

    python benches/reliability/instrumented.py address FOLDER
    FASTL0_KERNELS=FOLDER python setup.py build_ext --inplace

LLVM inserts the checks into the very module that the package is built from: optimised code for
``address``. For ``thread`` its loops are not vectorised, because ThreadSanitizer passes over what
is wider than 16 bytes.

Needs objcopy, and the package `ziglang`, whose clang reads what Numba's LLVM writes.
"""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from fastl0._numba import ahead_of_time  # noqa: E402

SCALAR = {"NUMBA_LOOP_VECTORIZE": "0", "NUMBA_SLP_VECTORIZE": "0"}


def build_all(sanitizer, folder):
    """Write the object files of all instruction sets."""
    if sanitizer == "thread":
        os.environ.update(SCALAR)
    folder = pathlib.Path(folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    for isa in ahead_of_time.VARIANTS:
        ahead_of_time.build(isa, folder / f"{isa}.o", (__file__, sanitizer))


def build(sanitizer, isa, path):
    module, _ = ahead_of_time.compiled(isa)
    for function in module.functions:
        if not function.is_declaration:
            function.add_function_attribute(f"sanitize_{sanitizer}")
    bitcode = pathlib.Path(path).with_suffix(".bc")
    bitcode.write_bytes(module.as_bitcode())
    # As zig spells it: "x86_64+avx+avx2".
    cpu = os.environ["NUMBA_CPU_NAME"].replace("-", "_")
    cpu += os.environ["NUMBA_CPU_FEATURES"].replace(",", "")
    command = [sys.executable, "-m", "ziglang", "cc", "-c", "-O1", "-fPIC", f"-mcpu={cpu}"]
    command += [f"-fsanitize={sanitizer}", "-Wno-override-module", str(bitcode), "-o", path]
    env = os.environ | {"ZIG_GLOBAL_CACHE_DIR": str(bitcode.parent / "cache")}
    subprocess.run(command, env=env, check=True)
    # gcc's library of ThreadSanitizer watches these by their own names.
    renamed = [f"--redefine-sym=__tsan_{name}={name}" for name in ("memset", "memcpy", "memmove")]
    subprocess.run(["objcopy", *renamed, path], check=True)


if __name__ == "__main__":
    (build if len(sys.argv) == 4 else build_all)(*sys.argv[1:])
