"""The whole way through the studio with the demo's model and the real command, as a person goes it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.browser import chromium
from helpers.commands import ROOT
from helpers.steered import STEPS_OF_A_LONG_RUN, steered_model
from helpers.studio import StudioPage, free_port, running_studio
from synctrack.generation.song import load_song

pytestmark = pytest.mark.slow

SHOTS = os.environ.get("STUDIO_SCREENSHOTS")
"""Folder for a picture of each step; none are taken without."""
MOST_SECONDS = 15.0  # from the click to the player, for 5.12 s on two CPU cores
STEMS = ("bass", "drums", "guitar", "piano")
UNNAMED = """[...document.querySelectorAll("button, input, select, textarea, [tabindex]")]
    .filter((it) => it.checkVisibility())
    .filter((it) => !(it.getAttribute("aria-label") || it.labels?.length || it.innerText?.trim() || it.title))
    .map((it) => it.outerHTML)"""
"""JavaScript that gives what can be focused but has no name for screen readers."""


@contextlib.contextmanager
def command(folder: Path, port: int):
    """`synctrack studio` as a program of its own; gives the address that it prints."""
    pytest.importorskip("gradio", reason="STUDIO NOT TESTED: pip install -r requirements-dev.txt")
    words = [sys.executable, "-m", "synctrack.cli.main", "studio", "--out", str(folder), "--port", str(port)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            line = process.stdout.readline()
            assert line.startswith("The studio is at http://127.0.0.1:")
            yield line.split()[-1]
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0


def shoot(page: StudioPage, name: str) -> None:
    if SHOTS:
        page.tab.evaluate("document.activeElement?.blur(); scrollTo(0, 0)")
        page.tab.screenshot(path=Path(SHOTS) / f"studio_{name}.png")


def folder_of(root: Path, page: StudioPage, number: int) -> Path:
    return root / "sessions" / page.session / "takes" / f"{number:04d}" / "song"


def samples(folder: Path, stem: str) -> np.ndarray:
    return soundfile.read(folder / f"{stem}.wav", dtype="int32")[0]


def different(first: Path, second: Path) -> list[str]:
    return [stem for stem in STEMS if not np.array_equal(samples(first, stem), samples(second, stem))]


def check_zip(path: Path, folder: Path, place: Path) -> None:
    """The zip holds the take's own files, a DAW pack and a report."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        archive.extractall(place)
    (top,) = place.iterdir()
    song = {path.name: path.read_bytes() for path in (top / "song").iterdir()}
    assert set(song) == {*(f"{stem}.wav" for stem in STEMS), "mix.wav", "song.json"}
    assert {n: b for n, b in song.items() if n != "song.json"} == {
        path.name: path.read_bytes() for path in folder.iterdir() if path.name != "song.json"
    }
    # Who knows the name of a session may open it.
    name = folder.parents[2].name.encode()
    assert not any(name in file.read_bytes() for file in top.rglob("*") if file.suffix in (".json", ".html"))
    daw = {path.name for path in (top / "daw").iterdir()}
    assert daw == {"00_mix.wav", "00_beats.mid", "song.json", *(f"{i:02d}_{s}.wav" for i, s in enumerate(STEMS, 1))}
    report = (top / "report.html").read_text()
    assert "data:audio/flac" in report
    assert "<h1>Rhythm of take " in report


