"""The report page in a real browser: it opens from disk, plays in step, and shows every name as text."""

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.browser import chromium, until
from helpers.commands import PATIENCE
from helpers.metrics_corpus import clicks
from synctrack.cli import report
from synctrack.metrics.score import Scored, score_files
from synctrack.report.figures import plot_scores
from synctrack.report.page.write import render_page, report_scored

pytestmark = pytest.mark.medium

RATE = 44100
SECONDS = 4.0
EVIL = "<img src=x onerror=alert(1)>"
TONES = {"bass": 200.0, "drums": 900.0, "</script><b>": 3000.0}
BEATS = np.arange(0.5, SECONDS, 0.5)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> tuple[Path, Scored]:
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
        (place / "songs" / EVIL / "song.json").write_text(json.dumps({"seed": 3, "sampling": {"steps": 7}}))
        (place / "songs" / "manifest.json").write_text(json.dumps({"settings": {"model": EVIL}, "clips": [1]}))
        scored = score_files(place / "songs", place / "targets", layout="songs", fad="mel")
    return place, scored


@pytest.fixture(scope="module")
def page(place):
    folder, scored = place
    report_scored(folder / "report.html", scored, folder / "songs")
    with chromium() as browser:
        tab = browser.new_page()
        tab.problems, tab.requests = [], []
        tab.on("console", lambda message: tab.problems.append(message.text))
        tab.on("pageerror", lambda error: tab.problems.append(str(error)))
        tab.on("dialog", lambda dialog: (tab.problems.append("dialog"), dialog.dismiss()))
        tab.on("request", lambda request: tab.requests.append(request.url))
        tab.goto((folder / "report.html").as_uri())
        yield tab


@pytest.fixture
def first(page):
    """The page with its first song opened anew."""
    page.locator("#list button").nth(1).click()
    page.locator("#list button").first.click()
    page.wait_for_selector("#player [data-ready]")
    return page


def strength(samples: list[float], tone: float) -> float:
    """Amplitude of a tone in rendered samples."""
    wave = np.array(samples)
    return 2 * abs(np.mean(wave * np.exp(-2j * np.pi * tone * np.arange(len(wave)) / RATE)))


