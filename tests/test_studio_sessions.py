"""The studio's sessions and uploads: kept on disk, found again, and never outside the session's folder."""

import asyncio
import io
import json

import numpy as np
import pytest
import soundfile

from helpers.steered import RATE, noise_song
from synctrack.errors import InputError
from synctrack.studio import uploads
from synctrack.studio.bundle import without_places
from synctrack.studio.sessions import MOST_TAKES, Session, list_sessions
from synctrack.studio.uploads import find_upload, take_upload


@pytest.fixture
def session(tmp_path):
    return Session.new(tmp_path)


def wav(seconds: float = 0.5, channels: int = 1, rate: int = RATE, file_format: str = "WAV") -> bytes:
    buffer = io.BytesIO()
    samples = np.random.default_rng(0).normal(0, 0.1, (round(seconds * rate), channels))
    soundfile.write(buffer, samples, rate, format=file_format)
    return buffer.getvalue()


def give(session, content: bytes, kind: str = "audio", shown: str = "drums.wav", seconds: float = 10.0):
    async def chunks():
        for begin in range(0, len(content), 1000):
            yield content[begin : begin + 1000]

    return asyncio.run(take_upload(session, kind, shown, chunks(), seconds))


def files_of(folder) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_new_session_writes_nothing_until_there_is_something(session, tmp_path):
    assert not session.exists
    assert session.current is None
    assert session.takes() == []
    assert files_of(tmp_path) == set()


def test_takes_are_found_again_with_their_order_and_the_current_one(session, tmp_path):
    song = noise_song(0.5)
    first = session.add(song, "seed 1", None)
    session.add(song, "piano again", first.number, ["is rounded"])
    session.undo(2)
    found = Session(tmp_path, session.name)
    assert [(take.number, take.label, take.before) for take in found.takes()] == [
        (1, "seed 1", None),
        (2, "piano again", 1),
    ]
    assert found.takes()[1].notes == ("is rounded",)
    assert found.current.number == 1
    np.testing.assert_array_equal(found.current.song()["bass"], song["bass"])
    assert list_sessions(tmp_path)[0][1] == session.name


def test_undo_goes_to_the_take_before_and_says_where_it_ends(session):
    song = noise_song(0.25)
    for before in (None, 1, 1):
        session.add(song, "take", before)
    assert session.undo(3).number == 1
    with pytest.raises(InputError, match="nothing comes before"):
        session.undo(1)


@pytest.mark.parametrize(
    "name", ["", "../x", "20260101-000000-" + "../" * 6, "x" * 32, None, 3, "20260101-000000-short"]
)
def test_name_that_is_not_a_session_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="session"):
        Session(tmp_path, name)


@pytest.mark.parametrize("number", [None, 0, -1, 2, "1", 1.0, True, MOST_TAKES + 1])
def test_take_that_is_not_there_is_refused(session, number):
    session.add(noise_song(0.25), "seed 1", None)
    with pytest.raises(InputError, match="has no take"):
        session.take(number)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"number": 1}', json.dumps({"number": 2, "stems": [], "notes": []})]
)
def test_damaged_take_is_left_out(session, content):
    song = noise_song(0.25)
    session.add(song, "good", None)
    (session.add(song, "bad", 1).folder / "take.json").write_text(content)
    assert [take.label for take in session.takes()] == ["good"]
    assert session.current.label == "good"
    assert session.add(song, "next", 1).number == 3


def test_take_that_cannot_be_written_leaves_nothing(session, monkeypatch):
    def fail(*arguments, **options):
        raise InputError("disk full")

    monkeypatch.setattr("synctrack.generation.song.Song.save", fail)
    with pytest.raises(InputError, match="disk full"):
        session.add(noise_song(0.25), "seed 1", None)
    assert session.takes() == []
    assert list((session.folder / "takes").iterdir()) == []


@pytest.mark.parametrize("shown", ["../../evil.wav", "/etc/passwd", "a\0b\n.wav", "", "x" * 500])
def test_name_of_an_upload_never_becomes_a_path(session, tmp_path, shown):
    upload = give(session, wav(), shown=shown)
    assert upload.token == "001.wav"
    assert files_of(tmp_path) == {f"sessions/{session.name}/uploads/001.wav"}
    assert "0.50 s" in upload.text
    assert find_upload(session, upload.token).read_bytes() == wav()


