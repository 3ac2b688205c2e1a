"""Your images before a training: what is wrong with them, and how they become what training reads."""
