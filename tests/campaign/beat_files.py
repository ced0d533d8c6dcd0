"""Files of beats: of many songs for `score --beats`, of one song, annotations and MIDI."""

import json
import os
import struct
from pathlib import Path
from typing import Any

from campaign.cases import GENERATE, Case

TIMES = [0.5, 1.0, 1.5, 2.0, 2.5]
GOOD = {"beats": {"song": {"bass": TIMES, "drums": TIMES}}, "durations": {"song": 4.0}}


def _with(times: Any = TIMES, duration: Any = 4.0, stem: str = "bass", song: str = "song") -> dict[str, Any]:
    return {"beats": {song: {stem: times, "drums": TIMES}}, "durations": {song: duration}}


MANY: dict[str, Any] = {
    "infinite duration": _with(duration=float("inf")),
    "duration that is not a number": _with(duration=float("nan")),
    "huge duration": _with(duration=1e300),
    "duration of a day and more": _with(duration=1e6),
    "duration of 400 digits": _with(duration=10**400),
    "negative duration": _with(duration=-1.0),
    "duration zero": _with(duration=0),
    "duration a string": _with(duration="4"),
    "duration true": _with(duration=True),
    "duration null": _with(duration=None),
    "no durations": {"beats": GOOD["beats"]},
    "durations a list": GOOD | {"durations": [4.0]},
    "durations of another song": GOOD | {"durations": {"other": 4.0}},
    "infinite beat": _with(times=[0.5, float("inf")]),
    "beat that is not a number": _with(times=[0.5, float("nan")]),
    "negative beat": _with(times=[-1.0, 0.5]),
    "descending beats": _with(times=[1.0, 0.5]),
    "equal beats": _with(times=[1.0, 1.0]),
    "beat after the end": _with(times=[1.0, 9.0]),
    "beat of 400 digits": _with(times=[10**400]),
    "beats of text": _with(times=["x", "y"]),
    "beats of numbers in text": _with(times=["0.5", "1.0"]),
    "beats of switches": _with(times=[False, True]),
    "nested beats": _with(times=[[0.5], [1.0]]),
    "ragged beats": _with(times=[[0.5], 1.0]),
    "beats a number": _with(times=5),
    "beats null": _with(times=None),
    "beats a map": _with(times={"a": 1}),
    "beats of one stem": {"beats": {"song": {"bass": TIMES}}, "durations": {"song": 4.0}},
    "song without stems": GOOD | {"beats": {"song": {}}},
    "song a list": GOOD | {"beats": {"song": [TIMES]}},
    "no songs": GOOD | {"beats": {}},
    "beats a string": GOOD | {"beats": "all"},
    "other stems in another protocol": {
        "beats": {"paper": {"song": {"a": TIMES, "b": TIMES}}, "corrected": {"song": {"a": TIMES, "c": TIMES}}},
        "durations": {"song": 4.0},
    },
    "lone surrogate as a stem": _with(stem="\ud800"),
    "lone surrogate as a song": _with(song="\udfff"),
    "tracker a list": GOOD | {"tracker": ["a"]},
    "a string": "hello",
    "a number": 5,
    "null": None,
}
TEXTS: dict[str, str | bytes] = {
    "100,000 open brackets": 100_000 * "[",
    "100,000 open braces": 100_000 * '{"beats":',
    "deep lists of a song": '{"beats": ' + 50_000 * "[" + 50_000 * "]" + "}",
    "half a file": '{"beats": {"song": ',
    "empty": "",
    "not UTF-8": b'{"beats": {"caf\xe9": {}}}',
    "random bytes": bytes(range(256)) * 4,
    "integer of 5,000 digits": f'{{"beats": [0.5, {5000 * "9"}]}}',
    "1e999": '{"beats": {"song": {"a": [1e999], "b": [1]}}, "durations": {"song": 1e999}}',
}
ONE_SONG: dict[str, Any] = {
    "empty list": [],
    "one beat": [1.0],
    "list of text": ["x", "y"],
    "infinite": [0.5, float("inf")],
    "negative": [-1, 1],
    "descending": [2, 1],
    "later than a day": [1.0, 90000.0],
    "switches": [True, False],
    "downbeat that is no beat": {"beats": TIMES, "downbeats": [0.7]},
    "downbeats a number": {"beats": TIMES, "downbeats": 3},
    "downbeats of text": {"beats": TIMES, "downbeats": ["x"]},
    "downbeats null": {"beats": TIMES, "downbeats": None},
}
ANNOTATIONS: dict[str, str | bytes] = {
    "words": "hello\nworld\n",
    "empty": "",
    "only a comment": "# 0.5\n",
    "one beat": "0.5\n",
    "infinite": "0.5\ninf\n",
    "not a number": "0.5\nnan\n",
    "negative": "-1\n1\n",
    "descending": "2\n1\n",
    "later than a day": "1\n90000\n",
    "number in the bar zero": "0.5 0\n1.0 1\n",
    "number in the bar of text": "0.5 one\n1.0 two\n",
    "numbers on some lines": "0.5 1\n1.0\n",
    "random bytes": bytes(range(256)) * 4,
    "400 digits": "1\n" + 400 * "9" + "\n",
}


