"""The report of a run, or of an evaluation alone."""
