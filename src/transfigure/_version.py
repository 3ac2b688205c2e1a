"""The version, alone, so that the package can be built without importing it."""

__version__ = "0.1.0"
