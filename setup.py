"""Only what pyproject.toml cannot say: how the one extension is built.

It is made of Cython, and of the kernels in ``fastl0/_numba``, which Numba compiles for every
instruction set of this architecture. ``FASTL0_DEBUG=1`` builds the Cython part with run-time checks
and debugger symbols. ``FASTL0_KERNELS`` names a folder of kernels that are compiled already, one
object file ``<instruction set>.o`` each, as ``benches/reliability/instrumented.py`` makes them.
"""

import hashlib
import importlib.metadata
import os
import runpy
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

debug = os.environ.get("FASTL0_DEBUG", "0") not in ("", "0")
ROOT = Path(__file__).resolve().parent
HEADERS = [f"fastl0/{name}.h" for name in ("_platform", "_team", "_variants", "_vectors")]

#: Callers rely on IEEE arithmetic; and a product is fused with a sum only where it is written so.
COMPILE_ARGS = [
    "-ffp-contract=off",
    "-fvisibility=hidden",
    *(["-O1", "-g"] if debug else ["-O3", "-g0"]),
]


class BuildExt(build_ext):
    """Compiles the kernels, too, and links them into the extension."""

    def build_extension(self, ext):
        given = os.environ.get("FASTL0_KERNELS")
        paths = Path(given).absolute().glob("*.o") if given else compile_kernels()
        ext.extra_objects = [str(path) for path in paths]
        super().build_extension(ext)


def compile_kernels():
    """Object files of the kernels by instruction set; made anew where their sources changed."""
    # Not imported: fastl0/__init__.py needs no less than the installed package.
    ahead_of_time = runpy.run_path(str(ROOT / "fastl0" / "_numba" / "ahead_of_time.py"))
    build = ahead_of_time["build"]
    folder = ROOT / "build" / "kernels"
    folder.mkdir(parents=True, exist_ok=True)
    digest = digest_of_kernels()
    paths = {isa: folder / f"{isa}-{digest}.o" for isa in ahead_of_time["VARIANTS"]}
    missing = [isa for isa, path in paths.items() if not path.exists()]
    for path in folder.glob("*.o"):
        if path not in paths.values():
            path.unlink()
    try:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda isa: build(isa, paths[isa]), missing))
    except subprocess.CalledProcessError as error:
        sys.exit(
            f"fastl0: Numba {numba_version()} could not compile the kernels ({error}); what it "
            "said is above. Try the newest Numba: build with `pip install .`, which brings it "
            "along, or upgrade it where you build without isolation."
        )
    return paths.values()


def numba_version():
    try:
        return importlib.metadata.version("numba")
    except importlib.metadata.PackageNotFoundError:
        sys.exit(
            "fastl0: building it needs Numba, which is not installed here. Build with "
            "`pip install .`, which brings it along, or install it first: `pip install numba`."
        )


def digest_of_kernels():
    """Digest of all that the object files are made of."""
    package = ROOT / "fastl0"
    sources = [package / "model" / "hard_concrete.py"]
    sources += [*(package / "_numba").glob("*.py"), *(package / "kernel_api").glob("*.py")]
    digest = hashlib.sha256(f"{sys.version} {numba_version()}".encode())
    for path in sorted(sources):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


kernels = Extension(
    "fastl0._kernels",
    sources=["fastl0/_kernels.pyx"],
    depends=HEADERS,
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
