"""Errors of the privacy room: the tree, each with the code that crosses the wire.

A message is for the site's own log: one sentence that says what to do, with nothing from a record in it.
"""

from __future__ import annotations


class PrivacyError(Exception):
    """Base of this room's errors; `code` is all that leaves the site."""

    code = "site-failed"


class PolicyRefused(PrivacyError):
    """The site's policy does not allow what was asked."""

    code = "policy-refused"


class BudgetExceeded(PrivacyError):
    """It would spend more privacy than was approved or than the policy allows."""

    code = "budget-exceeded"


class OutsideDeclaration(PrivacyError):
    """The store no longer fits what the site declared."""

    code = "outside-declaration"


class StudyNotApproved(PrivacyError):
    """No plan of this study stands in the ledger."""

    code = "study-unknown"


class ConfigInvalid(PrivacyError):
    """A setting contradicts itself or another one."""


class MechanismMisused(PrivacyError):
    """The mechanism was assembled or called in a way that would void its guarantee."""


class LedgerTampered(PrivacyError):
    """The ledger's chain or a signature does not verify."""


class KeysUnusable(PrivacyError):
    """The site's keys are missing, damaged or readable by others."""
