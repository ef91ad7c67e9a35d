"""A real Chromium, headless, that opens files from disk."""

from __future__ import annotations

import base64
import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BLANK = "about:blank"
_FLAGS = (
    "--headless",
    "--no-sandbox",  # the tests run as root, whom Chromium's sandbox refuses
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--force-color-profile=srgb",
)
_PATIENCE = 30.0


class Browser:
    """Chromium with one page, and everything that page said and asked for."""

    def __init__(self, profile: str) -> None:
        # Imported here: where there is no browser, these tests are collected all the same.
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))

    def open(
        self, path: Path, *, width: int = 1280, height: int = 900, scripts: bool = True, dark: bool = False
    ) -> None:
        """Open a file and wait until it stands."""
        self.driver.get(BLANK)
        self.command("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.command("Emulation.setEmulatedMedia", media="", features=_scheme(dark))
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)
        self.driver.get(path.as_uri())
        if scripts:
            self.until("return document.querySelectorAll('figure[data-live]:not([data-from])').length === 0")

    def close(self) -> None:
        """End it."""
        self.driver.quit()

    def command(self, name: str, **parameters: Any) -> Any:
        """Send a command of the DevTools protocol."""
        return self.driver.execute_cdp_cmd(name, parameters)

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a script in the page, beside its own, and return what it returns."""
        return self.driver.execute_script(script, *arguments)

    def until(self, script: str) -> None:
        """Wait until a script returns true."""
        end = time.monotonic() + _PATIENCE
        while not self.run(script):
            if time.monotonic() > end:
                pytest.fail(f"not within {_PATIENCE} s: {script}")
            time.sleep(0.05)

    def said(self) -> list[str]:
        """Return what the page wrote to the console: its own messages, and what the browser refused it."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def asked_for(self) -> list[str]:
        """Return the addresses that the page asked for, itself among them."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]

    def text(self) -> str:
        """Return the page's text as it is shown, asked of the browser: it works with scripts off too."""
        tree = self.command("Accessibility.getFullAXTree")["nodes"]
        return "\n".join(
            str(node["name"].get("value", "")) for node in tree if not node["ignored"] and "name" in node
        )

    def roles(self, role: str) -> list[str]:
        """Return the accessible names of all that have that role."""
        tree = self.command("Accessibility.getFullAXTree")["nodes"]
        return [
            str(node.get("name", {}).get("value", ""))
            for node in tree
            if not node["ignored"] and node["role"]["value"] == role
        ]

    def screenshot(self, selector: str, height: int) -> bytes:
        """Return `height` pixels of the page as PNG, from where the element begins."""
        # With the scroll bar, which is not in the picture: the page takes its place.
        width = self.run("return innerWidth")
        top = self.run(
            "return document.querySelector(arguments[0]).getBoundingClientRect().top + scrollY", selector
        )
        clip = {"x": 0, "y": top, "width": width, "height": height, "scale": 1}
        taken = self.command("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(taken["data"])


def _scheme(dark: bool) -> list[dict[str, str]]:
    return [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser with a profile of its own."""
    with tempfile.TemporaryDirectory(prefix="tifbpf-chromium-", ignore_cleanup_errors=True) as profile:
        browser = Browser(profile)
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found