def _midi(*tracks: bytes, division: int = 480, count: int | None = None) -> bytes:
    head = b"MThd" + struct.pack(">IHHH", 6, 1, len(tracks) if count is None else count, division)
    return head + b"".join(b"MTrk" + struct.pack(">I", len(track)) + track for track in tracks)


END = b"\x00\xff\x2f\x00"
NOTE = b"\x00\x90\x3c\x40\x83\x60\x80\x3c\x00"
MIDI: dict[str, bytes] = {
    "empty": b"",
    "random bytes": bytes(range(256)) * 4,
    "only a head": _midi(),
    "track cut off": _midi(NOTE + END)[:-4],
    "denominator 2^200": _midi(b"\x00\xff\x58\x04\x04\xc8\x18\x08" + NOTE + END),
    "numerator zero": _midi(b"\x00\xff\x58\x04\x00\x02\x18\x08" + NOTE + END),
    "tempo zero": _midi(b"\x00\xff\x51\x03\x00\x00\x00" + NOTE + END),
    "broken length": _midi(b"\xff\xff\xff\xff\xff\xff\x90\x3c\x40" + END),
    "division zero": _midi(NOTE + END, division=0),
    "division of SMPTE": _midi(NOTE + END, division=0xE728),
    "65,535 tracks": _midi(NOTE + END, count=65535),
    "unknown status": _midi(b"\x00\xf4\xf5\xfd" + END),
    "data byte too large": _midi(b"\x00\x90\xff\xff" + END),
    "a delta of 2^28": _midi(b"\xff\xff\xff\x7f\x90\x3c\x40" + END),
    "no events": _midi(END),
}

SCORE = ("synctrack", "score", "--beats")
GENERATE_TO = (*GENERATE, "--beats")
TRUTH = ("synctrack", "score", "--beats", "{shared}/beats.json", "--truth")


def _fifo(folder: Path, _: Path) -> None:
    os.mkfifo(folder / "bad.json")


def _folder(folder: Path, _: Path) -> None:
    (folder / "bad.json").mkdir()


def _large(folder: Path, _: Path) -> None:
    with (folder / "bad.json").open("wb") as file:
        file.truncate(10 * 2**30)


def cases() -> list[Case]:
    """All of them."""
    found = []
    for name, content in MANY.items():
        found.append(Case(f"beats: {name}", (*SCORE, "bad.json"), ("bad.json",), {"bad.json": json.dumps(content)}))
    for name, text in TEXTS.items():
        for what, command in (("beats", SCORE), ("beats of a song", GENERATE_TO), ("truth", TRUTH)):
            found.append(Case(f"{what}: {name}", (*command, "bad.json"), ("bad.json",), {"bad.json": text}))
    for name, content in ONE_SONG.items():
        for what, command in (("beats", SCORE), ("beats of a song", GENERATE_TO)):
            files = {"bad.json": json.dumps(content)}
            found.append(Case(f"{what}, one song: {name}", (*command, "bad.json"), ("bad.json",), files))
    for kind, table in ((".txt", ANNOTATIONS), (".mid", MIDI)):
        for name, content in table.items():
            for what, command in (("beats", SCORE), ("beats of a song", GENERATE_TO)):
                files = {f"bad{kind}": content}
                found.append(Case(f"{what} as {kind}: {name}", (*command, f"bad{kind}"), (f"bad{kind}",), files))
    for name, prepare in (("a pipe", _fifo), ("a folder", _folder), ("10 GB", _large)):
        for what, command in (("beats", SCORE), ("beats of a song", GENERATE_TO), ("truth", TRUTH)):
            found.append(Case(f"{what}: {name}", (*command, "bad.json"), ("bad.json",), prepare=prepare))
    return found
