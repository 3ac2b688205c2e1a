"""What is wrong with my data? Before a training, and while it runs; what was found is kept for the next start."""
