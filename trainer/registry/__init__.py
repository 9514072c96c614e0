"""Which models there are, how they came to be, and which one serves."""
