"""What patients may ask of a hospital, and what it must be able to show: opting out, forgetting, the impact record."""
