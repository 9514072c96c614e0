"""A model on disk: weights, and what belongs to them."""
