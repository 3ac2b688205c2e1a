"""The comparison of several runs, or of an ablation."""
