"""The report page in a real browser: it opens from disk, plays in step, and shows every name as text."""

import re
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.browser import chromium
from helpers.metrics_corpus import clicks
from synctrack.metrics.beats.layout import find_layout
from synctrack.metrics.score import score_folder
from synctrack.report.figures import plot_scores
from synctrack.report.page.content import choose
from synctrack.report.page.write import render_page, write_page

pytestmark = pytest.mark.medium

RATE = 44100
SECONDS = 4.0
EVIL = "<img src=x onerror=alert(1)>"
TONES = {"bass": 200.0, "drums": 900.0, "</script><b>": 3000.0}
BEATS = np.arange(0.5, SECONDS, 0.5)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> tuple[Path, dict]:
    """A folder of songs whose stems are clicks with tones of their own, its targets, and its scores."""
    place = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNCTRACK_CACHE", str(place / "cache"))
        times = np.arange(round(SECONDS * RATE)) / RATE
        for folder, level in (("songs", 0.2), ("targets", 0.1)):
            for song in (EVIL, "two"):
                for stem, tone in TONES.items():
                    file = place / folder / song / f"{re.sub('/', '', stem)}.wav"
                    file.parent.mkdir(parents=True, exist_ok=True)
                    wave = clicks(BEATS, SECONDS, RATE) * 0.3 + level * np.sin(2 * np.pi * tone * times)
                    soundfile.write(file, wave, RATE)
        result = score_folder(place / "songs", place / "targets", layout="songs")
    return place, result


@pytest.fixture(scope="module")
def page(place):
    folder, result = place
    layouts = (find_layout(folder / "songs", "songs"), find_layout(folder / "targets", "songs"))
    write_page(folder / "report.html", result, *layouts, {"seed": EVIL})
    with chromium() as browser:
        tab = browser.new_page()
        tab.problems, tab.requests = [], []
        tab.on("console", lambda message: tab.problems.append(message.text))
        tab.on("pageerror", lambda error: tab.problems.append(str(error)))
        tab.on("dialog", lambda dialog: (tab.problems.append("dialog"), dialog.dismiss()))
        tab.on("request", lambda request: tab.requests.append(request.url))
        tab.goto((folder / "report.html").as_uri())
        tab.wait_for_selector("#player[data-ready]")
        yield tab


