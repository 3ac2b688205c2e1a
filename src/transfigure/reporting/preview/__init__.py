"""The page that shows pairs as a training will draw them."""
