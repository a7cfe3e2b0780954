"""A headless Chromium, driven through chromedriver by the W3C WebDriver protocol: as much of it as one test needs."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
_ARGUMENTS = (
    "--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1400,1500", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)  # fmt: skip


def missing() -> str | None:
    """Why no browser can be driven here, or None."""
    if not any(shutil.which(name) for name in BROWSERS):
        return "no Chromium is installed (Debian: apt-get install chromium chromium-driver)"
    return None if shutil.which("chromedriver") else "no chromedriver is installed (Debian: chromium-driver)"


class Browser:
    """One session. Every wait ends in an error that names what was waited for."""

    def __init__(self, base: str, profile: Path) -> None:
        binary = next(path for name in BROWSERS if (path := shutil.which(name)))
        arguments = [*_ARGUMENTS, f"--user-data-dir={profile}", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
        options = {"binary": binary, "args": arguments}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        self._base = base
        made = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._base = f"{base}/session/{made['sessionId']}"

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = json.dumps(body or {}).encode() if method == "POST" else None
        request = urllib.request.Request(self._base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"].splitlines()[0]) from None

    def open(self, url: str) -> None:
        """Load a page."""
        self._call("POST", "/url", {"url": url})

    def find(self, selector: str) -> str:
        """The first element that a CSS selector names."""
        found: str = self._call("POST", "/element", {"using": "css selector", "value": selector})[_ELEMENT]
        return found

    def click(self, selector: str) -> None:
        """As a mouse would: what is covered or hidden cannot be clicked."""
        self._call("POST", f"/element/{self.find(selector)}/click")

    def type(self, selector: str, text: str) -> None:
        """Keys into an element; for a file input, a path."""
        self._call("POST", f"/element/{self.find(selector)}/value", {"text": text})

    def press(self, *keys: str) -> None:
        """Keys into whatever has the focus."""
        strokes = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._call("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": strokes}]})

    def run(self, script: str, *arguments: Any) -> Any:
        """The value that a script returns."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def text(self, selector: str) -> str:
        """What stands in the first such element; empty where there is none."""
        return str(self.run("return document.querySelector(arguments[0])?.textContent ?? ''", selector))

    def wait(self, what: str, script: str, *arguments: Any, seconds: float = 90.0) -> Any:
        """Until a script returns something true."""
        deadline = time.monotonic() + seconds
        while not (value := self.run(script, *arguments)):
            assert time.monotonic() < deadline, f"waited in vain for {what}; problem: {self.text('#problem')!r}"
            time.sleep(0.1)
        return value

    def console(self) -> list[str]:
        """What the browser complained of since the last call: script errors, refused assets, CSP."""
        return [entry["message"] for entry in self._call("POST", "/se/log", {"type": "browser"})]

    def screenshot(self, path: Path) -> None:
        """The window as PNG."""
        path.write_bytes(base64.b64decode(self._call("GET", "/screenshot")))

    def save_downloads(self, folder: Path) -> None:
        """Downloads land there, without asking."""
        where = {"behavior": "allow", "downloadPath": str(folder)}
        self._call("POST", "/goog/cdp/execute", {"cmd": "Browser.setDownloadBehavior", "params": where})

    def resize(self, width: int, height: int) -> None:
        """The page, in CSS pixels: headless windows have a least width, a phone has not."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._call("POST", "/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics})

    def dark(self) -> None:
        """Prefer the dark scheme from now on."""
        features = [{"name": "prefers-color-scheme", "value": "dark"}]
        command = {"cmd": "Emulation.setEmulatedMedia", "params": {"features": features}}
        self._call("POST", "/goog/cdp/execute", command)

    def close(self) -> None:
        """End the session and the browser."""
        self._call("DELETE", "")


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A driver and a browser of our own, both ended afterwards."""
    with open(folder / "chromedriver.log", "w") as log:
        driver = subprocess.Popen(
            ["chromedriver", "--port=0", "--allowed-ips=127.0.0.1"], stdout=subprocess.PIPE, stderr=log, text=True
        )
    try:
        port = _port(driver)
        session = Browser(f"http://127.0.0.1:{port}", folder / "profile")
        try:
            yield session
        finally:
            session.close()
    finally:
        driver.terminate()
        driver.wait(10)
        if driver.stdout is not None:
            driver.stdout.close()


def _port(driver: subprocess.Popen[str]) -> int:
    assert driver.stdout is not None
    for line in driver.stdout:
        if "started successfully on port" in line:
            return int(line.rstrip(" .\n").rpartition(" ")[2])
    raise AssertionError("chromedriver did not start")
