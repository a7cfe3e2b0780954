"""The hospital: records, the vault that trains on them, the relay in front of it, and the site's commands."""
