"""``python -m experiments``, with ``benches`` on the path: `paper` and `frontier`."""

from experiments import frontier, paper
from fastl0.cli import run

DESCRIPTION = "Repeat the published experiments of fastl0, or draw test error against size."


def main(argv=None):
    """Run the command line; `argv` as in `fastl0.cli.run`."""
    return run("experiments", DESCRIPTION, [paper, frontier], argv)


if __name__ == "__main__":
    raise SystemExit(main())
