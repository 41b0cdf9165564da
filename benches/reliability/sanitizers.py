"""The package as it is built, under tools that watch every access to memory.

    python benches/reliability/sanitizers.py asan [ARGUMENTS OF PYTEST]
    python benches/reliability/sanitizers.py memcheck [ARGUMENTS OF PYTEST]
    python benches/reliability/sanitizers.py tsan [ARGUMENTS OF PYTEST]

* ``asan``: the core and the kernels with AddressSanitizer, and the whole test suite on top; then
  tests of the kernels with those of every other instruction set. gcc instruments what is written
  in C and Cython, with UndefinedBehaviorSanitizer, too; LLVM what Numba compiles
  (`instrumented.py`). Both stop a process at their first report. Memory is judged block by block:
  layers in one training buffer have no borders in between.
* ``memcheck``: Valgrind, which runs the very machine code that is shipped, and tests that train. It
  knows AVX2, not AVX-512.
* ``tsan``: core and kernels with ThreadSanitizer, and tests that train in teams of threads. Python
  and other libraries are not instrumented: only accesses by core and kernels are compared. Then
  the meeting points of threads alone (`team.c`), more often than any training meets.

Reports are told apart by the innermost function of `_kernels` on the stack: of the kernels (what
Numba compiles, and `_vectors.h`), of the core (what Cython compiles, and `_team.h`), or none.

Each tool is first shown faults that are planted (`faults.py`, `team.c`), and has to report each
where it is. For the last one of ``tsan`` the kernels are built without their meetings.
All is built in a copy that is thrown away. Needs gcc; for ``asan`` and ``tsan`` the package
`ziglang`, and for ``memcheck`` Valgrind.
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
FLAGS = "-g -fno-omit-frame-pointer"
N_MINI_BATCHES = 100_000
#: Where reports arise: in `_kernels`, as told above, or in the interpreter and other libraries.
PLACES = ("core", "kernels", "elsewhere")
KERNEL = re.compile(
    r"fastl0::_numba|_ZN6fastl0|fastl0_(train_batches|fill_rows|matmul|dot|adam_rank_one)_"
)
#: Newer instructions than Valgrind knows are left out.
OLD_PROCESSOR = {}
if platform.machine() in ("x86_64", "AMD64"):
    OLD_PROCESSOR |= {"FASTL0_ISA": "avx2", "OPENBLAS_CORETYPE": "Haswell"}
    OLD_PROCESSOR |= {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": ""}


def run(command, folder, env=(), **options):
    """Run a command in the copy, and import fastl0 from there."""
    env = os.environ | {"PYTHONPATH": str(folder)} | dict(env)
    return subprocess.run(command, cwd=folder, env=env, check=False, **options)


def copy(folder):
    """Copy what git would, roughly."""
    ignored = shutil.ignore_patterns(".*", "*.so", "*.nb?", "__pycache__", "build", "results")
    shutil.copytree(ROOT, folder, ignore=ignored, dirs_exist_ok=True)


def build(folder, tool, without_meetings=False):
    """Build the extension of the copy as `tool` wants it."""
    env = {"CFLAGS": f"{FLAGS} {tool.flags}", "LDFLAGS": tool.flags}
    if tool.sanitizer:
        kernels = folder / "instrumented"
        command = [sys.executable, f"{HERE}/instrumented.py", tool.sanitizer, str(kernels)]
        run(command, folder).check_returncode()
        if without_meetings:
            for path in kernels.glob("*.o"):
                # That function looks at the team, and does nothing.
                renamed = "--redefine-sym=fastl0_team_meet=fastl0_team_size"
                run(["objcopy", renamed, str(path)], folder).check_returncode()
        env["FASTL0_KERNELS"] = str(kernels)
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    run(command, folder, env).check_returncode()
    command = [sys.executable, "-c", "import fastl0; print(fastl0.__file__)"]
    where = run(command, folder, capture_output=True, text=True).stdout
    if not where.startswith(f"{folder}/"):
        sys.exit(f"fastl0 is imported from {where.strip()}, not from the copy in {folder}.")


def library(name):
    command = ["gcc", f"-print-file-name={name}"]
    return os.path.realpath(subprocess.check_output(command, text=True).strip())


def place(functions):
    """Where a report arose, from the names of functions of `_kernels`, the innermost first."""
    if not functions:
        return "elsewhere"
    return "kernels" if KERNEL.match(functions[0]) else "core"


def place_in(text):
    """Where a report of a sanitizer arose."""
    # What follows is who has made the block or the thread.
    text = re.split("allocated by|Location is|created by", text)[0]
    frames = re.findall(r"^ *#\d+ (?:0x\w+ in )?(\S+).*/?_kernels\.", text, re.MULTILINE)
    return place(frames)


# --- the tools: how a program is run under each, and how its reports are counted -----


class Asan:
    #: Names in `faults.py`, and where the report must arise.
    planted = (
        *(("outside", "core"), ("unaligned", "core")),
        *(("product", "kernels"), ("order", "kernels"), ("training", "kernels")),
    )
    tests = ("tests",)
    sanitizer = "address"
    flags = "-fsanitize=address,undefined -fno-sanitize-recover=all"

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
        texts = [path.read_text(errors="replace") for path in logs.glob("report*")]
        found = [(place_in(text), text) for text in texts]
        lines = (logs / "stderr").read_text(errors="replace").splitlines()
        undefined = [line for line in lines if "runtime error:" in line]
        return found + [("kernels" if "_vectors.h" in line else "core", line) for line in undefined]


class Tsan:
    planted = (("race", "kernels"),)
    tests = (
        "tests/test_team.py",
        "tests/training/test_threads.py",
        "tests/_numba/test_train_loop.py",
    )
    sanitizer = "thread"
    flags = "-fsanitize=thread"

    def around(self, logs):
        # Some tests fork a process that has threads.
        options = f"halt_on_error=0:exitcode=0:die_after_fork=0:log_path={logs}/report"
        return [], {
            "LD_PRELOAD": " ".join(map(library, ("libtsan.so", "libstdc++.so.6"))),
            "TSAN_OPTIONS": options,
        }

    def reports(self, logs):
        files = [path.read_text(errors="replace") for path in logs.glob("report*")]
        texts = [text for file in files for text in file.split("=" * 18) if "WARNING:" in text]
        return [(place_in(text), text) for text in texts]


class Memcheck:
    planted = tuple(fault for fault in Asan.planted if fault[0] != "unaligned")
    tests = (
        "tests/test_gather.py",
        "tests/_numba/test_train_loop.py",
        "tests/training/test_buffers.py",
        "tests/training/test_threads.py",
        "tests/test_team.py::test_a_team_trains_the_same_network_from_any_data",
    )
    sanitizer = None
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
                frames = error.find("stack")
                own = [frame for frame in frames if "/_kernels." in frame.findtext("obj", "")]
                found.append((place([frame.findtext("fn", "") for frame in own]), text))
        return found


# --- what is run ---------------------------------------------------------------------


def watched(tool, folder, name, command, env=()):
    """Run Python under a tool; return its reports and the process that has ended."""
    logs = folder / f"logs-{name}"
    logs.mkdir()
    prefix, around = tool.around(logs)
    env = around | dict(env)
    with (logs / "stderr").open("w") as stderr:
        done = run([*prefix, sys.executable, *command], folder, env, stderr=stderr)
    return tool.reports(logs), done


def is_seen(tool, folder, fault, where, isa=None):
    """Whether a planted fault, in the kernels of `isa`, is reported, and where it is."""
    env = {"FASTL0_ISA": isa} if isa else {}
    reports, _ = watched(tool, folder, f"{fault}-{isa}", [f"{HERE}/faults.py", fault], env)
    places = [found for found, _ in reports]
    print(f"planted: {fault}, reported in: {', '.join(sorted(set(places)))}", flush=True)
    return where in places


def run_tests(tool, folder, tests, isa=None):
    """Run tests, with the kernels of `isa`; print what is reported of core and kernels; count."""
    name = f"tests-{isa}"
    counts = folder / f"{name}.xml"
    command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "timeout=3000"]
    command += ["--capture=sys"]  # what the core writes to stderr is not for pytest
    command += [f"--junitxml={counts}", *tests]
    reports, done = watched(tool, folder, name, command, {"FASTL0_ISA": isa} if isa else {})
    for where, text in reports:
        if where != "elsewhere":
            print(text, file=sys.stderr)
    found = {f"reports_{place}": sum(where == place for where, _ in reports) for place in PLACES}
    if not counts.exists():
        print(f"The tests were stopped with exit code {done.returncode}.", file=sys.stderr)
        return found | {"passed": 0, "skipped": 0, "failed": 1}
    suite = next(ET.parse(counts).iter("testsuite"))
    n, *others = (int(suite.get(k)) for k in ("tests", "skipped", "failures", "errors"))
    # No test at all is a failure, too.
    failed = others[1] + others[2] + (n == 0)
    return found | {"passed": n - sum(others), "skipped": others[0], "failed": failed}


def check_python(name, tool, folder, arguments):
    """Show the tool what is planted, then run the tests; return figures."""
    copy(folder)
    build(folder, tool)
    n_planted = len(tool.planted)
    seen = sum(is_seen(tool, folder, *planted) for planted in tool.planted)
    tests = arguments or tool.tests
    found = [run_tests(tool, folder, tests)]
    described = " ".join(tests)
    if name == "asan" and not arguments:
        sys.path.append(str(ROOT / "tests"))
        from subprocesses import MODULES, OTHER_ISAS

        for isa in OTHER_ISAS:
            n_planted += 1
            seen += is_seen(tool, folder, "training", "kernels", isa)
            found.append(run_tests(tool, folder, [f"tests/{module}" for module in MODULES], isa))
            described += f", of kernels with {isa}"
    if name == "tsan":
        build(folder, tool, without_meetings=True)
        n_planted += 1
        seen += is_seen(tool, folder, "meetings", "kernels")
    row = {"tool": name, "tests": described}
    row |= {key: sum(part[key] for part in found) for key in ("passed", "skipped", "failed")}
    row |= {"planted": n_planted, "planted_seen": seen}
    keys = [f"reports_{place}" for place in PLACES]
    return row | {key: sum(part[key] for part in found) for key in keys}


def check_meeting_points(folder):
    """Run `team.c` under ThreadSanitizer, with a planted race and without; return figures."""
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
    row = {"tool": "tsan, meeting points", "tests": done.stdout.strip()}
    row |= {"passed": int(done.returncode == 0), "skipped": 0}
    row |= {"failed": int(done.returncode != 0), "planted": 1}
    row |= {"planted_seen": int("ThreadSanitizer: data race" in planted.stderr)}
    return row | {f"reports_{place}": reports * (place == "core") for place in PLACES}


def save(row):
    """Print a row, and write it into the CSV in place of the tool's last one."""
    print(row, flush=True)
    rows = []
    if RESULTS.exists():
        with RESULTS.open() as file:
            rows = [old for old in csv.DictReader(file) if old["tool"] != row["tool"]]
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    with RESULTS.open("w", newline="") as file:
        writer = csv.DictWriter(file, row, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted([*rows, row], key=lambda row: row["tool"]))


def is_bad(row):
    own = row["failed"] or row["reports_core"] or row["reports_kernels"]
    return bool(own or row["planted_seen"] < row["planted"])


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tools = {"asan": Asan(), "memcheck": Memcheck(), "tsan": Tsan()}
    parser.add_argument("tool", choices=tools)
    options, arguments = parser.parse_known_args()
    bad = False
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        jobs = [lambda: check_python(options.tool, tools[options.tool], folder, arguments)]
        if options.tool == "tsan":
            jobs.append(lambda: check_meeting_points(folder))
        for job in jobs:
            start = time.perf_counter()
            row = job()
            save(row | {"minutes": f"{(time.perf_counter() - start) / 60:.1f}"})
            bad |= is_bad(row)
    sys.exit(bad)


if __name__ == "__main__":
    main()
