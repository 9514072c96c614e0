"""Several readers of one film: consensus, agreement, disputes."""
