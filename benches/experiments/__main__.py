"""``python benches/experiments``, from any folder: `paper` and `frontier`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a folder, which Python has put on the path in place of its parent
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from experiments import frontier, paper
from fastl0.cli import run

DESCRIPTION = "Repeat the published experiments of fastl0, or draw test error against size."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; `argv` as in `fastl0.cli.run`."""
    return run("experiments", DESCRIPTION, [paper, frontier], argv)


if __name__ == "__main__":
    raise SystemExit(main())
