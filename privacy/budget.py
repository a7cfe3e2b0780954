"""What a policy allows a plan to cost: of one study, and of all studies of the same patients together.

Later studies are chosen knowing the results of earlier ones, so their costs are bounded by basic composition of the
approved caps (sum of epsilons, sum of deltas) or by a Renyi filter at the policy's `max_delta`; both hold for adaptive
choice, and the smaller counts.
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
    limit = policy.max_epsilon * ROUNDING
    by_sum = sum(plan.epsilon for plan in plans) <= limit
    if by_sum and sum(plan.delta for plan in plans) <= policy.max_delta * ROUNDING:
        return
    from privacy.accounting import epsilon_rdp

    if epsilon_rdp([event for plan in plans for event in plan.events()], delta=policy.max_delta) > limit:
        raise BudgetExceeded(
            f"With this study, all studies together would exceed this site's lifetime epsilon of {limit:.4g}."
        )
