"""Only what pyproject.toml cannot say: how the one extension is built.

It is made of Cython, and of the kernels in ``fastl0/_numba``, which Numba compiles for every
instruction set of this architecture. ``FASTL0_DEBUG=1`` builds the Cython part with run-time checks
and debugger symbols.
"""

import os
import runpy
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

debug = os.environ.get("FASTL0_DEBUG", "0") not in ("", "0")
FOLDER = Path(__file__).parent / "fastl0"

#: Callers rely on IEEE arithmetic; and a product is fused with a sum only where it is written so.
COMPILE_ARGS = [
    "-ffp-contract=off",
    "-fvisibility=hidden",
    *(["-O1", "-g"] if debug else ["-O3", "-g0"]),
]


class BuildExt(build_ext):
    """Compiles the kernels, too, and links them into the extension."""

    def build_extension(self, ext):
        # Not imported: fastl0/__init__.py needs no less than the installed package.
        ahead_of_time = runpy.run_path(str(FOLDER / "_numba" / "ahead_of_time.py"))
        folder = Path(self.build_temp).absolute() / "fastl0_kernels"
        folder.mkdir(parents=True, exist_ok=True)
        paths = {isa: folder / f"{isa}.o" for isa in ahead_of_time["VARIANTS"]}
        print(f"compiling the kernels for {', '.join(paths)}", file=sys.stderr)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(ahead_of_time["build"], paths, paths.values()))
        ext.extra_objects = [str(path) for path in paths.values()]
        super().build_extension(ext)


kernels = Extension(
    "fastl0._kernels",
    sources=["fastl0/_kernels.pyx"],
    depends=[f"fastl0/{name}.h" for name in ("_platform", "_team", "_variants", "_vectors")],
    extra_compile_args=COMPILE_ARGS,
)

setup(
    cmdclass={"build_ext": BuildExt},
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
