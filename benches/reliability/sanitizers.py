"""The native parts under tools that watch every access to memory.

    python benches/reliability/sanitizers.py asan [ARGUMENTS OF PYTEST]
    python benches/reliability/sanitizers.py memcheck [ARGUMENTS OF PYTEST]
    python benches/reliability/sanitizers.py tsan

* ``asan``: the C core, built by gcc with AddressSanitizer and UndefinedBehaviorSanitizer, and the
  whole test suite on top. Both stop a process at their first report. Only the core is
  instrumented, not what Numba compiles, and memory is judged block by block: views of one training
  buffer have no borders in between.
* ``memcheck``: Valgrind, which runs the machine code of the core and of the compiled kernels alike,
  and the tests of both, but for two of subnormal numbers, which it cannot flush to zero. Reports
  are told apart by where they arise: in the core, in code without a file (the compiled kernels),
  or in the interpreter and other libraries.
* ``tsan``: the meeting points of threads (`_team.h`) in a small C program under ThreadSanitizer.

Each tool is first shown faults that are planted (`faults.py`, `team.c`), and has to report them.
All is built in a copy that is thrown away. Needs gcc, and for ``memcheck`` Valgrind.
"""

import argparse
import csv
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benches" / "results" / "reliability" / "sanitizers.csv"
HERE = "benches/reliability"
SANITIZE = "-g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all"
CORE_TESTS = [
    "tests/test_gather.py",
    "tests/_numba",
    "tests/training/test_buffers.py",
    "tests/training/test_threads.py",
]
N_MINI_BATCHES = 100_000
#: Where reports arise: in `_kernels`, in what Numba has compiled, in the interpreter and others.
PLACES = ("core", "kernels", "elsewhere")
#: Newer instructions than Valgrind knows are left out.
OLD_PROCESSOR = {}
if platform.machine() in ("x86_64", "AMD64"):
    OLD_PROCESSOR |= {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": ""}
    OLD_PROCESSOR |= {"OPENBLAS_CORETYPE": "Haswell"}


def run(command, folder, env=(), **options):
    """Run a command in the copy, and import fastl0 from there."""
    env = os.environ | {"PYTHONPATH": str(folder), "NUMBA_CACHE_DIR": f"{folder}/cache"} | dict(env)
    return subprocess.run(command, cwd=folder, env=env, check=False, **options)


def copy_and_build(folder, flags=""):
    """Copy what git would, roughly, and build the C core with additional compiler flags."""
    ignored = shutil.ignore_patterns(".*", "*.so", "*.nb?", "__pycache__", "build", "results")
    shutil.copytree(ROOT, folder, ignore=ignored, dirs_exist_ok=True)
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    run(command, folder, {"CFLAGS": f"-g {flags}", "LDFLAGS": flags}).check_returncode()
    command = [sys.executable, "-c", "import fastl0; print(fastl0.__file__)"]
    where = run(command, folder, capture_output=True, text=True).stdout
    if not where.startswith(f"{folder}/"):
        sys.exit(f"fastl0 is imported from {where.strip()}, not from the copy in {folder}.")


def library(name):
    command = ["gcc", f"-print-file-name={name}"]
    return os.path.realpath(subprocess.check_output(command, text=True).strip())


# --- the tools: how a program is run under each, and how its reports are counted -----


class Asan:
    planted = ("outside", "unaligned")
    tests = ("tests",)
    flags = SANITIZE

    def around(self, logs):
        """What comes before a command, and its environment, for reports to go to `logs`."""
        common = f"halt_on_error=1:print_stacktrace=1:log_path={logs}/report"
        # Numba's C++ needs its library before the sanitizers look for it.
        preload = map(library, ("libasan.so", "libubsan.so", "libstdc++.so.6"))
        return [], {
            "LD_PRELOAD": " ".join(preload),
            # CPython gives little of its own memory back at the end.
            "ASAN_OPTIONS": f"detect_leaks=0:{common}",
            "UBSAN_OPTIONS": common,
        }

    def reports(self, logs):
        """Reports, and where they arose: of bad addresses in files, of other faults on stderr."""
        found = [("core", path.read_text(errors="replace")) for path in logs.glob("report*")]
        lines = (logs / "stderr").read_text(errors="replace").splitlines()
        return found + [("core", line) for line in lines if "runtime error:" in line]


class Memcheck:
    planted = ("outside", "compiled")
    tests = (
        *CORE_TESTS,
        "--deselect=tests/_numba/test_kernels.py::test_a_scope_flushes_subnormal_numbers_and_restores_them",
        "--deselect=tests/_numba/test_kernels.py::test_training_lets_no_moment_become_subnormal",
    )
    flags = ""

    def around(self, logs):
        command = ["valgrind", "--leak-check=no", "--error-limit=no", "--fair-sched=yes"]
        # Unrolled loops are more than it can translate in one piece.
        command += ["--vex-guest-max-insns=20"]
        command += ["--num-callers=30", "--xml=yes", f"--xml-file={logs}/%p.xml"]
        return command, {"PYTHONMALLOC": "malloc"} | OLD_PROCESSOR

    def reports(self, logs):
        found = []
        for path in logs.glob("*.xml"):
            # A process that has become another program leaves an unfinished file.
            for text in re.findall(r"<error>.*?</error>", path.read_text(), re.DOTALL):
                error = ET.fromstring(text)
                # What is still allocated at the end is no fault: the interpreter's types, say.
                if error.findtext("kind", "").startswith("Leak_"):
                    continue
                files = [f.findtext("obj", "") for f in error.find("stack")]
                if any("/_kernels." in file for file in files):
                    found.append(("core", text))
                else:
                    found.append(("elsewhere" if all(files) else "kernels", text))
        return found


# --- what is run ---------------------------------------------------------------------


def watched(tool, folder, name, command):
    """Run Python under a tool; return its reports and the process that has ended."""
    logs = folder / f"logs-{name}"
    logs.mkdir()
    prefix, env = tool.around(logs)
    with (logs / "stderr").open("w") as stderr:
        done = run([*prefix, sys.executable, *command], folder, env, stderr=stderr)
    return tool.reports(logs), done


def check_python(tool, folder, arguments):
    """Show the tool what is planted, then run the tests; return figures."""
    copy_and_build(folder, tool.flags)
    seen = 0
    for fault in tool.planted:
        reports, _ = watched(tool, folder, fault, [f"{HERE}/faults.py", fault])
        seen += any(where != "elsewhere" for where, _ in reports)
    pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "timeout=3000"]
    pytest += ["--capture=sys"]  # what the core writes to stderr is not for pytest
    tests = arguments or tool.tests
    if isinstance(tool, Memcheck):
        # Kernels are compiled outside of it, which takes a thirtieth of the time.
        run([sys.executable, *pytest, *tests], folder, OLD_PROCESSOR)
    counts = folder / "junit.xml"
    reports, done = watched(tool, folder, "tests", [*pytest, f"--junitxml={counts}", *tests])
    for where, text in reports:
        if where != "elsewhere":
            print(text, file=sys.stderr)
    row = {"tests": " ".join(tests), "passed": 0, "skipped": 0, "failed": ""}
    if counts.exists():
        suite = next(ET.parse(counts).iter("testsuite"))
        n, *others = (int(suite.get(k)) for k in ("tests", "skipped", "failures", "errors"))
        row |= {"passed": n - sum(others), "skipped": others[0], "failed": others[1] + others[2]}
    else:
        print(f"The tests were stopped with exit code {done.returncode}.", file=sys.stderr)
    row |= {"planted": len(tool.planted), "planted_seen": seen}
    return row | {f"reports_{where}": sum(w == where for w, _ in reports) for where in PLACES}


