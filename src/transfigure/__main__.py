"""``python -m transfigure`` is the command ``transfigure``."""

import os
import sys


def leave_current_folder() -> None:
    """``python -m`` looks for modules in the current folder first: no longer, unless the package itself lives there.

    What lies in a folder of data is data, also if it is called ``json.py``. (Nothing but what Python has imported already is used here.)
    """
    root = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))  # noqa: PTH120
    if sys.flags.safe_path or os.path.realpath(sys.path[0]) != os.path.realpath(os.curdir):
        return
    if os.path.realpath(os.curdir) != root:
        del sys.path[0]
    else:  # other processes of this program, which do not look there, find the package too
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), root)))


if __name__ == "__main__":
    leave_current_folder()

    from .cli import main

    raise SystemExit(main())
