"""Audits: what can be measured of the guarantee on patients that may be looked at, such as phantoms."""