def check_meeting_points(folder):
    """Run `team.c` under ThreadSanitizer, with a planted race and without; return figures."""
    copy_and_build(folder)
    results = []
    for flags in (["-DPLANTED"], []):
        command = ["gcc", "-O2", "-g", "-fsanitize=thread", *flags, "-Ifastl0", f"{HERE}/team.c"]
        run([*command, "-o", "team", "-lpthread"], folder).check_returncode()
        env = {"TSAN_OPTIONS": "exitcode=66"}
        results.append(
            run(["./team", str(N_MINI_BATCHES)], folder, env, capture_output=True, text=True)
        )
    planted, done = results
    print(done.stdout)
    reports = done.stderr.count("WARNING: ThreadSanitizer")
    print(done.stderr, file=sys.stderr)
    row = {"tests": done.stdout.strip(), "passed": int(done.returncode == 0), "skipped": 0}
    row |= {"failed": int(done.returncode != 0), "planted": 1}
    row |= {"planted_seen": int("ThreadSanitizer: data race" in planted.stderr)}
    return row | {f"reports_{where}": reports * (where == "core") for where in PLACES}


def save(row):
    """Print a row, and write it into the CSV in place of the tool's last one."""
    print(row)
    rows = []
    if RESULTS.exists():
        with RESULTS.open() as file:
            rows = [old for old in csv.DictReader(file) if old["tool"] != row["tool"]]
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    with RESULTS.open("w", newline="") as file:
        writer = csv.DictWriter(file, row, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted([*rows, row], key=lambda row: row["tool"]))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tool", choices=("asan", "memcheck", "tsan"))
    options, arguments = parser.parse_known_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if options.tool == "tsan":
            row = check_meeting_points(folder)
        else:
            tool = Asan() if options.tool == "asan" else Memcheck()
            row = check_python(tool, folder, arguments)
    minutes = (time.perf_counter() - start) / 60
    save({"tool": options.tool} | row | {"minutes": f"{minutes:.1f}"})
    bad = row.get("failed", 1) or row["reports_core"] or row["reports_kernels"]
    sys.exit(bool(bad or row["planted_seen"] < row["planted"]))


if __name__ == "__main__":
    main()
