"""``python -m transfigure`` is the command ``transfigure``."""

from .cli import main

if __name__ == "__main__":
    raise SystemExit(main())
