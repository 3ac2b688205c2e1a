"""Questions asked of many trainings, or of one that is looked at closely. Nothing in the core imports them."""
