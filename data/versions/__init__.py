"""Dataset versions: an ordinary git + DVC repository that costs what a version adds."""
