"""`fedm2g consortium enroll SITE.json`: a hospital becomes a name with one key, and nothing more.

The file is public, so a stolen copy opens nothing: without the private key, which never left the hospital, nobody can
connect by it. What people must check is that the file is the hospital's own: they read each other its fingerprint.
"""

from __future__ import annotations

from pathlib import Path

from protocol.enrolment import Enrolment
from protocol.errors import EnrolmentInvalid
from protocol.study import Study
from protocol.version import VERSION
from server.consortium.operator import Operator
from server.consortium.places import ConsortiumPlaces, write_private
from server.errors import ConsortiumUnusable


def enrol(places: ConsortiumPlaces, file: Path, *, replace: bool = False) -> Enrolment:
    """Keep a site's enrolment. The same file again changes nothing. Raises ConsortiumUnusable, EnrolmentInvalid.

    replace: take a new key for a name that is enrolled: a hospital that lost its key, after a telephone call.
    """
    places.read()
    enrolment = Enrolment.read(file)
    if enrolment.version != VERSION:
        raise ConsortiumUnusable(
            f"{enrolment.name} runs fedm2g {enrolment.version} and the coordinator {VERSION}: install the same version."
        )
    for other in enrolled(places).values():
        same_name, same_key = other.name == enrolment.name, other.node_key.split()[:2] == enrolment.node_key.split()[:2]
        if same_key and not same_name:
            raise ConsortiumUnusable(f"{other.name} is enrolled with this key: ask {enrolment.name} for its own.")
        if same_name and other != enrolment and not replace:
            raise ConsortiumUnusable(
                f"{enrolment.name} is enrolled with another file (fingerprint {other.fingerprint}): telephone the "
                "hospital, and use --replace if it really changed."
            )
    write_private(places.sites / f"{enrolment.name}.json", enrolment.to_json().encode())
    return enrolment


def enrolled(places: ConsortiumPlaces) -> dict[str, Enrolment]:
    """Every enrolled site, by name. Raises ConsortiumUnusable where a file was changed."""
    sites = {}
    for path in sorted(places.sites.glob("*.json")):
        try:
            enrolment = Enrolment.read(path)
        except EnrolmentInvalid:
            raise ConsortiumUnusable(f"{path} was changed: enrol that hospital's SITE.json again.") from None
        if enrolment.name != path.stem:
            raise ConsortiumUnusable(f"{path} names another site than its file: enrol that hospital's SITE.json again.")
        sites[enrolment.name] = enrolment
    return sites


def expel(places: ConsortiumPlaces, name: str) -> None:
    """Forget a site: its key opens nothing once `register_all` has run. Raises ConsortiumUnusable."""
    path = places.sites / f"{name}.json"
    if name not in enrolled(places):
        raise ConsortiumUnusable(f"{name} is not enrolled.")
    path.unlink()


def register_all(places: ConsortiumPlaces, coordinator: Operator) -> None:
    """Make the coordinator's list of nodes that of the enrolled sites: no more, no fewer.

    First the strangers go, then every site is tried. Raises ConsortiumUnusable for the first that cannot be registered.
    """
    sites, refused = enrolled(places), []
    for node in coordinator.nodes():
        if node.name not in sites:
            coordinator.unregister(node.node_id)
    for enrolment in sites.values():
        try:
            coordinator.register(enrolment)
        except ConsortiumUnusable as error:
            refused.append(error)
    if refused:
        raise refused[0]


def check_enrolled(study: Study, sites: dict[str, Enrolment]) -> None:
    """Raises ConsortiumUnusable where the study asks of a site what it does not declare: its vault would refuse."""
    for site in study.sites:
        if (enrolment := sites.get(site.name)) is None:
            raise ConsortiumUnusable(f"The study names {site.name}, which is not enrolled: enroll its SITE.json first.")
        if site.declared_patients != enrolment.declared_patients:
            raise ConsortiumUnusable(
                f"The study says that {site.name} declares {site.declared_patients} patients; the hospital declares "
                f"{enrolment.declared_patients}: write that number into the study."
            )
        if unknown := sorted(set(site.flows) - set(enrolment.declared_flows)):
            raise ConsortiumUnusable(f"The study asks {site.name} for flows that it does not declare: {unknown}.")
