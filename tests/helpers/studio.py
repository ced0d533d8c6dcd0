"""A studio that runs in the test's process, and its page in Chromium."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.commands import PATIENCE


def free_port() -> int:
    """A port that nothing listens on."""
    with contextlib.closing(socket.socket()) as place:
        place.bind(("127.0.0.1", 0))
        return place.getsockname()[1]


@contextlib.contextmanager
def running_studio(model: Any, root: Path, max_seconds: float = 20.0) -> Iterator[Any]:
    """A `Studio` of a model; without Gradio the test is skipped with one line."""
    pytest.importorskip("gradio", reason="STUDIO NOT TESTED: pip install -r requirements-dev.txt")
    from synctrack.studio.server import Studio
    from synctrack.studio.workbench import Workbench

    studio = Studio(Workbench(model, root, max_seconds), port=free_port())
    yield studio
    studio.close()


class StudioPage:
    """The page of a studio in a tab of its own.

    Attributes:
        tab: playwright's page.
        problems: what the console said and what was requested from elsewhere.
    """

    def __init__(self, browser: Any, address: str, session: str | None = None) -> None:
        self.tab = browser.new_page(viewport={"width": 1280, "height": 900})
        self.tab.set_default_timeout(1000 * PATIENCE)
        self.problems: list[str] = []
        self.tab.on("console", lambda message: self.problems.append(message.text))
        self.tab.on("pageerror", lambda error: self.problems.append(str(error)))
        self.tab.on("request", lambda request: self._requested(request.url, address))
        self.open(address if session is None else f"{address}?session={session}")

    def _requested(self, url: str, address: str) -> None:
        if not url.startswith((address, "blob:", "data:")):
            self.problems.append(f"requests {url}")

    def open(self, address: str) -> None:
        """Load the page and wait until its session is open."""
        self.tab.goto(address)
        self.until(lambda: self.tab.evaluate("Boolean(window.studio?.shown.session)"))

    def until(self, condition: Callable[[], Any]) -> None:
        """Wait for a condition."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end, f"never; the page says {self.status()!r}, {self.problems}"
            time.sleep(0.05)

    def status(self) -> str:
        """What the page says last."""
        return self.tab.locator("#status").inner_text()

    @property
    def session(self) -> str:
        """Name of the session."""
        return self.tab.evaluate("studio.shown.session")

    @property
    def take(self) -> int | None:
        """Number of the take that is shown; None where its sound is not decoded yet."""
        number = self.tab.evaluate("studio.shown.take")
        return number if self.tab.locator(f"#stage[data-take='{number}'] [data-ready]").count() else None

    def choose_tab(self, name: str) -> None:
        """Open one of the page's tabs."""
        self.tab.get_by_role("tab", name=name, exact=True).click()

    def fill(self, field: str, value: object) -> None:
        """Write into a field of numbers or text."""
        box = self.tab.locator(f"#{field} input[type=number], #{field} textarea, #{field} input[type=text]").first
        box.fill(str(value))
        box.blur()

    def press(self, button: str) -> None:
        """Press a button, by its id."""
        self.tab.locator(f"#{button}").click()

    def quick(self, seconds: float = 1.28, steps: int = 2, bpm: float = 120) -> None:
        """Fields of a song that is made in no time."""
        self.choose_tab("Make")
        if not self.tab.locator("#steps").is_visible():
            self.tab.get_by_role("button", name="More").click()
        for field, value in (("bpm", bpm), ("length", seconds), ("steps", steps)):
            self.fill(field, value)

    def make(self, button: str = "make") -> int:
        """Press a button that makes a take, wait for it, and give its number."""
        before = self.tab.evaluate("studio.shown.take")
        self.press(button)
        self.until(lambda: self.take not in (None, before))
        return self.take
