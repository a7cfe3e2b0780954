"""`fedm2g site` init, enrol, connect: becoming a site, and telling the coordinator and being told."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from client.site_options import Dir, interactive, site_at, unusable

if TYPE_CHECKING:
    from client.joining import Enrolled

FLOWS = "xray,ct,mri_t1,mri_t2,mri_flair,text"
STAGES = "align,diffuse,guide"


class PatientIds(StrEnum):
    """Whether the hospital knows its patients."""

    real = "real"
    pseudo = "pseudo"


def init(
    site_dir: Dir,
    name: Annotated[str | None, typer.Option(help="Registered name: small letters, digits and hyphens.")] = None,
    declared_patients: Annotated[int, typer.Option(min=1, help="Said once, rounded down, public.")] = 50,
    max_patients: Annotated[
        int | None, typer.Option(min=1, help="The store's limit; three times the declared.")
    ] = None,
    flows: Annotated[str, typer.Option(help="Declared flows, comma separated.")] = FLOWS,
    stages: Annotated[str, typer.Option(help="Stages to take part in, comma separated.")] = STAGES,
    max_epsilon: Annotated[float, typer.Option(help="Over the lifetime of these patients.")] = 16.0,
    max_epsilon_per_study: Annotated[float | None, typer.Option(help="Of one study; 8, or less.")] = None,
    max_delta: Annotated[float, typer.Option(help="Of one study, and of all together.")] = 1e-3,
    minimum_patients: Annotated[int, typer.Option(min=1, help="No study below this.")] = 50,
    allow_non_private: Annotated[bool, typer.Option("--allow-non-private", help="For public data only.")] = False,
    patient_ids: Annotated[PatientIds, typer.Option(help="`pseudo`: known by guesswork only.")] = PatientIds.real,
    superlink: Annotated[str, typer.Option(help="The coordinator, host:port; may be told later.")] = "",
    ca: Annotated[Path | None, typer.Option(help="The coordinator's ca.crt; may be told later.")] = None,
    generator: Annotated[str, typer.Option(help="Folder that studies start from, or `shipped`.")] = "shipped",
    relay_dir: Annotated[Path | None, typer.Option(help="The relay's folder; `relay` in --dir.")] = None,
    socket: Annotated[Path | None, typer.Option(help="Where the relay finds the vault.")] = None,
    runtime_port: Annotated[int, typer.Option(min=1, max=65535, help="Loopback port of the SuperNode.")] = 9094,
    vault_user: Annotated[str, typer.Option(help="User who will own --dir; root only.")] = "",
    relay_user: Annotated[str, typer.Option(help="User who will own the relay's folder; root only.")] = "",
    group: Annotated[str, typer.Option(help="Group of both, for the socket.")] = "",
) -> None:
    """Make a site: its keys, its policy in `site.toml`, and `SITE.json` for the coordinator. Never overwrites one.

    Without --name it asks, question by question.
    """
    from client.joining import check_address, check_certificates, connect, give_to, join
    from client.relay_settings import RelayPlaces
    from client.site_setup import create_site
    from client.vault.settings import VaultSettings
    from privacy.policy import SitePolicy

    if bool(vault_user) != bool(relay_user):
        raise typer.BadParameter("Give both users, or neither.")
    if name is None:
        name, declared_patients, flows, max_epsilon, superlink = _asked(
            declared_patients, flows, max_epsilon, superlink
        )
    with unusable():
        policy = SitePolicy.from_dict(
            {
                "name": name,
                "declared_patients": declared_patients,
                "max_patients": 3 * declared_patients if max_patients is None else max_patients,
                "declared_flows": _words(flows),
                "max_epsilon": max_epsilon,
                "max_epsilon_per_study": min(8.0, max_epsilon)
                if max_epsilon_per_study is None
                else max_epsilon_per_study,
                "max_delta": max_delta,
                "allowed_stages": _words(stages),
                "minimum_patients": minimum_patients,
                "allow_non_private": allow_non_private,
                "patient_ids": patient_ids.value,
            }
        )
        check_address(superlink)
        if ca is not None:
            check_certificates(ca)
        paths = create_site(site_dir, policy)
        settings = VaultSettings(
            generator=generator if generator == "shipped" else str(Path(generator).resolve()),
            socket=str(socket.resolve()) if socket else "",
            socket_group=group,
            relay_dir=str(relay_dir.resolve()) if relay_dir else "relay",
        )
        settings.write(site_dir)
        enrolled = join(site_dir, policy, settings, superlink=superlink, port=runtime_port)
        if ca is not None:
            connect(RelayPlaces(enrolled.relay_dir), superlink=superlink, certificates=ca)
        if vault_user:
            give_to(site_dir, enrolled.relay_dir, vault_user=vault_user, relay_user=relay_user)
    typer.echo(
        f"Site {policy.name} lies in {site_dir}: read {paths.policy}, and back up {paths.keys} where nobody looks."
    )
    _say_enrolled(enrolled)


def enrol(site_dir: Dir) -> None:
    """Write `SITE.json` anew, after the policy's declaration changed or the relay's folder was lost."""
    from client.joining import join
    from client.vault.settings import VaultSettings

    paths, policy = site_at(site_dir)
    with unusable():
        _say_enrolled(join(paths.site_dir, policy, VaultSettings.read(site_dir)))


def connect(
    relay_dir: Annotated[Path, typer.Option(help="The relay's folder.")],
    superlink: Annotated[str, typer.Option(help="The coordinator, host:port.")],
    ca: Annotated[Path | None, typer.Option(help="Its ca.crt, as it was sent.")] = None,
) -> None:
    """Write down where the coordinator is. This is the one place that the site ever connects to."""
    from client.joining import connect as write_down
    from client.owner import act_as_owner
    from client.relay_settings import RelayPlaces

    certificates = ca.resolve() if ca else None
    act_as_owner(relay_dir)
    settings = write_down(RelayPlaces(relay_dir), superlink=superlink, certificates=certificates)
    typer.echo(f"{settings.site} will connect to {settings.superlink}, outbound only. Next: `fedm2g site check`.")


def _say_enrolled(enrolled: Enrolled) -> None:
    typer.echo(f"Send {enrolled.file} to the coordinator, who reads this fingerprint back to you:")
    typer.echo(f"  {enrolled.enrolment.fingerprint}")
    typer.echo("Nothing in it is secret, and nothing else leaves. Both private keys stay here.")


def _asked(declared_patients: int, flows: str, max_epsilon: float, superlink: str) -> tuple[str, int, str, float, str]:
    """The five questions that only a hospital can answer; everything else has a default in `site.toml`."""
    if not interactive():
        raise typer.BadParameter("Give --name: nobody is here to be asked.")
    typer.echo("Five questions; every answer can be changed in site.toml before a study is approved.")
    name = typer.prompt("Name registered with the consortium (small letters, digits, hyphens)")
    patients = typer.prompt("Patients to declare, rounded down; public from then on", default=declared_patients)
    flows = typer.prompt("Flows to declare, comma separated", default=flows)
    epsilon = typer.prompt("Largest epsilon over these patients' lifetime, all studies together", default=max_epsilon)
    superlink = typer.prompt(
        "The coordinator, host:port (empty if not known yet)", default=superlink, show_default=False
    )
    return name, int(patients), flows, float(epsilon), superlink


def _words(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
