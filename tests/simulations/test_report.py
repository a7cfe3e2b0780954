"""Summary and report: every flow has every figure or a reason, and the page says in red what must be said in red."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from protocol.study import Study
from simulations.report import ReportPair, Showing, Strip, TaskSamples, render
from simulations.summary import Costs, FlowQuality, Outcome, Quality, SiteSummary, summarise, write_summary

STUDY = Study.from_dict(
    {
        "name": "unit",
        "sites": [
            {"name": "north", "flows": ["xray", "text"], "declared_patients": 160},
            {"name": "south", "flows": ["ct"], "declared_patients": 160},
        ],
        "stages": [{"name": "align", "rounds": 2}, {"name": "diffuse", "rounds": 3}],
    }
)


def _site(name: str, *, private: bool = True, epsilon: float | None = 4.0) -> SiteSummary:
    return SiteSummary(
        name=name,
        private=private,
        epsilon=epsilon,
        delta=6e-4 if private else None,
        max_epsilon=8.0,
        declared_patients=160,
        rounds=5,
        bytes_up=1_000_000,
        bytes_down=2_000_000,
        flows=("xray",),
    )


def _quality(value: float) -> Quality:
    measured = FlowQuality(frechet=(value, value + 1, value + 2), finding_accuracy=(0.5, 0.6, 0.7))
    text = FlowQuality(frechet=(value,), accuracy_reason="Reports were not read.")
    return Quality({"xray": measured, "text": text})


@pytest.fixture
def outcome() -> Outcome:
    return Outcome(
        study=STUDY,
        digest="d" * 64,
        costs=Costs(100.0, 60.0, 20.0, 15.0, 5.0, 2**30),
        sites=[_site("north"), _site("south", epsilon=5.0)],
        before=_quality(20.0),
        after=_quality(10.0),
        public_continued=Quality({}, not_measured="It was not asked for."),
        held_out_accuracy={"xray": 0.9},
    )


@pytest.fixture
def showing() -> Showing:
    images = np.zeros((4, 64, 64), dtype=np.float32)
    task = TaskSamples(
        "Text to image",
        strips=[Strip("held-out", images)],
        reports=[ReportPair(images[0], "No <acute> finding.", "Small nodule & effusion.")],
    )
    return Showing([task], True, "256 held-out phantoms", 3, {"xray": [(0, 20.0), (5, 10.0)]})


def test_every_flow_has_every_figure_or_a_reason(outcome: Outcome) -> None:
    flows = summarise(outcome)["flows"]
    assert set(flows) == {flow.name for flow in STUDY.flows}
    required = ("frechet_before", "frechet_after", "frechet_public_continued")
    for figures in flows.values():
        for name in (*required, "finding_accuracy_before", "finding_accuracy_after"):
            assert figures[name] is not None or figures["reasons"][name]


def test_figures_are_means_over_seeds_with_their_deviation(outcome: Outcome) -> None:
    xray = summarise(outcome)["flows"]["xray"]
    assert (xray["frechet_after"], xray["frechet_after_sd"]) == (11.0, 1.0)
    assert xray["finding_accuracy_before"] == pytest.approx(0.6)
    before, after = outcome.before.of("xray").frechet, outcome.after.of("xray").frechet
    gains = [old - new for old, new in zip(before, after, strict=True)]
    assert xray["frechet_gain"] == pytest.approx(np.mean(gains))
    assert xray["frechet_gain_sd"] == pytest.approx(np.std(gains, ddof=1))
    assert "frechet_gain" not in summarise(outcome)["flows"]["ct"]  # measured before only, or not at all


def test_the_summary_file_is_strict_json_with_the_promised_site_keys(outcome: Outcome, tmp_path: Path) -> None:
    write_summary(tmp_path / "summary.json", summarise(outcome))
    read = json.loads((tmp_path / "summary.json").read_text())
    promised = {"epsilon", "delta", "max_epsilon", "declared_patients", "rounds", "bytes_up", "bytes_down"}
    assert all(promised <= set(site) for site in read["sites"].values())
    assert {"study", "digest", "wall_seconds", "training_seconds", "peak_rss_bytes", "sites", "flows"} <= set(read)
    assert not list(tmp_path.glob("*.part"))


def test_the_page_needs_nothing_beside_it_and_escapes_reports(outcome: Outcome, showing: Showing) -> None:
    page = render(outcome, showing)
    assert all(source.startswith("data:image/png;base64,") for source in re.findall(r'src="([^"]*)"', page))
    assert "<link" not in page and "<script" not in page and "@import" not in page
    assert "No &lt;acute&gt; finding." in page

    class Balance(HTMLParser):
        open_tags: list[str] = []

        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in ("meta", "img", "br"):
                self.open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.open_tags.pop() == tag

    parser = Balance()
    parser.feed(page)
    assert not parser.open_tags


def test_a_site_without_privacy_is_named_in_red(outcome: Outcome, showing: Showing) -> None:
    assert "NOT PRIVATE" not in render(outcome, showing)
    mixed = replace(outcome, sites=[_site("north"), _site("south", private=False, epsilon=None)])
    page = render(mixed, showing)
    assert re.search(r'class="banner red">NOT PRIVATE: south ', page)
    assert summarise(mixed)["sites"]["south"]["reasons"]["epsilon"]
    alone = replace(outcome, sites=[_site("south", private=False, epsilon=None)])
    assert "NOT PRIVATE: Every site" in render(alone, showing)


def test_real_images_forbid_sharing_and_phantoms_do_not(outcome: Outcome, showing: Showing) -> None:
    sentence = "contains real images: do not share"
    assert sentence not in render(outcome, showing)
    assert sentence in render(outcome, replace(showing, invented=False))


def test_a_gain_within_two_of_its_deviations_is_not_called_better(outcome: Outcome, showing: Showing) -> None:
    assert 'class="n better">10.00 ± 0.00<' in render(outcome, showing)
    some = replace(outcome, after=Quality({"xray": FlowQuality(frechet=(14.0, 17.0, 20.5))}))  # gains 6, 4, 1.5
    page = render(some, showing)
    assert "3.83 ± 2.25" in page and 'class="n better"' not in page and 'class="n worse"' not in page


def test_epsilon_of_a_patient_known_to_several_sites_adds_up(outcome: Outcome, showing: Showing) -> None:
    page = render(outcome, showing)
    assert "at one site ε ≤ 5.00, at two ε ≤ 9.00" in page
