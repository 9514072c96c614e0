"""The ledger's schema, one file a change; `Ledger.open` applies what is missing."""
