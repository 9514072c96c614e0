"""Bytes to pixels, and pixels to what a model sees."""
