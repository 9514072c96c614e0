"""Drawn radiographs with a known truth, for tests and demonstrations."""
