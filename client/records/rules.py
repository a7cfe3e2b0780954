"""What a site lets into its store or its copies, in words of its policy. The defaults are the strict ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from privacy.policy import SitePolicy


@dataclass(frozen=True, kw_only=True)
class ReadingRules:
    """How readers treat images that may show a name or a face."""

    burned_in_text: str = "refuse"
    """`refuse` images whose header or pixels say that text is burned in, or `allow` them."""
    secondary_captures: str = "refuse"
    """`refuse` screenshots and scanned paper, or `allow` them."""
    head_scans: str = "deface"
    """`deface` CT and MRI of heads, `refuse` them, or `allow` them as they are."""

    @classmethod
    def of(cls, policy: SitePolicy) -> ReadingRules:
        """The rules of a site's policy."""
        return cls(
            burned_in_text=policy.burned_in_text,
            secondary_captures=policy.secondary_captures,
            head_scans=policy.head_scans,
        )


STRICT = ReadingRules()
AS_THEY_ARE = ReadingRules(burned_in_text="allow", head_scans="allow")
"""For invented or published images, in simulations: nobody's face or name is in them."""
