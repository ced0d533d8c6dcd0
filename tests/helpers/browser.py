"""A real Chromium for tests of pages; without one, or without playwright, such tests are skipped with one line."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from helpers.commands import PATIENCE

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--autoplay-policy=no-user-gesture-required",
)


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser of playwright's, closed at the end; $CHROMIUM names another binary."""
    binary = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if binary is None:
        pytest.skip("PAGE NOT TESTED: no Chromium here; on Debian: apt-get install chromium, or set CHROMIUM")
    playwright = pytest.importorskip("playwright.sync_api", reason="PAGE NOT TESTED: pip install playwright")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=binary, args=list(ARGUMENTS))
        yield browser
        browser.close()


def until(page: Any, condition: str) -> None:
    """Wait for a condition; playwright's own waiting needs eval, which the page forbids."""
    end = time.monotonic() + PATIENCE
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"never: {condition}"
        time.sleep(0.1)
