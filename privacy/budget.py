"""What a policy allows a plan to cost: of one study, and of all studies of the same patients together.

Later studies are chosen knowing the results of earlier ones. Two accounts bear that: the sum of the approved caps,
which holds at the sum of the studies' deltas, and a Renyi filter over all their events, which holds at a delta of its
own (privacy/renyi.py). A limit that either of them may meet is kept at the sum of both deltas, so the filter works with
what the policy's lifetime delta leaves after the studies' own.
"""

from __future__ import annotations

from collections.abc import Sequence

from privacy.errors import BudgetExceeded
from privacy.events import StudyPlan
from privacy.policy import ROUNDING, SitePolicy


def check_study(plan: StudyPlan, policy: SitePolicy) -> None:
    """The plan's own figure must be what its events cost, and within the policy. Raises BudgetExceeded."""
    from privacy.accounting import PLAN_GRID, epsilon

    if plan.epsilon * ROUNDING < epsilon(plan.events(), delta=plan.delta, grid=PLAN_GRID):
        raise BudgetExceeded("The plan costs more than it says: make it with `plan_study`.")
    dear = plan.epsilon > policy.max_epsilon_per_study * ROUNDING
    if dear or plan.delta > policy.max_delta_per_study * ROUNDING:
        raise BudgetExceeded("The plan costs more than this site's policy allows one study: propose less.")


def check_lifetime(plans: Sequence[StudyPlan], policy: SitePolicy) -> None:
    """All approved plans together, the new one among them, stay within the lifetime. Raises BudgetExceeded."""
    limit, left = policy.max_epsilon * ROUNDING, policy.max_delta * ROUNDING - sum(plan.delta for plan in plans)
    if left >= 0.0 and sum(plan.epsilon for plan in plans) <= limit:
        return
    if left <= 0.0:
        raise BudgetExceeded(
            f"With this study, all studies together would exceed this site's lifetime delta of {policy.max_delta:.3g}."
        )
    from privacy.accounting import epsilon_across_studies

    if epsilon_across_studies([plan.events() for plan in plans], [plan.epsilon for plan in plans], delta=left) > limit:
        raise BudgetExceeded(
            "With this study, all studies together would exceed this site's lifetime epsilon of"
            f" {policy.max_epsilon:.4g}."
        )
