"""What can go wrong in the generator. The tree first; every message is one sentence that says what to do."""

from __future__ import annotations


class MedM2GError(Exception):
    """Base of every error that `medm2g` raises on purpose."""


class ConfigInvalid(MedM2GError):
    """A configuration value or key that cannot stand."""


class FolderInvalid(MedM2GError):
    """A generator folder that is missing, incomplete, or not what its configuration says."""


class EncoderMissing(MedM2GError):
    """No text encoder where one was said to be, or another one than the generator was made with."""


class GroupUnknown(MedM2GError):
    """A parameter group that this generator does not have, or arrays that do not fit it."""


class InputInvalid(MedM2GError):
    """An argument of a generator or pipeline call that cannot be answered."""
