"""The analysis of one translator."""
