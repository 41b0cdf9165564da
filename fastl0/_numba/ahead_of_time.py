"""Machine code of the kernels for one instruction set, made when the package is built.

    python -m fastl0._numba.ahead_of_time avx2 kernels_avx2.o

writes an object file with the C functions

    int32_t fastl0_<entry point>_<instruction set>(
        int64_t *result, void **unused, int64_t words, int64_t reals)

whose only needs are the C functions that `jit` declares and the C library. `VARIANTS` names the
instruction sets of this architecture.
"""

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

#: Name of the processor and its features, as LLVM calls them, by architecture and instruction set.
_TARGETS = {
    "x86_64": {
        "baseline": ("x86-64", ""),
        "avx2": ("x86-64", "+avx,+avx2,+fma"),
        "avx512": ("x86-64", "+avx,+avx2,+fma,+avx512f,+avx512vl,+avx512dq,+avx512bw"),
    },
    "aarch64": {"neon": ("generic", "+neon")},
}
_ALIASES = {"AMD64": "x86_64", "arm64": "aarch64"}

# A Python of 32 bits has the generic kernels, whatever the processor.
_IS_WIDE = sys.maxsize > 2**32
_MACHINE = _ALIASES.get(platform.machine(), platform.machine()) if _IS_WIDE else "32 bits"

#: Instruction sets that this architecture is built for, from the plainest to the widest.
VARIANTS = tuple(_TARGETS.get(_MACHINE, ("generic",)))

PROGRAM = ("-m", "fastl0._numba.ahead_of_time")


def build(isa: str, path: str | Path, program: Sequence[str] = PROGRAM) -> None:
    """Write the object file of one instruction set, in a process of its own.

    Numba settles on one processor when it is imported. `program` is what Python runs.
    """
    cpu, features = _TARGETS.get(_MACHINE, {}).get(isa, ("generic", ""))
    # This package first; what a build needs may lie in a place that only this process knows.
    folders = [str(Path(__file__).parents[2]), *filter(None, sys.path)]
    env = os.environ | {
        "FASTL0_BUILD_ISA": isa,
        "NUMBA_CPU_NAME": cpu,
        "NUMBA_CPU_FEATURES": features,
        "NUMBA_DISABLE_JIT": "0",
        "NUMBA_OPT": "3",
        "PYTHONPATH": os.pathsep.join(folders),
    }
    subprocess.run([sys.executable, *program, isa, str(path)], env=env, check=True)


def main(isa: str, path: str) -> None:
    """Compile the entry points, all that they call included, into an object file."""
    module, machine = compiled(isa)
    # In one step: a build that is interrupted leaves no half of a file.
    unfinished = Path(f"{path}.part")
    unfinished.write_bytes(machine.emit_object(module))
    unfinished.replace(path)


def compiled(isa: str) -> tuple[Any, Any]:
    """Return the optimised LLVM module of the entry points, and the machine it is meant for."""
    from llvmlite import binding
    from numba import types

    from fastl0._numba.entry_points import ENTRY_POINTS

    signature = (types.int64, types.int64)
    module = None
    names = {}
    for name, kernel in ENTRY_POINTS.items():
        kernel.compile(signature)
        part = binding.parse_assembly(kernel.inspect_llvm(signature))
        names[_main_function(part, kernel.py_func.__name__)] = f"fastl0_{name}_{isa}"
        if module is None:
            module = part
        else:
            module.link_in(part)
    assert module is not None
    _export(module, names)
    cpu, features = os.environ["NUMBA_CPU_NAME"], os.environ["NUMBA_CPU_FEATURES"]
    target = binding.Target.from_triple(binding.get_process_triple())
    machine = target.create_target_machine(
        cpu=cpu, features=features, opt=3, reloc="pic", codemodel="default"
    )
    _drop_unused(module, machine)
    return module, machine


def _main_function(module: Any, name: str) -> str:
    """Numba's name of the function itself, beside those of its wrapper and of what it calls."""
    found = [
        function.name
        for function in module.functions
        if not function.is_declaration
        and name in function.name
        and not function.name.startswith("_ZN7cpython")
    ]
    assert len(found) == 1, found
    return found[0]


def _export(module: Any, names: dict[str, str]) -> None:
    """Let those functions be seen from outside under their new names, and nothing else."""
    for value in (*module.functions, *module.global_variables):
        if value.name in names:
            value.linkage = "external"
            value.visibility = "hidden"
            value.name = names[value.name]
        elif not value.is_declaration and not value.name.startswith("llvm."):
            value.linkage = "internal"


def _drop_unused(module: Any, machine: Any) -> None:
    """Delete what nothing calls: wrappers for Python."""
    from llvmlite import binding

    builder = binding.create_pass_builder(machine, binding.create_pipeline_tuning_options())
    passes = binding.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, builder)


if __name__ == "__main__":
    main(*sys.argv[1:])
