"""A hospital's records: readers that de-identify as they read, the ingest that never stops, the encrypted store.

Start at `ingest.py`; `reasons.py` lists everything that is refused and why.
"""
