"""Parameter groups: which a stage reads beside those it trains (`Study.groups_of`), and what their names say."""

from __future__ import annotations

from collections.abc import Mapping

from protocol.study import SiteSpec, StageName, Study

#: Families a stage reads but leaves as they are: `guide` trains over finished denoisers and the shared space; `diffuse`
#: reads the alignment too where the study has `source_prompts`.
STAGE_READS: Mapping[str, tuple[str, ...]] = {"align": (), "diffuse": (), "guide": ("alignment", "diffusion")}


def reads_of(study: Study, stage: StageName, site: SiteSpec) -> tuple[str, ...]:
    """The groups that `site` needs, frozen, in `stage`: of its declared flows only; text has no alignment group."""
    kinds = {flow.name: flow.kind for flow in study.flows}
    prompting = ("alignment",) if stage == "diffuse" and study.training.source_prompts > 0 else ()
    return tuple(
        f"{family}/{flow}"
        for family in (*STAGE_READS[stage], *prompting)
        for flow in site.flows
        if family != "alignment" or kinds[flow] == "image"
    )


def family_of(group_name: str) -> str:
    """`diffusion` of `diffusion/xray`."""
    return group_name.partition("/")[0]


def flow_of(group_name: str) -> str:
    """`xray` of `diffusion/xray`."""
    return group_name.partition("/")[2]
