"""Who is who: the introduction that opens a run, and the named allow-list that it is held against.

Flower sends to every connected node; we only to sites that the study names, that run the same version and have
approved this study by digest. In a deployment the name must be the one registered with the node's key; in Ray and in
the local grid it is what the relay says.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from flwr.app import Message, MessageType
from flwr.serverapp import Grid

from protocol.errors import ProtocolError
from protocol.records import describe_request_to_record, description_from_record
from protocol.requests import DescribeRequest, SiteDescription
from protocol.study import Study
from server.errors import NotEnoughSites
from server.exchange import Exchange
from server.progress import WAITING_FOR_SITES, ProgressFile

JOIN_PAUSE_SECONDS = 0.5
#: While the run waits to begin, and once it runs: how often those that were not admitted are asked again.
JOIN_AGAIN_SECONDS, ASK_AGAIN_SECONDS = 10.0, 600.0
#: An introduction needs no training, so a node that takes longer is met again at the next stage.
INTRODUCTION_SECONDS = 60.0


@dataclass
class Participants:
    """The sites of the study that take part, by name."""

    study: Study
    study_digest: str
    version: str
    only_registered: bool = False
    """Whether a node without a registered name is refused, whatever it calls itself."""
    progress: ProgressFile | None = None
    nodes: dict[str, int] = field(default_factory=dict)
    """Site name to node id."""
    refused: dict[str, str] = field(default_factory=dict)
    """Who introduced itself and was not admitted, with the reason; unnamed nodes as `node <id>`."""
    _asked: set[int] = field(default_factory=set)
    _asked_all_at: float = 0.0

    def gather(self, grid: Grid, *, join_seconds: float) -> None:
        """Meet the sites, and wait for those that the study names up to `join_seconds`.

        Raises NotEnoughSites when fewer than the quorum have come.
        """
        end = time.monotonic() + join_seconds
        self.meet(grid)
        while len(self.nodes) < len(self.study.sites) and time.monotonic() < end:
            if self.progress:
                self.progress.say(state=WAITING_FOR_SITES, awaited=tuple(self.absent()), missing=self.absent())
            time.sleep(min(JOIN_PAUSE_SECONDS, join_seconds))
            self.meet(grid, again=time.monotonic() - self._asked_all_at > JOIN_AGAIN_SECONDS)
        quorum = self.study.federation.quorum
        if len(self.nodes) < quorum:
            raise NotEnoughSites(
                f"{len(self.nodes)} of the study's sites are here and the quorum needs {quorum} ({self.missing()}): "
                "start the missing relays, approve the study there, and run again."
            )

    def meet(self, grid: Grid, *, again: bool = False) -> None:
        """Ask every node that was not asked before who it is; `again` also asks those that were not admitted."""
        present = list(grid.get_nodes())
        if again or not self._asked:
            self._asked &= set(self.nodes.values())
            self._asked_all_at = time.monotonic()
        newcomers = {node.node_id: node.name for node in present if node.node_id not in self._asked}
        exchange = Exchange(
            grid, message_type=MessageType.QUERY, group_id="introduction", deadline_seconds=INTRODUCTION_SECONDS
        )
        question = describe_request_to_record(DescribeRequest(study_digest=self.study_digest))
        self._asked |= set(newcomers)
        exchange.send([(str(node_id), exchange.message(node_id, question)) for node_id in newcomers])
        here = {node.node_id for node in present}
        for reply in exchange.replies():
            if (node_id := exchange.site_of(reply)) is not None:
                self._introduce(int(node_id), reply, registered=newcomers[int(node_id)], here=here)

    def asked_long_ago(self) -> bool:
        """Whether those that were not admitted may be asked again: their site may have approved the study since."""
        return time.monotonic() - self._asked_all_at > ASK_AGAIN_SECONDS

    def absent(self) -> dict[str, str]:
        """The sites of the study that do not take part, each with the reason where one is known."""
        return {
            site.name: self.refused.get(site.name, "not heard of")
            for site in self.study.sites
            if site.name not in self.nodes
        }

    def missing(self) -> str:
        """`absent`, in words."""
        return ", ".join(f"{name}: {reason}" for name, reason in self.absent().items())

    def _introduce(self, node_id: int, reply: Message, *, registered: str, here: set[int]) -> None:
        if reply.has_error():
            self.refused[registered or f"node {node_id}"] = "its relay failed"
            return
        try:
            description = description_from_record(reply.content)
        except (ProtocolError, TypeError, ValueError):
            self.refused[registered or f"node {node_id}"] = "its introduction does not follow the wire contract"
            return
        reason = self._reason_against(description, registered=registered, here=here)
        if reason is None:
            self.nodes[description.site] = node_id
            self.refused.pop(description.site, None)
            return
        name = registered or description.site  # whose key it is, whatever it calls itself
        known = name in self._named() and name not in self.nodes
        self.refused[name if known else f"node {node_id}"] = reason

    def _reason_against(self, description: SiteDescription, *, registered: str, here: set[int]) -> str | None:
        if description.site not in self._named():
            return "not a site of this study"
        if (registered or self.only_registered) and registered != description.site:
            return "it answers by another name than its key is registered under"
        if self.nodes.get(description.site) in here:
            return "another node already answers by this name"
        if description.versions.get("fedm2g") != self.version:
            return f"runs another version of fedm2g than {self.version}"
        if self.study_digest not in description.studies:
            return "has not approved this study"
        return None

    def _named(self) -> set[str]:
        return {site.name for site in self.study.sites}