def until(page, condition: str) -> None:
    """Wait for a condition; playwright's own waiting needs eval, which the page forbids."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        time.sleep(0.1)
    raise AssertionError(f"never: {condition}")


def strength(samples: list[float], tone: float) -> float:
    """Amplitude of a tone in rendered samples."""
    wave = np.array(samples)
    return 2 * abs(np.mean(wave * np.exp(-2j * np.pi * tone * np.arange(len(wave)) / RATE)))


def rendered(page, **options) -> list[float]:
    return page.evaluate("options => synctrack.renderOffline(0, options)", {"rate": RATE, **options})


def heard(page, **options) -> list[float]:
    return [round(strength(rendered(page, **options), tone), 2) for tone in TONES.values()]


def test_page_opens_from_disk_without_errors_or_requests(page):
    assert page.problems == []
    assert [url for url in page.requests if not url.startswith("file:")] == []
    assert len(page.requests) == 1
    assert page.locator("#list li").count() == 2


def test_names_are_text(page):
    assert page.locator("img").count() == 0
    assert EVIL in page.locator("#list").inner_text()
    assert EVIL in page.locator("pre").inner_text(timeout=1000) or EVIL in page.locator("pre").text_content()


def test_solo_mute_volume_and_target_change_what_sounds(page):
    assert heard(page) == [0.2, 0.2, 0.2]
    expected = [0.2 if tone == 200.0 else 0.0 for tone in TONES.values()]
    assert heard(page, solo=["bass"]) == expected
    assert heard(page, mute=["bass"]) == [round(0.2 - value, 1) for value in expected]
    assert heard(page, volume={"drums": 0.5}) == [0.2, 0.1, 0.2]
    assert heard(page, side="target") == [0.1, 0.1, 0.1]


def test_stems_start_within_one_sample_and_seek_and_loop_do_what_they_say(page, place):
    stems = page.evaluate("Object.keys(synctrack.songs[0].audio.stems)")
    folder, _ = place
    song = page.evaluate("synctrack.songs[0].name")
    for stem in stems:
        original, _ = soundfile.read(folder / "songs" / song / f"{stem}.wav")
        # Seeking to 1 s gives the file's own samples from 1 s on, to the sample.
        part = np.array(rendered(page, solo=[stem], **{"from": 1.0}, seconds=0.5))
        np.testing.assert_allclose(part, original[RATE : RATE + len(part)], atol=2e-4)
    looped = np.array(rendered(page, solo=["bass"], loop=[0.5, 1.0], **{"from": 0.5}, seconds=1.0))
    np.testing.assert_allclose(looped[: RATE // 2], looped[RATE // 2 : RATE], atol=2e-4)


def test_buttons_and_keys_work(page):
    page.locator("h1").click()
    page.keyboard.press("Space")
    until(page, "synctrack.player.playing.length > 0 && synctrack.player.now() > 0.1")
    page.keyboard.press("Space")
    assert page.evaluate("synctrack.player.playing.length") == 0
    page.evaluate("synctrack.player.seek(0)")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("synctrack.player.now()") == pytest.approx(1.0)
    page.keyboard.press("1")
    assert page.locator(".stem button[aria-pressed=true]").count() == 1
    page.keyboard.press("1")
    page.keyboard.press("Shift+2")
    solo = page.evaluate("[...synctrack.player.state.solo]")
    assert solo == [page.evaluate("Object.keys(synctrack.songs[0].audio.stems)[1]")]
    page.keyboard.press("t")
    assert page.evaluate("synctrack.player.state.side") == "target"
    page.keyboard.press("l")
    assert page.evaluate("synctrack.player.state.loop")[0] == 0
    page.locator("#list button").nth(1).click()
    until(page, "synctrack.player.tracks.length > 0")
    assert page.evaluate("synctrack.player.state.side") == "stems"
    assert page.problems == []


def test_every_control_has_a_name_for_screen_readers(page):
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, canvas, svg')]"
        ".filter(e => !e.getAttribute('aria-label') && !e.textContent.trim()).length"
    )
    assert unnamed == 0


def test_audio_beyond_the_limit_is_left_out_and_said(place):
    folder, result = place
    html = render_page(result, find_layout(folder / "songs", "songs"), max_mb=0.0)
    assert "2 of 2 songs have no audio here" in html
    assert "<img src=x" not in html
    assert len(html) < 200_000


def test_worst_best_and_middle_come_first():
    assert choose(["a", "b", "c", "d", "e"]) == ["a", "e", "c", "b", "d"]
    assert choose([]) == []


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_scores_are_drawn(place, tmp_path, suffix):
    plot_scores(tmp_path / f"scores.{suffix}", place[1])
    assert (tmp_path / f"scores.{suffix}").stat().st_size > 5000


def test_command_writes_the_page(place, run, tmp_path, monkeypatch):
    folder, _ = place
    monkeypatch.setenv("SYNCTRACK_CACHE", str(folder / "cache"))
    (tmp_path / "run.py").write_text("import runpy; runpy.run_module('synctrack.cli.main', run_name='__main__')")
    command = ("report", folder / "songs", "--layout", "songs", "--out", "page.html", "--max-mb", "1")
    assert run(tmp_path / "run.py", *command).stdout == "page.html\n"
    assert "default-src 'none'" in (tmp_path / "page.html").read_text()
    refused = run(tmp_path / "run.py", *command[:-1], "nan", check=False)
    assert (refused.returncode, "--max-mb nan" in refused.stderr) == (2, True)