def test_from_start_to_a_song_that_is_taken_along_and_found_again_after_a_restart(tmp_path):
    root, port = tmp_path / "root", free_port()
    with chromium() as browser:
        with command(root, port) as address:
            page = StudioPage(browser, address)
            shoot(page, "start")
            page.fill("bpm", 110)
            begun = time.monotonic()
            made = page.make()
            # Other programs on the machine would count as well.
            if os.getloadavg()[0] < (os.cpu_count() or 1):
                assert time.monotonic() - begun < MOST_SECONDS
            page.quick(seconds=0, steps=10, bpm=110)
            page.until(lambda: "onset synchrony" in page.tab.locator("#words").inner_text())
            shoot(page, "make")
            page.tab.get_by_label("Given drums").set_input_files(folder_of(root, page, made) / "drums.wav")
            page.fill("seed", 5)
            given = page.make()
            assert "drums" not in different(folder_of(root, page, made), folder_of(root, page, given))
            page.choose_tab("Change")
            page.tab.get_by_role("checkbox", name="piano", exact=True).check()
            page.fill("bars", "2")
            again = page.make("again")
            assert different(folder_of(root, page, given), folder_of(root, page, again)) == ["piano"]
            page.until(lambda: "onset synchrony" in page.tab.locator("#words").inner_text())
            shoot(page, "change")
            page.fill("more_seconds", 1.28)
            longer = page.make("longer")
            assert load_song(folder_of(root, page, longer)).seconds == pytest.approx(6.4)
            page.press("undo")
            page.until(lambda: page.take == again)
            page.fill("strength_0", 0.5)
            varied = page.make("vary")
            assert different(folder_of(root, page, again), folder_of(root, page, varied)) == ["bass"]
            loop = page.make("loop")
            assert different(folder_of(root, page, varied), folder_of(root, page, loop)) == ["piano"]
            page.choose_tab("Separate")
            page.tab.locator("[data-upload=mix]").set_input_files(folder_of(root, page, made) / "mix.wav")
            page.until(lambda: "5.12 s" in page.tab.locator("[data-said=mix]").inner_text())
            shoot(page, "separate")
            separated = load_song(folder_of(root, page, page.make("separate")))
            mix, _ = soundfile.read(folder_of(root, page, made) / "mix.wav")
            np.testing.assert_allclose(sum(separated[stem] for stem in STEMS), mix, atol=1e-3)
            page.press("undo")
            page.until(lambda: page.take == loop)
            page.choose_tab("Take along")
            page.press("pack")
            page.until(lambda: page.tab.locator("#zip").count())
            shoot(page, "take_along")
            with page.tab.expect_download() as download:
                page.tab.locator("#zip").click()
            assert download.value.suggested_filename == f"take_{loop:04d}.zip"
            check_zip(download.value.path(), folder_of(root, page, loop), tmp_path / "zip")
            seen = page.session
            assert page.tab.url.endswith(f"?session={seen}")
            assert page.problems == []
            page.tab.close()
        with command(root, port) as address:
            page = StudioPage(browser, address, seen)
            page.until(lambda: page.take == loop)
            assert page.session == seen
            assert page.tab.locator("#history input").count() == 7
            # Another tab of the plain address begins anew, and can open the session from the list.
            other = StudioPage(browser, address)
            assert other.session != seen
            other.tab.locator("#sessions input").click()
            other.tab.get_by_role("option", name="7 takes").click()
            other.until(lambda: other.take == loop)
            assert page.problems == other.problems == []
    assert json.loads((root / "sessions" / seen / "session.json").read_text())["current"] == loop


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A studio of the small model, and a browser."""
    with running_studio(steered_model(), tmp_path_factory.mktemp("root")) as studio, chromium() as browser:
        yield studio, browser


def test_two_tabs_share_the_queue_and_do_not_disturb_each_other(small):
    studio, browser = small
    first, second = (StudioPage(browser, studio.address) for _ in range(2))
    assert first.session != second.session
    first.quick(seconds=5.12, steps=STEPS_OF_A_LONG_RUN)
    second.quick()
    first.press("make")
    first.until(lambda: first.status().startswith("Step "))
    second.press("make")
    second.until(lambda: second.status() == "Waiting: 1 job before this one.")
    # What one tab cancels is its own.
    first.press("cancel")
    first.until(lambda: first.status() == "Cancelled.")
    second.until(lambda: second.take == 1)
    assert first.tab.evaluate("studio.shown.take") is None
    assert first.tab.locator("#history input").count() == 0
    first.quick()
    assert first.make() == 1
    assert second.take == 1
    assert first.problems == second.problems == []


def test_page_is_used_by_the_keyboard_alone(small):
    studio, browser = small
    page = StudioPage(browser, studio.address)
    keyboard = page.tab.keyboard

    def focused() -> str:
        return page.tab.evaluate(
            "(() => { const it = document.activeElement; return it.getAttribute('aria-label')"
            " || it.labels?.[0]?.innerText || it.getAttribute('name') || it.innerText || it.tagName; })()"
        ).strip()

    def reach(name: str) -> None:
        for _ in range(120):
            if focused().startswith(name):
                return
            keyboard.press("Tab")
        raise AssertionError(f"{name} cannot be reached")

    def write(name: str, value: str) -> None:
        reach(name)
        keyboard.press("Control+a")
        keyboard.type(value)
        keyboard.press("Tab")

    write("Tempo", "120")
    write("Length", "1.28")
    reach("More")
    keyboard.press("Enter")
    reach("number input for Steps")
    write("number input for Steps", "2")
    reach("Make a song")
    keyboard.press("Enter")
    page.until(lambda: page.take == 1)
    reach("player of")
    keyboard.press("Space")
    page.until(lambda: page.tab.evaluate("studio.shown.player.running"))
    keyboard.press("Space")
    keyboard.press("1")
    assert page.tab.evaluate("[...studio.shown.player.state.mute]") == ["bass"]
    reach("Change")
    keyboard.press("Enter")
    reach("piano")
    keyboard.press("Space")
    reach("Another take")
    keyboard.press("Enter")
    page.until(lambda: page.take == 2)
    reach("Undo")
    keyboard.press("Enter")
    page.until(lambda: page.take == 1)
    for name in ("Separate", "Take along"):
        reach(name)
        keyboard.press("Enter")
        reach({"Separate": "Separate it", "Take along": "Pack it"}[name])
    assert page.tab.evaluate(UNNAMED) == []
    assert page.problems == []
