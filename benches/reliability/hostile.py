"""Spoil a real checkpoint in many ways: each must be refused, and nothing else may happen.

    python benches/reliability/hostile.py [--mutations 10000] [--seed 0] [--out FILE.csv]

A fit with gates, a target size and a best network is interrupted; then its checkpoint is changed
and the fit repeated. Some changes are accidents, which the checksum tells: flipped bits, files
that are cut off, parts that are copied over others. Others are made by someone who seals the
file anew: values of another kind or size, shapes that do not agree, columns that lie outside of
X, headers of every kind of nonsense, and files that are none. Each has to be refused before
training with a `CheckpointError` that names the file and the remedy. Nobody may run code
meanwhile (an audit hook listens), die, or take memory: a process of 500 changes has a limit
on its address space that is 256 MiB above what it takes to begin with.

Where a change of the numbers inside of arrays leaves them what they may be, a fit cannot know;
such files ("plausible") have to be taken up and trained on to the end, or refused.
"""

import argparse
import collections
import contextlib
import copy
import csv
import hashlib
import json
import logging
import os
import pathlib
import pickle
import random
import resource
import struct
import sys
import tempfile
import time
import warnings

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import numpy as np
from sklearn.datasets import load_digits

from fastl0 import HardL0MLPClassifier
from fastl0.checkpoint import format
from fastl0.checkpoint.store import CheckpointError

RESULTS = pathlib.Path(__file__).parents[1] / "results" / "reliability"
AT_ONCE = 500
ROOM = 2**28
HEAD = struct.Struct("<8sII")
#: What reading a checkpoint must not make Python do.
FORBIDDEN = {
    *("exec", "compile", "import", "pickle.find_class", "marshal.loads", "os.system", "os.exec"),
    *("subprocess.Popen", "os.fork", "os.posix_spawn", "ctypes.dlopen", "socket.connect"),
}

X, Y = load_digits(return_X_y=True)
X, Y = (X[:300] / 16).astype(np.float32), Y[:300]
SETTINGS = {"hidden_layer_sizes": (20, 10), "max_iter": 12, "random_state": 0}


class TrainsError(Exception):
    """The checkpoint was taken up, and an epoch has been trained."""


def fit(folder, max_epochs=1):
    """Repeat the fit; end after an epoch."""

    def stop(epoch, *_):
        seen.append(epoch)
        if len(seen) >= max_epochs:
            raise TrainsError

    seen = []
    model = HardL0MLPClassifier(**SETTINGS, early_stopping=True, checkpoint_dir=folder)
    model._fit(X, Y, stop)


def unpack(data):
    _, _, n_header = HEAD.unpack(data[: HEAD.size])
    header = json.loads(data[HEAD.size : HEAD.size + n_header])
    return header, data[HEAD.size + n_header : -32]


def seal(header, arrays, magic=format.MAGIC, version=format.VERSION, n_header=None):
    if not isinstance(header, bytes):
        header = json.dumps(header, separators=(",", ":")).encode()
    n_header = len(header) if n_header is None else n_header
    body = HEAD.pack(magic, version, n_header % 2**32) + header + arrays
    return body + hashlib.blake2b(body, digest_size=32).digest()


# --- accidents -----------------------------------------------------------------------