def test_formats_keep_their_suffix_and_numbers_rise(session):
    assert give(session, wav(file_format="FLAC"), shown="x.wav").token == "001.flac"
    assert give(session, wav(file_format="OGG")).token == "002.ogg"
    assert give(session, b"0.5 1\n1.0 2\n1.5 1\n", "beats", "b.txt").token == "003.txt"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"this is no audio" * 100, "not a readable audio file"),
        (wav()[:2000], "cut off or damaged"),
        (wav(file_format="FLAC")[:3000], "cut off or damaged"),
        (wav(seconds=11.0), "up to 10 s"),
        (wav(channels=17), "17 channels"),
        (wav(rate=1000), "1000 Hz"),
        (wav(file_format="AU"), "is AU; give WAV"),
    ],
)
def test_broken_or_unwelcome_audio_is_one_line_and_leaves_nothing(session, tmp_path, content, message):
    with pytest.raises(InputError, match=message) as refused:
        give(session, content, shown="mine.wav")
    assert "mine.wav" in str(refused.value)
    assert str(tmp_path) not in str(refused.value)
    assert "\n" not in str(refused.value)
    assert files_of(tmp_path) == set()


def test_samples_that_are_not_numbers_are_refused(session):
    buffer = io.BytesIO()
    soundfile.write(buffer, np.full(4000, np.nan, np.float32), RATE, subtype="FLOAT", format="WAV")
    with pytest.raises(InputError, match="not numbers"):
        give(session, buffer.getvalue())


def test_upload_over_the_limit_stops_being_read(session, tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_AUDIO_BYTES", 2**20)
    read = []

    async def endless():
        while True:
            read.append(1)
            yield bytes(2**18)

    with pytest.raises(InputError, match="larger than 1 MiB"):
        asyncio.run(take_upload(session, "audio", "big.wav", endless(), 10.0))
    assert len(read) == 5
    assert files_of(tmp_path) == set()


def test_number_of_uploads_is_limited(session, monkeypatch):
    monkeypatch.setattr(uploads, "MOST_FILES", 2)
    give(session, wav())
    give(session, wav())
    with pytest.raises(InputError, match="2 files"):
        give(session, wav())


@pytest.mark.parametrize(
    ("content", "shown", "message"),
    [(b"0.5\n0.4\n", "b.txt", "must ascend"), (b"{", "b.json", "not JSON"), (b"x", "b.exe", "not a file of beats")],
)
def test_broken_beats_are_refused(session, tmp_path, content, shown, message):
    with pytest.raises(InputError, match=message) as refused:
        give(session, content, "beats", shown)
    assert shown in str(refused.value)
    assert str(tmp_path) not in str(refused.value)


@pytest.mark.parametrize("token", ["../session.json", "001.wav/..", "001", "", None, "002.wav", "001.wav\0"])
def test_token_that_is_not_an_upload_is_refused(session, token):
    give(session, wav())
    session.add(noise_song(0.25), "seed 1", None)
    with pytest.raises(InputError, match="give it again"):
        find_upload(session, token)


def test_folder_of_an_impossible_date_is_no_session(session, tmp_path):
    session.add(noise_song(0.5), "seed 1", None)
    name = "99999999-999999-AAAAAAAAAAAAAAAA"
    (tmp_path / "sessions" / name / "takes" / "0001").mkdir(parents=True)
    (tmp_path / "sessions" / name / "takes" / "0001" / "take.json").write_text("{}")
    assert [found for _, found in list_sessions(tmp_path)] == [session.name]
    with pytest.raises(InputError, match="there is no such session"):
        Session(tmp_path, name)


def test_what_is_taken_along_does_not_say_where_the_session_lies(session, tmp_path):
    upload = session.folder / "uploads" / "001.wav"
    facts = {
        "steering": {"original": {"path": str(session.folder / "takes" / "0001" / "song")}, "redo": ["piano"]},
        "given": [{"path": str(upload), "sha256": "00"}],
        "model": {"name": "/home/somebody/runs/last.ckpt", "step": 3},
    }
    public = without_places(facts, session.folder)
    assert session.name not in json.dumps(public)
    assert str(tmp_path) not in json.dumps(public)
    assert public["steering"] == {"original": {"path": "takes/0001/song"}, "redo": ["piano"]}
    assert public["given"] == [{"path": "uploads/001.wav", "sha256": "00"}]
    assert public["model"] == {"name": "last.ckpt", "step": 3}
