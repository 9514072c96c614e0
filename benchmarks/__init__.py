"""Measurements against a baseline in the same run; see `docs/benchmarks.md`."""