def press(page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def rendered(page, seconds: float = 0.5) -> np.ndarray:
    """What the player would play from where it is, as it is set."""
    text = page.evaluate(
        f"synctrack.player.render({seconds}).then(samples => {{ let text = '';"
        "for (const byte of new Uint8Array(samples.buffer)) text += String.fromCharCode(byte);"
        "return btoa(text); })"
    )
    return np.frombuffer(base64.b64decode(text), "<f4").astype(float)


def heard(page) -> list[float]:
    """The amplitude of each stem's tone in what is rendered."""
    return [round(strength(rendered(page), tone), 2) for tone in TONES.values()]


def test_page_opens_from_disk_without_errors_or_requests(page):
    assert page.problems == []
    assert [url for url in page.requests if not url.startswith("file:")] == []
    assert len(page.requests) == 1
    assert page.locator("#list li").count() == 2


def test_names_are_text(page):
    assert page.locator("img").count() == 0
    assert EVIL in page.locator("#list").inner_text()
    assert EVIL in page.locator("header .facts").text_content()


def test_page_says_how_songs_were_made_and_shows_every_table(first):
    assert "settings.model" in first.locator("header .facts").text_content()
    assert first.locator("#player .facts").text_content() == "seed3sampling.steps7"
    headings = first.locator("h2").all_text_contents()
    assert headings[:2] == ["Scores", "Songs, worst first"]
    assert headings[2].startswith("Fréchet audio distances")
    assert headings[3:] == ["Stems", "Distributions over songs", "Pairs of stems"]
    captions = first.locator("caption").all_text_contents()
    assert captions == ["CBS, corrected", "CBD, corrected", "lag (s), corrected", "onset synchrony"]
    # Two lines of dots, folder and reference, of two songs each.
    assert first.locator("figure svg").first.locator("circle").count() == 4
    assert first.get_by_role("row").filter(has_text="mix").count() == 1


def test_colours_follow_the_system(first):
    wave = "getComputedStyle(document.querySelector('.synctrack-player')).getPropertyValue('--wave')"
    picture = "document.querySelector('canvas').toDataURL()"
    first.emulate_media(color_scheme="light")
    light, drawn = first.evaluate(f"[{wave}, {picture}]")
    first.emulate_media(color_scheme="dark")
    # The page draws its waveforms again once it is told of the change.
    first.wait_for_function(f"before => {picture} !== before", arg=drawn, timeout=1000 * PATIENCE)
    assert first.evaluate(wave) != light
    first.emulate_media(color_scheme="light")
    first.wait_for_function(f"before => {picture} === before", arg=drawn, timeout=1000 * PATIENCE)


def test_solo_mute_volume_and_target_change_what_sounds(first):
    assert heard(first) == [0.2, 0.2, 0.2]
    press(first, "solo bass")
    assert heard(first) == [0.2, 0.0, 0.0]
    press(first, "mute bass")
    assert heard(first) == [0.0, 0.0, 0.0]
    press(first, "solo bass")
    assert heard(first) == [0.0, 0.2, 0.2]
    press(first, "mute bass")
    first.get_by_label("volume of drums").fill("0.5")
    assert heard(first) == [0.2, 0.1, 0.2]
    press(first, "listen to the target")
    assert heard(first) == [0.1, 0.05, 0.1]


def test_stems_start_within_one_sample_and_seek_does_what_it_says(first, place):
    song = first.evaluate("synctrack.songs[0].name")
    first.get_by_label("position").fill("1")
    for stem in TONES:
        file = re.sub("/", "", stem)
        original, _ = soundfile.read(place[0] / "songs" / song / f"{file}.wav")
        press(first, f"solo {file}")
        # The file's own samples from 1 s on, to the sample.
        np.testing.assert_allclose(rendered(first, 0.5), original[RATE : RATE + RATE // 2], atol=2e-4)
        press(first, f"solo {file}")


def test_dragged_region_is_repeated(first):
    box = first.locator(".picture").first.bounding_box()
    middle = box["y"] + box["height"] / 2
    first.mouse.move(box["x"] + 0.25 * box["width"], middle)
    first.mouse.down()
    first.mouse.move(box["x"] + 0.5 * box["width"], middle, steps=3)
    first.mouse.up()
    begin, end = first.evaluate("synctrack.player.state.region")
    assert (begin, end) == (pytest.approx(1.0, abs=0.02), pytest.approx(2.0, abs=0.02))
    first.evaluate("synctrack.player.setRegion([1.5, 1.25]), synctrack.player.seek(1.25)")
    looped, length = rendered(first, 1.0), RATE // 4
    for begin in range(length, RATE, length):
        np.testing.assert_allclose(looped[begin : begin + length], looped[:length], atol=2e-4)
    press(first, "loop the marked region")
    assert np.abs(rendered(first, 1.0) - looped)[length:].max() > 0.1
    # A click without a drag seeks.
    first.mouse.click(box["x"] + 0.75 * box["width"], middle)
    assert first.evaluate("synctrack.player.now()") == pytest.approx(3.0, abs=0.02)


def test_buttons_and_keys_work(first):
    state = "synctrack.player.state"
    first.locator("h1").click()
    first.keyboard.press("Space")
    until(first, "synctrack.player.playing.length > 0 && synctrack.player.now() > 0.1")
    first.keyboard.press("Space")
    assert first.evaluate("synctrack.player.playing.length") == 0
    press(first, "play")
    until(first, "synctrack.player.playing.length > 0")
    press(first, "pause")
    first.locator("h1").click()
    first.evaluate("synctrack.player.seek(0)")
    first.keyboard.press("ArrowRight")
    first.keyboard.press("a")
    first.keyboard.press("ArrowRight")
    first.keyboard.press("b")
    assert first.evaluate(f"[{state}.loop, ...{state}.region]") == [True, 1, 2]
    first.keyboard.press("l")
    assert first.evaluate(f"{state}.loop") is False
    first.keyboard.press("1")
    assert first.locator(".stem button[aria-pressed=true]").count() == 1
    first.keyboard.press("1")
    first.keyboard.press("Shift+2")
    assert first.evaluate(f"[...{state}.solo]") == [first.evaluate("Object.keys(synctrack.songs[0].audio.stems)[1]")]
    first.keyboard.press("t")
    assert first.evaluate(f"{state}.side") == "target"
    first.locator("#list button").nth(1).click()
    first.wait_for_selector("#player [data-ready]")
    assert first.evaluate(f"{state}.side") == "stems"
    # The button has the focus: it is the song that is open, which the key plays.
    first.evaluate("synctrack.player.flip('mute', 'bass')")
    first.keyboard.press("Space")
    until(first, "synctrack.player.playing.length > 0")
    first.keyboard.press("Space")
    assert first.evaluate(f"[synctrack.player.playing.length, {state}.mute.size]") == [0, 1]
    assert first.problems == []


def test_every_control_has_a_name_for_screen_readers(page):
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, canvas, svg')]"
        ".filter(e => !e.getAttribute('aria-label') && !e.textContent.trim()).length"
    )
    assert unnamed == 0


def test_audio_beyond_the_limit_is_left_out_and_said(place):
    scored = place[1]
    html = render_page(scored.result, scored.folder, max_mb=0.0)
    assert "2 of 2 songs have no audio here" in html
    assert "<img src=x" not in html
    assert len(html) < 200_000


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_scores_are_drawn(place, tmp_path, suffix):
    plot_scores(tmp_path / f"scores.{suffix}", place[1].result)
    assert (tmp_path / f"scores.{suffix}").stat().st_size > 5000


def test_command_writes_the_page(place, monkeypatch, tmp_path, capsys):
    folder, _ = place
    monkeypatch.setenv("SYNCTRACK_CACHE", str(folder / "cache"))
    out = tmp_path / "page.html"
    command = [str(folder / "songs"), "--layout", "songs", "--protocol", "corrected", "--out", str(out)]
    report.main([*command, "--max-mb", "1"], "synctrack report")
    assert capsys.readouterr().out == f"{out}\n"
    page = out.read_text()
    assert "default-src 'none'" in page
    assert page.count("base64,ZkxhQ") == 6
