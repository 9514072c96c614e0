"""One folder per task, and everything that speaks Label Studio's language."""
