"""Taking in what a source offers: read, compare, store, journal."""
