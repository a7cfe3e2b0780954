"""The card is shown whole, and whoever trained without privacy is named in red."""

from __future__ import annotations

from pathlib import Path

from protocol.study import Study
from server.generator_folder import card_section
from server.service.card import NO_CARD, read_card


def _study(*, private: bool, enabled: bool = True) -> Study:
    sites = [
        {"name": "north", "flows": ["xray"], "declared_patients": 100},
        {"name": "south-2", "flows": ["xray"], "declared_patients": 100, "private": private},
    ]
    return Study.model_validate(
        {"name": "two", "description": "Two sites.", "sites": sites, "privacy": {"enabled": enabled},
         "stages": [{"name": "align"}], "flows": [{"name": "xray", "modalities": ["DX"]}]}
    )  # fmt: skip


def _read(folder: Path, study: Study) -> object:
    (folder / "card.md").write_text("# A generator\n\nInvented.\n\n" + card_section(study, []))
    return read_card(folder)


def test_what_the_server_writes_of_a_study_is_read_back(tmp_path: Path) -> None:
    card = _read(tmp_path, _study(private=True))
    (table,) = (block for block in card.blocks if block["kind"] == "table")
    assert table["rows"][0][0] == "site" and [row[0] for row in table["rows"][1:]] == ["north", "south-2"]
    assert [block["text"] for block in card.blocks if block["kind"] == "heading"] == [
        "A generator",
        "Federated training",
    ]
    assert card.alarms == () and card.sites_without_privacy == ()


def test_a_site_without_privacy_is_an_alarm_by_name(tmp_path: Path) -> None:
    card = _read(tmp_path, _study(private=False))
    assert card.sites_without_privacy == ("south-2",)
    assert card.alarms == ("NOT PRIVATE: trained without differential privacy at south-2.",)


def test_a_study_without_privacy_names_every_site(tmp_path: Path) -> None:
    assert _read(tmp_path, _study(private=True, enabled=False)).sites_without_privacy == ("north", "south-2")


def test_the_alarm_stands_however_the_card_says_it(tmp_path: Path) -> None:
    for said in (
        "# This is not private",
        "- fine\n- Not private at all",
        "| site | x |\n| --- | --- |\n| a | NOT PRIVATE |",
    ):
        (tmp_path / "card.md").write_text(f"{said}\n")
        assert read_card(tmp_path).alarms, said


def test_a_generator_without_a_card_is_an_alarm_not_an_all_clear(tmp_path: Path) -> None:
    assert read_card(tmp_path).alarms == (NO_CARD,)
    (tmp_path / "card.md").write_text(" \n")
    assert read_card(tmp_path).alarms == (NO_CARD,)
