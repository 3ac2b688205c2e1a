"""Making data ready for training: from public archives, from files side by side, from large images."""
