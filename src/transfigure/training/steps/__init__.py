"""Training steps: one algorithm a file, registered as ``step``. ``base.py`` says what a step is to the trainer."""
