"""Errors of the simulations room; each message says what to do."""


class SimulationError(Exception):
    """Base of this room's errors."""


class InputInvalid(SimulationError):
    """What was given cannot be used: a folder, a generator, a combination of options."""


class RunFailed(SimulationError):
    """A study or training began and did not end."""
