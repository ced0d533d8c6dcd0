"""The studio's page in Chromium: songs are made, changed, undone and cancelled; what is broken is a message."""

import json
import threading
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers.browser import chromium
from helpers.steered import RATE, STEPS_OF_A_LONG_RUN, steered_model
from helpers.studio import StudioPage, running_studio
from synctrack.errors import InputError

pytestmark = pytest.mark.medium

SCORES = {
    "durations": {"song": 1.28},
    "timing": {
        "song": {
            "bass": {"finding": "together", "offset_ms": 1.0, "drift_percent": 0.0, "reason": ""},
            "drums": {"finding": "together", "offset_ms": 0.0, "drift_percent": 0.0, "reason": ""},
            "piano": {"finding": "offset", "offset_ms": 40.0, "drift_percent": 0.0, "reason": ""},
        }
    },
    "protocols": {"corrected": {"songs": {"song": {"cbs": 0.5, "cbd": 0.25, "irs": None}}}},
    "beats": {"corrected": {"song": {"bass": [0.25, 0.75]}}},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("studio")


@pytest.fixture(scope="module")
def studio(place):
    """A studio of the small model; scoring, which takes seconds, is replaced."""
    with running_studio(steered_model(), place / "root") as studio, pytest.MonkeyPatch.context() as patch:
        patch.setattr("synctrack.studio.workbench.score_folder", lambda *arguments, **options: dict(SCORES))
        yield studio


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def page(studio, browser):
    return StudioPage(browser, studio.address)


@pytest.fixture
def takes(page):
    """The page with two takes or more, whatever tests ran before."""
    page.quick()
    while page.tab.locator("#history input[type=radio]").count() < 2:
        page.make()
    return page


def stems_of(studio, page, number: int) -> dict[str, bytes]:
    folder = studio.bench.root / "sessions" / page.session / "takes" / f"{number:04d}" / "song"
    names = json.loads((folder / "song.json").read_text())["stems"]
    return {stem: (folder / f"{stem}.wav").read_bytes() for stem in names}


def test_song_is_made_and_played_without_console_errors_or_foreign_requests(page, studio):
    page.quick()
    number = page.make()
    assert len(page.tab.evaluate("studio.shown.player.tracks.map((track) => track.buffer.length)")) == 4
    assert page.tab.evaluate("studio.shown.player.duration") == pytest.approx(1.28)
    assert f"Take {number}" in page.status()
    page.until(lambda: "CBS 0.500" in page.tab.locator("#words").inner_text())
    assert "bass and drums together, piano is late by 0.04 s" in page.tab.locator("#words").inner_text()
    assert page.tab.evaluate("studio.shown.player.song.beats.bass") == [0.25, 0.75]
    assert page.problems == []


def test_another_take_of_one_stem_keeps_the_others_to_the_bit_and_undo_goes_back(page, studio):
    page.quick()
    first = page.make()
    page.choose_tab("Change")
    page.tab.get_by_role("checkbox", name="piano", exact=True).check()
    second = page.make("again")
    before, after = stems_of(studio, page, first), stems_of(studio, page, second)
    assert [stem for stem in before if before[stem] != after[stem]] == ["piano"]
    assert page.tab.locator("#history input[type=radio]").count() >= 2
    # A and B: the take before is the player's other side.
    assert page.tab.evaluate("studio.shown.player.song.target.piano").endswith(f"takes/{first}/piano.wav")
    assert page.tab.get_by_role("button", name="listen to the take before").is_visible()
    page.press("undo")
    page.until(lambda: page.take == first)
    page.tab.locator("#history").get_by_text(f"{second}. piano again").click()
    page.until(lambda: page.take == second)
    assert page.problems == []


def test_part_that_is_marked_in_the_player_fills_stem_and_bars(page):
    page.quick(seconds=2.56, bpm=240)
    page.make()
    page.choose_tab("Change")
    box = page.tab.locator(".stem[aria-label=guitar] .picture").bounding_box()
    mouse, middle = page.tab.mouse, box["y"] + box["height"] / 2
    # Bars of 1 s: from 1.1 s to 1.9 s is within the second.
    mouse.move(box["x"] + box["width"] * 1.1 / 2.56, middle)
    mouse.down()
    mouse.move(box["x"] + box["width"] * 1.9 / 2.56, middle, steps=4)
    mouse.up()
    page.until(lambda: page.tab.locator("#bars input, #bars textarea").input_value() == "2-2")
    assert page.tab.get_by_role("checkbox", name="guitar", exact=True).is_checked()
    assert not page.tab.get_by_role("checkbox", name="bass", exact=True).is_checked()


def test_tapping_sets_the_tempo(page):
    page.choose_tab("Make")
    page.fill("bpm", 0)
    # Half a second apart, give or take what the machine is busy with.
    page.tab.evaluate(
        "[0, 500, 1000].forEach((wait) => setTimeout(() => document.getElementById('tap').click(), wait))"
    )
    page.until(lambda: 60 < float(page.tab.locator("#bpm input").input_value()) < 240)


def test_damaged_scores_are_made_anew_and_a_damaged_song_is_a_message(takes, page, studio):
    page.quick()
    number = page.make()
    folder = studio.bench.root / "sessions" / page.session / "takes" / f"{number:04d}"
    page.until(lambda: (folder / "scores.json").is_file())
    (folder / "scores.json").write_text('{"protocols": 3}')
    first = page.tab.locator("#history input").count()
    page.press("undo")
    page.until(lambda: page.take not in (None, number))
    page.tab.locator("#history").get_by_text(f"{number}. ").first.click()
    page.until(lambda: page.take == number and "CBS 0.500" in page.tab.locator("#words").inner_text())
    (folder / "song" / "song.json").write_text("{}")
    page.press("undo")
    page.until(lambda: page.take not in (None, number))
    page.tab.locator("#history").get_by_text(f"{number}. ").first.click()
    page.until(lambda: "song.json is gone or damaged" in page.tab.locator("#stage").inner_text())
    assert page.tab.locator("#history input").count() == first
    page.press("undo")
    page.until(lambda: page.take not in (None, number))
    page.problems.clear()


def test_broken_upload_is_a_message_on_the_page_and_a_good_one_is_taken(page, studio, tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"RIFF and no more")
    soundfile.write(tmp_path / "<b>drums.wav", np.random.default_rng(0).normal(0, 0.1, 2 * RATE), RATE)
    page.choose_tab("Make")
    field, said = page.tab.get_by_label("Given drums"), page.tab.locator("[data-said=drums]")
    field.set_input_files(tmp_path / "broken.wav")
    page.until(lambda: "broken.wav: is not a readable audio file" in said.inner_text())
    assert said.get_attribute("role") == "alert"
    field.set_input_files(tmp_path / "<b>drums.wav")
    page.until(lambda: "<b>drums.wav: 2.00 s at 8000 Hz" in said.inner_text())
    page.quick(seconds=0)
    number = page.make()
    given, _ = soundfile.read(tmp_path / "<b>drums.wav", dtype="int16")
    folder = studio.bench.root / "sessions" / page.session / "takes" / f"{number:04d}" / "song"
    np.testing.assert_array_equal(soundfile.read(folder / "drums.wav", dtype="int16")[0], given)
    page.tab.locator("[data-remove=drums]").click()
    page.until(lambda: said.inner_text() == "")
    # The browser itself reports the refused request.
    assert [text for text in page.problems if "400" not in text] == []
    page.problems.clear()


def test_beats_file_and_best_of_two_reach_the_song(page, studio, tmp_path):
    beats = [0.3, 0.8, 1.3, 1.8, 2.3, 2.8]
    (tmp_path / "beats.json").write_text(json.dumps({"beats": beats, "downbeats": beats[::4]}))
    page.quick(bpm=0)
    said = page.tab.locator("[data-said=beats]")
    page.tab.get_by_label("Beats file instead of a tempo").set_input_files(tmp_path / "beats.json")
    page.until(lambda: "beats.json" in said.inner_text())
    page.fill("best_of", 2)
    number = page.make()
    folder = studio.bench.root / "sessions" / page.session / "takes" / f"{number:04d}" / "song"
    made = json.loads((folder / "song.json").read_text())
    assert made["steering"]["best_of"] == 2
    assert made["steering"]["beats"]["beats"] == beats
    page.fill("best_of", 1)
    page.tab.locator("[data-remove=beats]").click()
    page.until(lambda: said.inner_text() == "")
    assert page.problems == []


def test_what_cannot_be_made_is_a_message_and_nothing_else(page):
    page.quick(seconds=100)
    shown = page.take
    page.press("make")
    page.until(lambda: "up to 20 s are possible" in page.status())
    assert page.tab.locator("#status [role=alert]").count() == 1
    assert page.take == shown


def test_cancel_in_mid_run_stops_and_the_next_song_is_made(page, studio):
    page.quick(seconds=5.12, steps=STEPS_OF_A_LONG_RUN)
    takes = page.tab.locator("#history input").count()
    page.press("make")
    page.until(lambda: page.status().startswith("Step ") and not page.status().startswith("Step 0"))
    page.press("cancel")
    page.until(lambda: page.status() == "Cancelled.")
    assert page.tab.locator("#history input").count() == takes
    page.quick()
    page.make()
    assert page.problems == []


def test_page_that_is_loaded_again_follows_the_job_and_can_cancel_it(page, studio, browser):
    page.quick(seconds=5.12, steps=STEPS_OF_A_LONG_RUN)
    page.press("make")
    page.until(lambda: page.status().startswith("Step "))
    other = StudioPage(browser, studio.address, page.session)
    other.until(lambda: other.status().startswith("Step "))
    other.quick()
    other.press("make")
    other.until(lambda: other.tab.get_by_text("being made in this session already").count())
    other.press("cancel")
    for tab in (page, other):
        tab.until(lambda tab=tab: tab.status() == "Cancelled.")
    number = other.make()
    assert other.take == number
    assert page.problems == other.problems == []
    other.tab.close()


def test_take_is_packed_without_a_report_where_it_cannot_be_scored(page, studio, monkeypatch):
    def refuse(*arguments, **options):
        raise InputError("madmom: is not installed")

    monkeypatch.setattr("synctrack.studio.workbench.score_folder", refuse)
    page.quick()
    number = page.make()
    page.choose_tab("Take along")
    page.press("pack")
    page.until(lambda: "It has no report: madmom: is not installed" in page.status())
    with page.tab.expect_download() as download:
        page.tab.locator("#zip").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        names = archive.namelist()
    assert f"take_{number:04d}/song/mix.wav" in names
    assert not any(name.endswith("report.html") for name in names)


def answer(studio, path: str, data: bytes | None = None) -> tuple[int, str]:
    request = urllib.request.Request(studio.address + path, data=data)
    try:
        with urllib.request.urlopen(request) as found:
            return found.status, found.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


@pytest.mark.parametrize(
    "path",
    [
        "studio/x/takes/1/player.json",
        "studio/../../takes/1/player.json",
        "studio/{session}/takes/99/player.json",
        "studio/{session}/takes/1/mix.wav",
        "studio/{session}/takes/1/..%2F..%2Ftake.json.wav",
        "studio/{session}/bundles/1.zip",
        "gradio_api/file=/etc/passwd",
    ],
)
def test_route_gives_nothing_but_what_belongs_to_the_session(studio, takes, page, path):
    code, text = answer(studio, path.replace("{session}", page.session))
    assert code in (403, 404)
    assert "root:" not in text


def test_nothing_is_written_outside_the_folder_of_the_session(studio, takes, page):
    part = 'Content-Disposition: form-data; name="files"; filename="a.txt"'
    body = f"--x\r\n{part}\r\n\r\nhello\r\n--x--\r\n"
    request = urllib.request.Request(
        studio.address + "gradio_api/upload",
        data=body.encode(),
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(request)
    code, _ = answer(studio, "studio/x/uploads?kind=audio&name=a.wav", b"hello")
    assert code == 400
    sessions = studio.bench.root / "sessions"
    files = [path for path in studio.bench.root.rglob("*") if path.is_file()]
    assert files
    assert all(path.is_relative_to(sessions / page.session) for path in files)


def test_all_jobs_of_the_studio_run_in_one_thread(studio):
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("studio") == 1
