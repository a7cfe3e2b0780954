"""Whole studies on one machine: phantoms, their sites, the local grid and Ray, the omniscient referee, reports."""
