"""Audits that need a model: canary studies, attacks on a generator, and the report of a run. See `privacy/audit`."""
