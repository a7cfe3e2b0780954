"""The mark of the one test that starts Ray."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Registered here, where its only use is."""
    config.addinivalue_line("markers", "ray: starts Flower's Ray engine, about twenty seconds")
