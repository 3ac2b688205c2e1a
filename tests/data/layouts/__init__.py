"""The smallest data set of each kind that reads files: ``write(folder)`` of the module of its name writes one and returns its path."""
