"""``python -m fastl0`` is the `fastl0` command."""

from fastl0.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
