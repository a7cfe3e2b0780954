"""`fedm2g serve` as a person meets it: the command in a process of its own, the page in a real headless browser."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from protocol.study import flow_spec
from protocol.synthetic import synthetic_dicom
from tests.server.service.browser import Browser, browser, missing

ROOT = Path(__file__).resolve().parents[3]
ENTER, CONTROL = "\ue007", "\ue009"
RUNS = "return document.querySelectorAll('.run').length === arguments[0]"


@dataclass
class Running:
    """The command, listening."""

    process: subprocess.Popen[str]
    page: str
    token: str
    said: list[str]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("serve")
    words = ["serve", "shipped", "--port", "0", "--grpc-port", "0", "--token-file", str(folder / "token")]
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "fedm2g", *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert process.stdout is not None
    said: list[str] = []
    try:
        for line in process.stdout:
            said.append(line.strip())
            if line.startswith("Stop with"):
                break
        page = next(line.removeprefix("Page: ") for line in said if line.startswith("Page: "))
        yield Running(process, page, (folder / "token").read_text().strip(), said)
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        assert process.wait(20) == 0 and "nothing of any request was kept" in rest
        written = (folder / "log").read_text() + "".join(said) + rest
        assert "GET / 200" in written and "Traceback" not in written
        assert (folder / "token").read_text().strip() not in written and "effusion" not in written
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if why := missing():
        pytest.skip(why)
    with browser(tmp_path_factory.mktemp("browser")) as session:
        yield session


def test_report_to_image_and_image_to_report_in_a_browser(chromium: Browser, running: Running, tmp_path: Path) -> None:
    """By keyboard where a keyboard does: token, report, generate; then the image as a source, and its report."""
    page = chromium
    page.open(running.page)
    assert "not for diagnosis" in page.text("header")
    page.type("#token", "wrong" + ENTER)
    page.wait("a refusal", "return document.getElementById('door-problem').textContent.includes('not this service')")
    assert [said.rpartition(" ")[2] for said in page.console()] == ["(Unauthorized)"]
    page.type("#token", running.token + ENTER)
    page.wait("the form", "return !document.getElementById('room').hidden")
    assert page.run("return document.activeElement.id") == "prompt"
    assert running.token not in page.run("return location.href + document.documentElement.outerHTML")
    assert "5,000 invented patients" in page.text("#card")

    # Report to image, through the task's button.
    page.type("#prompt", "Large left pleural effusion.")
    page.click("#tasks button:nth-child(1)")
    page.run("document.getElementById('seed').value = 7")
    page.type("#prompt", CONTROL + ENTER)
    page.wait("the images", RUNS, 1)
    assert "seed 7 · 25 steps" in page.text(".run") and "Done: 2 samples" in page.text("#status")
    (tmp_path / "saved").mkdir()
    _check_downloads(page, tmp_path / "saved")

    # Image to report, with the first of them.
    page.run("document.getElementById('prompt').value = ''")
    page.click(".run .tools button")
    page.click("#tasks button:nth-child(2)")
    page.click("#generate")
    page.wait("the reports", RUNS, 2)
    assert page.text(".run h3") == "X-ray → Report"
    assert len(page.text(".run .report-text")) > 20
    assert page.run("return document.querySelectorAll('.run')[0].querySelectorAll('.source-figure img').length") == 1

    # Side by side: a report of the second run beside an image of the first.
    page.click(".run:nth-child(1) .tools input")
    page.click(".run:nth-child(2) .tools input")
    assert page.run("return document.querySelectorAll('#compared figure').length") == 2
    page.run("scrollTo(0, 0)")
    shot = Path(os.environ.get("FEDM2G_SCREENSHOTS", tmp_path)) / "serve.png"
    page.screenshot(shot)
    with Image.open(shot) as picture:
        assert picture.width >= 1000 and len(picture.convert("L").getcolors(256) or ()) > 50
    assert page.console() == []


def _entered(page: Browser, running: Running) -> None:
    """The form, whether or not this tab has the token already."""
    page.open(running.page)
    page.wait("the page", "return document.readyState === 'complete'")
    if page.run("return sessionStorage.length") == 0:
        page.type("#token", running.token + ENTER)
    page.wait("the form", "return !document.getElementById('room').hidden")


def _check_downloads(page: Browser, folder: Path) -> None:
    """As a click saves them."""
    page.save_downloads(folder)
    for place, name in ((1, "synthetic-xray-7-0.png"), (2, "synthetic-xray-7-0.dcm")):
        page.click(f".run .tools a:nth-of-type({place})")
        path, deadline = folder / name, time.monotonic() + 10
        while not path.exists():
            assert time.monotonic() < deadline, f"{name} was not saved: {list(folder.iterdir())}"
            time.sleep(0.05)
    with Image.open(folder / "synthetic-xray-7-0.png") as picture:
        assert "SYNTHETIC" in picture.info["Comment"]
    assert pydicom.dcmread(folder / "synthetic-xray-7-0.dcm").SyntheticData == "YES"


def test_a_dicom_file_is_uploaded_and_a_wrong_one_is_one_sentence(
    chromium: Browser, running: Running, tmp_path: Path
) -> None:
    made = np.add.outer(np.linspace(-1, 0, 64), np.linspace(0, 1, 64)).astype(np.float32)
    (tmp_path / "slice.dcm").write_bytes(synthetic_dicom(made, flow_spec("mri_t1"), identity="g/0/0"))
    page = chromium
    _entered(page, running)
    page.click("#generate")
    assert page.wait("a sentence", "return document.getElementById('problem').textContent").startswith("Choose under")
    page.click("label:has(#target-mri_t2)")
    page.run("document.getElementById('steps').value = 2")
    page.type("#source-mri_t1", str(tmp_path / "slice.dcm"))
    page.wait("the file", "return document.getElementById('given-mri_t1').textContent === 'slice.dcm'")
    page.click("#generate")
    page.wait("the translation", RUNS, 1)
    assert page.run("return document.querySelectorAll('.run figure').length") == 3

    page.click("#remove-mri_t1")
    page.type("#source-ct", str(tmp_path / "slice.dcm"))
    page.wait("the file", "return document.getElementById('given-ct').textContent === 'slice.dcm'")
    page.click("#generate")
    sentence = page.wait("a sentence", "return document.getElementById('problem').textContent")
    assert sentence == "The image for ct is of another modality than this source: choose the source that it belongs to."
    assert page.console() == []


def test_whoever_trained_without_privacy_stands_in_red(chromium: Browser, running: Running) -> None:
    """The page's own function, on a description as the service would give it of such a generator."""
    page = chromium
    _entered(page, running)
    red = page.run(
        """return (async () => {
            const { card } = await import('/show.js');
            const said = 'NOT PRIVATE: <b>x</b>';
            const rows = [['site'], ['a'], ['b']];
            const blocks = [{kind: 'paragraph', text: said}, {kind: 'table', rows}];
            document.getElementById('card').replaceChildren(...card(blocks, [said], ['b']));
            const colour = (selector) => getComputedStyle(document.querySelector('#card ' + selector)).color;
            const cells = [colour('tr:nth-child(2) td'), colour('tr:nth-child(1) td')];
            return [colour('p'), ...cells, document.querySelectorAll('#card b').length];
        })()"""
    )
    assert red == ["rgb(168, 7, 31)", "rgb(168, 7, 31)", "rgb(28, 36, 40)", 0]


def test_dark_is_dark_and_narrow_is_one_column(chromium: Browser, running: Running, tmp_path: Path) -> None:
    page = chromium
    _entered(page, running)
    luminance = (
        "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).reduce((a, b) => a + Number(b), 0)"
    )
    light = page.run(luminance)
    page.dark()
    assert page.run(luminance) < 150 < 600 < light
    page.screenshot(Path(os.environ.get("FEDM2G_SCREENSHOTS", tmp_path)) / "serve-dark.png")
    page.resize(480, 900)
    assert page.run("return document.documentElement.scrollWidth <= innerWidth")
    page.screenshot(Path(os.environ.get("FEDM2G_SCREENSHOTS", tmp_path)) / "serve-narrow.png")
