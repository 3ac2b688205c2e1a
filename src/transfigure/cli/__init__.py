"""The command line: ``main.py`` goes from words to a command, ``commands/`` holds one file for each."""

from .main import main

__all__ = ["main"]
