"""The HTTP API and the page to draw on."""
