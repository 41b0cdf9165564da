"""Only what pyproject.toml cannot say: how the one Cython extension is compiled.

``FASTL0_DEBUG=1`` builds it with Cython's run-time checks and with debugger symbols.
"""

import os

from Cython.Build import cythonize
from setuptools import Extension, setup

debug = os.environ.get("FASTL0_DEBUG", "0") not in ("", "0")

kernels = Extension(
    "fastl0._kernels",
    sources=["fastl0/_kernels.pyx"],
    depends=["fastl0/_team.h"],
    # A wheel runs on machines unlike the one that built it: no -march=native. Callers rely on
    # IEEE arithmetic, and linking with -ffast-math would change it for their whole process.
    extra_compile_args=["-O1", "-g"] if debug else ["-O3"],
)

setup(
    ext_modules=cythonize(
        [kernels],
        # A comment `# cython:` in the .pyx would win over these, so it holds none.
        compiler_directives={
            "language_level": 3,
            "embedsignature": True,
            "boundscheck": debug,
            "initializedcheck": debug,
            # With boundscheck on, a negative index is then out of bounds, not counted from the end.
            "wraparound": False,
            "cdivision": not debug,
        },
        # The C file of an earlier debug build looks up to date.
        force=True,
    ),
    options={"build_ext": {"force": True}},
)