def flip(data, rng):
    data = bytearray(data)
    for place in {rng.randrange(8 * len(data)) for _ in range(rng.choice([1, 1, 1, 2, 8, 100]))}:
        data[place // 8] ^= 1 << place % 8
    return bytes(data)


def cut(data, rng):
    return data[: rng.randrange(len(data))]


def splice(data, rng):
    """Copy a part over or between others, double, drop or blank it."""
    start, length = rng.randrange(len(data)), rng.choice([1, 4, 64, 512, 4096])
    part = data[start : start + length]
    place = rng.randrange(len(data))
    way = rng.randrange(4)
    if way == 0:
        changed = data[:place] + part + data[place:]
    elif way == 1:
        changed = data[:place] + part + data[place + len(part) :]
    elif way == 2:
        changed = data[:start] + data[start + length :]
    else:
        changed = data[:start] + bytes(len(part)) + data[start + length :]
    return changed if changed != data else flip(data, rng)


# --- with a seal: the header ---------------------------------------------------------

#: What an array, a number, a flag, a text and nothing must not become.
WRONG = (
    -1, -(2**63), 2**63, 2**64, 10**40, 1.5, -0.5, 1e300, True, None, "", "x" * 999, "0", [], [[]],
    {}, {"a": 1}, {"$float": "nan"}, {"$float": "inf"}, {"$float": "-inf"},
    {"$array": ["<f4", [0]]},
    {"$array": ["|O", [1]]}, {"$array": ["<f4", [2**62]]}, {"$array": ["<f8", [-1]]},
    {"$object": "os.system"}, {"$array": ["<f4", [2**31, 2**31]]},
)  # fmt: skip


_LOWEST = {"$float": "-inf"}


def places_in(value, way=()):
    """Ways to all entries of a header, dicts and lists of arrays included."""
    yield way
    if isinstance(value, dict) and "$array" not in value:
        for key in value:
            yield from places_in(value[key], (*way, key))


def entry(header, way):
    for key in way:
        header = header[key]
    return header


def put(header, way, value):
    header = copy.deepcopy(header)
    if not way:
        return value
    entry(header, way[:-1])[way[-1]] = value
    return header


def kind_of(value):
    if isinstance(value, dict):
        return next(iter(value)) if len(value) == 1 and "$" in next(iter(value)) else "dict"
    return type(value).__name__


def retype(data, rng):
    """Give an entry a value of another kind."""
    header, arrays = unpack(data)
    ways = [way for way in places_in(header) if way[:1] != ("run",)]
    while True:
        way = rng.choice(ways)
        before = entry(header, way)
        value = rng.choice(WRONG)
        if way == ("state", "trainer", "history", "best_network") and value is None:
            continue  # there need not be one
        is_float = isinstance(before, float) or kind_of(before) == "$float"
        if is_float and (isinstance(value, float) or value in ({"$float": "inf"}, _LOWEST)):
            continue  # some may be that
        if kind_of(value) != kind_of(before):
            return seal(put(header, way, value), arrays)


#: Bounds that an entry is pushed over.
BEYOND = {
    "number": (-1, 0, 12, 13, 99, 2**40, 2**70), "max_parameters": (-1, 2**60, 2**70),
    "n_draws": (-1, 2**60), "n_dropped": (-1, 2**60), "rate": (-1e-3, 1.0, 1e30),
    "batch_size": (-1, 0, 1, 999, 2**31, 2**40), "step": (-1, 2**60), "nonzero_pause": (-1, 2**60),
    "finetune_start": (-1, 0, 13, 2**31), "end": (-1, 0, 2, 13, 2**31), "target": (-1, 0, 10**9),
    "full": (-1, 0, 10**9), "log_price": (-99.0, 99.0), "progress": (-0.1, 1.1),
    "factor": (-0.1, 1.1), "state": (-1, 2**128), "inc": (-1, 0, 2, 2**128, 2**128 + 1),
    "has_uint32": (-1, 2), "uinteger": (-1, 2**32), "n_waited": (-1, 2**60), "weight": (-0.1, 2.0),
}  # fmt: skip


def exceed(data, rng):
    """Push an entry over its bounds."""
    header, arrays = unpack(data)
    ways = [way for way in places_in(header["state"], ("state",)) if way[-1] in BEYOND]
    ways = [way for way in ways if not isinstance(entry(header, way), dict)]
    way = rng.choice(ways)
    return seal(put(header, way, rng.choice(BEYOND[way[-1]])), arrays)


def reshape(data, rng):
    """Change dtype or shape of an array, mostly so that the bytes of all add up."""
    header, arrays = unpack(data)
    ways = [w for w in places_in(header) if kind_of(entry(header, w)) == "$array"]
    way = rng.choice(ways)
    dtype, shape = entry(header, way)["$array"]
    size = int(np.prod(shape))
    wider = {"<f4": "<f8", "<i4": "<i8", "|b1": "<i4", "<f8": "<i8", "<i8": "<f8"}
    changed = rng.choice(
        [
            [wider[dtype], shape],
            ["|u1", [size * np.dtype(dtype).itemsize]],
            [dtype, [*shape, 1]],
            [dtype, [1, *shape]],
            [dtype, [size + 1]],
            [dtype, [max(0, size - 1)]],
            [dtype, [-size]],
            [dtype, [-1, -size]],
            [dtype, [float(size)]],
            [dtype, [2**32 + size]],
            [dtype, [2**64 // 4 + size]],
            [dtype, [size, 2**62]],
            [dtype, [str(size)]],
            [dtype, "4"],
            [dtype, None],
            [dtype],
            [">f4", shape],
            ["<U4", shape],
            ["<V4", shape],
            ["<M8[s]", shape],
            ["<c8", shape],
            [[["a", "<f4"]], shape],
            [None, shape],
            [dtype, [1] * 64 + [size]],
        ]
    )
    if changed == [dtype, shape] or (size == 1 and changed[-1] == [1]):
        return retype(data, rng)
    n_bytes = np.dtype(dtype).itemsize * size
    try:
        grown = np.dtype(changed[0]).itemsize * int(np.prod(changed[1])) - n_bytes
    except (TypeError, ValueError, OverflowError, IndexError):
        grown = 0
    if 0 < grown < 2**20 and rng.random() < 0.7:
        arrays += bytes(grown)
    elif -(2**20) < grown < 0 and rng.random() < 0.7:
        arrays = arrays[:grown]
    return seal(put(header, way, {"$array": changed}), arrays)


def rename(data, rng):
    """Drop an entry, name it otherwise or twice, or add one."""
    header, arrays = unpack(data)
    ways = [way for way in places_in(header) if way]
    way = rng.choice([w for w in ways if kind_of(entry(header, w)) != "$array"])
    header = copy.deepcopy(header)
    inside = entry(header, way[:-1])
    kind = rng.randrange(4)
    if kind == 3:
        text = json.dumps(header, separators=(",", ":"))
        own = json.dumps({way[-1]: inside[way[-1]]}, separators=(",", ":"))[1:-1]
        return seal(text.replace(own, f"{own},{own}", 1).encode(), arrays)
    value = inside.pop(way[-1]) if kind < 2 else 1
    if kind > 0:
        inside[rng.choice(["more", "__class__", "$ref", way[-1] + " ", ""])] = value
    return seal(header, arrays)


def nonsense(data, rng):
    """Headers and heads of every kind."""
    header, arrays = unpack(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    depth = rng.choice([20, 1000, 100_000])
    headers = [
        b"[" * depth + b"]" * depth, b"[" * depth, b'{"a":' * depth, b'{"a":' * depth + b"1",
        b"", b"null", b"NaN", b"[NaN]", b"[Infinity]", b"[1e999]", b"[-1e999]", b"0", b'""',
        b"9" * rng.choice([100, 5000, 200_000]), b"[" + b"9" * 5000 + b"]", b"\xff\xfe" + text,
        text[: rng.randrange(len(text))], text + b"x", text + text, text.replace(b":", b";", 1),
        text.decode().encode("utf-16"), b"\x00" * 100, text.replace(b'"run"', b'"run","run"', 1),
        b'{"run":{},"state":{}}', b'{"run":{}}', b"[]", b"[[]," * 1000,
        b'{"$array":["<f4",[' + b"1," * 70 + b"1]]}", b'"\\ud800"', b"/*" + text + b"*/",
        b"[" + b"{}," * 80_000 + b"{}]", b"[" + b'{"$array":["<f4",[0]]},' * 9000 + b"0]",
    ]  # fmt: skip
    way = rng.randrange(6)
    if way == 0:
        lengths = [0, 1, len(text) - 1, len(text) + 1, 2**18 + 1, 2**31, 2**32 - 1]
        return seal(text, arrays, n_header=rng.choice(lengths))
    if way == 1:
        return seal(text, arrays, version=rng.choice([0, 2, 255, 2**32 - 1]))
    if way == 2:
        magic = rng.choice([b"\x89fastl1\n", b"\x80\x04\x95\0\0\0\0\0", b"PK\x03\x04\0\0\0\0"])
        return seal(text, arrays, magic=magic)
    if way == 3:
        more = rng.choice([1, 4, 2**16])
        return seal(text, rng.choice([arrays + bytes(more), arrays[:-more], b""]))
    return seal(rng.choice(headers), arrays)


class _Payload:
    def __reduce__(self):
        return os.system, ("echo run > /tmp/fastl0-hostile",)


def none(data, rng):
    """Files that are no checkpoint: pickles that run code among them."""
    files = [
        pickle.dumps(_Payload()), pickle.dumps(_Payload(), protocol=0), b"\x93NUMPY\x01\0" + data,
        b"PK\x03\x04" + data, os.urandom(rng.choice([1, 47, 48, 5000])), b"import os\n", b"\n",
        format.MAGIC, format.MAGIC + pickle.dumps(_Payload()), bytes(5000), data[::-1],
        seal(pickle.dumps(_Payload()), b""), data[:16] + pickle.dumps(_Payload()) + data[16:],
    ]  # fmt: skip
    return rng.choice(files)


# --- with a seal: inside of arrays ---------------------------------------------------


def arrays_of(data):
    """The header, and the arrays by the way to them."""
    header, raw = unpack(data)
    found, start = {}, 0
    for way in places_in(header):
        value = entry(header, way)
        if kind_of(value) == "$array":
            dtype, shape = value["$array"]
            n_bytes = np.dtype(dtype).itemsize * int(np.prod(shape))
            part = np.frombuffer(raw[start : start + n_bytes], dtype).reshape(shape)
            found[way] = part.copy()
            start += n_bytes
    return header, found


def sealed_arrays(header, found):
    header = copy.deepcopy(header)
    for way, array in found.items():
        header = put(header, way, {"$array": [array.dtype.str, list(array.shape)]})
    return seal(header, b"".join(array.tobytes() for array in found.values()))


#: Values that an array must not hold, by its name.
FAULTS = {
    "theta": (np.nan, np.inf, -np.inf), "first": (np.nan,), "second": (np.nan, -1.0, -np.inf),
    "log_odds": (np.nan, np.inf, 4.7, -4.7, 1e30), "gate_first": (np.nan,),
    "gate_second": (np.nan, -1.0), "on_count": (-1, -(2**62), 2**62),
    "on_sum": (-1.0, np.nan, np.inf), "columns": (-1, 64, 65, 2**31 - 1, -(2**31)),
    "widths": (0, -1, 65, 2**31, 2**62, -(2**62)), "n_units": (0, -1, 65, 2**62, -(2**62)),
    "n_parameters": (0, -1), "buffer_nbytes": (0, -1), "batch_size": (0, -1),
    "samples_seen": (0, -1), "loss": (np.nan, np.inf, -np.inf), "epoch_time": (np.nan, np.inf),
    "coef_0": (np.nan, np.inf), "coef_1": (np.nan, np.inf), "coef_2": (np.nan, -np.inf),
    "intercept_0": (np.nan, np.inf), "intercept_1": (np.nan,), "intercept_2": (np.inf,),
}  # fmt: skip


def fault(data, rng):
    """Put a value into an array that must not be there."""
    header, found = arrays_of(data)
    ways = [way for way in found if way[-1] in FAULTS and found[way].size]
    way = rng.choice(ways)
    array = found[way].reshape(-1)
    array[rng.randrange(len(array))] = rng.choice(FAULTS[way[-1]])
    return sealed_arrays(header, found)


def disagree(data, rng):
    """Change topologies: sizes that are sound by themselves, and do not agree."""
    header, found = arrays_of(data)
    of_buffers = {w[-1]: w for w in found if w[:3] == ("state", "trainer", "buffers")}
    of_best = {w[-1]: w for w in found if w[:4] == ("state", "trainer", "history", "best_network")}
    of_epochs = {w[-1]: w for w in found if w[:4] == ("state", "trainer", "history", "epochs")}
    columns = found[of_buffers["columns"]]
    way = rng.randrange(9 if of_best else 6)
    if way == 0:  # a unit more or fewer than there are weights for
        widths = found[of_buffers["widths"]]
        k = rng.randrange(len(widths))
        widths[k] += 1 if widths[k] == 1 else rng.choice([-1, 1])
    elif way == 1:  # columns twice, or in another order
        k = rng.randrange(1, len(columns))
        columns[k - 1 : k + 1] = columns[k] if rng.random() < 0.5 else columns[k - 1 : k + 1][::-1]
    elif way == 2:
        found[of_buffers["columns"]] = columns[rng.choice([slice(1), slice(1, None), slice(-1)])]
    elif way == 3:  # sets of gates that are not there, or not all that are
        gated = found[of_buffers["gated"]]
        gated[rng.randrange(len(gated))] ^= True
    elif way == 4:
        name = rng.choice(["theta", "first", "second", "log_odds", "on_count", "gate_first"])
        array = found[of_buffers[name]]
        longer = np.append(array, np.zeros(1, array.dtype))
        found[of_buffers[name]] = longer if rng.random() < 0.5 or not len(array) else array[:-1]
    elif way == 5:
        name = rng.choice(["loss", "n_units", "score", "has_score", "samples_seen"])
        found[of_epochs[name]] = found[of_epochs[name]][:-1]
    elif way == 6:  # flags that are none
        support = found[of_best["support"]]
        support.view(np.uint8)[rng.randrange(len(support))] = rng.choice([2, 128, 255])
    elif way == 7:
        support = found[of_best["support"]]
        support[rng.randrange(len(support))] ^= True
    else:
        name = rng.choice(["coef_0", "coef_1", "coef_2"])
        array = found[of_best[name]]
        shorter = array[:-1] if rng.random() < 0.5 else array[:, :-1]
        found[of_best[name]] = np.ascontiguousarray(shorter)
    return sealed_arrays(header, found)


def plausible(data, rng):
    """Flip bits inside of arrays, and seal the file."""
    header, found = arrays_of(data)
    array = found[rng.choice([way for way in found if found[way].size])]
    raw = array.reshape(-1).view(np.uint8)
    for _ in range(rng.choice([1, 4, 50])):
        raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
    return sealed_arrays(header, found)


#: Kinds of changes and their shares of all.
KINDS = {
    flip: 15, cut: 8, splice: 10, retype: 12, exceed: 8, reshape: 10, rename: 6, nonsense: 9,
    none: 4, fault: 8, disagree: 8, plausible: 2,
}  # fmt: skip


# --- trying them ---------------------------------------------------------------------


def try_one(data, folder, path, max_epochs=1):
    """Repeat the fit with a checkpoint; return what came of it."""
    path.write_bytes(data)
    for other in path.parent.iterdir():
        if other != path and other.name != "lock":
            other.unlink()
    events.clear()
    listening.append(True)
    try:
        fit(folder, max_epochs)
        outcome = "taken up"
        lock = path.parent / "lock"  # it is over, and its folder gone
        lock.parent.mkdir()
        lock.touch()
    except CheckpointError as error:
        message = str(error)
        outcome = "refused" if str(path) in message and "elete" in message else "refused, unclear"
    except TrainsError:
        outcome = "taken up"
    except BaseException as error:
        return type(error).__name__, str(error)
    finally:
        listening.clear()
    if events:
        return "ran code", " ".join(sorted(events))
    return outcome, message if outcome != "taken up" else ""


listening, events = [], set()


def listen(event, _):
    if listening and event in FORBIDDEN:
        events.add(event)


def try_some(data, kinds, seed, folder, path, report):
    """In a process of its own: try some changes, and write down what came of each."""
    sys.addaudithook(listen)
    taken = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + ROOM, taken + ROOM))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rng = random.Random(seed)
    with report.open("w") as file:
        for kind in kinds:
            changed = kind(data, rng)
            assert changed != data, kind.__name__
            outcome = try_one(changed, folder, path, 99 if kind is plausible else 1)
            file.write(json.dumps([kind.__name__, *outcome]) + "\n")
            file.flush()
        growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        file.write(json.dumps(["memory", "KiB", growth]) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutations", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, default=RESULTS / "hostile.csv")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable()
    rng, start = random.Random(options.seed), time.perf_counter()
    kinds = rng.choices(list(KINDS), list(KINDS.values()), k=options.mutations)
    counts, messages, growth, crashes = collections.Counter(), {}, 0, 0
    with tempfile.TemporaryDirectory() as place:
        folder, report = pathlib.Path(place, "checkpoints"), pathlib.Path(place, "report")
        # Without gates, in the last phase: there is a best network. And with gates, before.
        data, paths = {}, {}
        for name, n_epochs in (("late", 11), ("early", 6)):
            with contextlib.suppress(TrainsError):
                fit(folder, n_epochs)
            paths[name] = max(folder.glob("*/epoch-*"))
            data[name] = paths[name].read_bytes()
            for path in folder.glob("*/epoch-*"):
                path.unlink()
        for name in data:  # as they are they are taken up
            assert try_one(data[name], folder, paths[name])[0] == "taken up", name
        for first in range(0, len(kinds), AT_ONCE):
            name = ("late", "early")[first // AT_ONCE % 2]
            some = kinds[first : first + AT_ONCE]
            process = os.fork()
            if not process:
                try:
                    seed = f"{options.seed} {first}"
                    try_some(data[name], some, seed, folder, paths[name], report)
                    os._exit(0)
                except BaseException as error:
                    print(type(error).__name__, error, file=sys.stderr)
                    os._exit(1)
            _, status = os.waitpid(process, 0)
            crashes += status != 0
            for line in report.read_text().splitlines():
                kind, outcome, message = json.loads(line)
                if kind == "memory":
                    growth = max(growth, message)
                else:
                    counts[kind, outcome] += 1
                    messages.setdefault((kind, outcome), message.replace(place, "DIR")[:200])
    rows = [
        {"change": kind.__name__, "outcome": outcome, "times": n, "example": messages[key]}
        for kind in KINDS
        for key, n in sorted(counts.items())
        if key[0] == kind.__name__
        for outcome in [key[1]]
    ]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        print(f"{row['change']:10} {row['outcome']:18} {row['times']:6}  {row['example'][-100:]}")
    good = {(kind.__name__, "refused") for kind in KINDS}
    # Weights may be finite and yet so large that training cannot use them.
    good |= {("plausible", "taken up"), ("plausible", "DivergedError")}
    n_bad = crashes + sum(n for key, n in counts.items() if key not in good)
    print(
        f"{sum(counts.values())} changes, {n_bad} not as they should be, {crashes} crashes; "
        f"memory grew by {growth / 1024:.1f} MiB at most ({time.perf_counter() - start:.0f} s)"
    )
    sys.exit(n_bad > 0)


if __name__ == "__main__":
    main()
