"""A grid of recipes, trained with several seeds each, evaluated and compared."""
