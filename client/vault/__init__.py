"""The vault: the hospital's trusted process, which alone reads records, ledger and keys (DESIGN.md section 6)."""
