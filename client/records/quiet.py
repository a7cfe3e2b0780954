"""Silence around foreign readers: their warnings and log lines quote values from headers."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LOGGERS = ("pydicom", "nibabel", "nibabel.global", "PIL", "pylibjpeg")


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing that a reader library says is shown or logged while this is open."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [(logger.disabled, logger.propagate) for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.disabled = True
        try:
            yield
        finally:
            for logger, (disabled, propagate) in zip(loggers, before, strict=True):
                logger.disabled, logger.propagate = disabled, propagate
