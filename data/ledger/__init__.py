"""The ledger: radiographs, hash-chained events, predictions and runs, in SQL."""
