"""What `song.json` says of a request, and the request that it says: enough to make the song again."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from synctrack.audio.beat_files import Beats
from synctrack.checkpoint.loading import CheckpointInfo
from synctrack.errors import InputError
from synctrack.files import sha256
from synctrack.generation.plan import Plan
from synctrack.generation.request import NO_BEATS, Request
from synctrack.generation.song import Song, load_song
from synctrack.generation.timing import beats_json
from synctrack.manifest import installed_versions

LARGEST_BATCH = 4096
AS_RECORDED = ("batch", "steering")
"""What says how a song was asked for, and is kept by a song that is made again."""
KNOWN = {item.name for item in fields(Request)} | {"drawn_bpm", "detected_beats"}
"""What `request_json` may say."""


def request_json(request: Request, plan: Plan) -> dict[str, Any]:
    """All of a request that is not as by default, as JSON; given audio by path and SHA-256."""
    asked = dict(request.asked)
    drawn = {} if plan.drawn_bpm is None else {"drawn_bpm": list(plan.drawn_bpm)}
    if set(asked) <= {"seconds"}:
        # Not the length of the files, which may hold whole bars alone.
        return {"seconds": plan.num_samples / plan.grid.sample_rate} | drawn
    if request.named_beats is not None:
        asked["beats"] = beats_json(request.named_beats)
    return asked | drawn | plan.facts


def recorded_settings(song: Song, where: str) -> dict[str, Any]:
    """The settings of `SyncTrack.stream` with which a song was made, but for its keys.

    Args:
        song: of `load_song`.
        where: its name, for messages.

    Raises:
        InputError: the song does not say how it was made, or given audio or the original is gone or has changed.
    """
    try:
        sampling, asked = song.info["sampling"], dict(song.info.get("steering", {}))
        if unknown := set(asked) - KNOWN:
            raise InputError(f"{where}: was made with {min(unknown)!r}, which this version does not know")
        settings = {name: sampling[name] for name in ("sampler", "steps")}
        if sampling["sampler"] == "ddim":
            settings["eta"] = sampling["eta"]
        if "given" in asked:
            asked["given"] = {stem: _file(facts, f"given {stem}", where) for stem, facts in asked["given"].items()}
        if "mix" in asked:
            asked["mix"] = _file(asked["mix"], "mix", where)
        if "original" in asked:
            asked["original"] = _original(asked["original"], where)
        if isinstance(asked.get("beats"), dict):
            asked["beats"] = Beats(asked["beats"]["beats"], asked["beats"]["downbeats"])
        # The range of tempi follows from the model. A song of which none was drawn may be older than the drawing.
        if "drawn_bpm" in asked:
            del asked["drawn_bpm"]
        elif "detected_beats" in asked:
            found = asked.pop("detected_beats")
            asked["beats"] = Beats(found["beats"], found["downbeats"])
        elif not {"bpm", "beats", "original"} & set(asked):
            asked["beats"] = NO_BEATS
        if "original" in asked:
            # Follows from the original.
            asked.pop("loop", None)
        if set(asked) <= {"beats"} and not isinstance(asked.get("beats"), Beats):
            asked["seconds"] = song.seconds
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{where}: does not say how the song was made ({error}); it cannot be made again") from error
    return settings | asked


def recorded_model(song: Song, where: str) -> str:
    """The name of the model that made a song. Raises InputError where it does not say."""
    model = song.info.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("name"), str):
        raise InputError(f"{where}: does not say which model made it; it cannot be made again")
    return model["name"]


def check_precision_of(song: Song, where: str, precision: str) -> None:
    """Raise InputError unless a song was made in this precision."""
    recorded = song.info.get("precision", precision)
    if recorded != precision:
        raise InputError(f"{where}: was made in {recorded}, not {precision}; load the model with precision {recorded}")


def recorded_key(song: Song, where: str) -> tuple[tuple[int, int], int, int]:
    """Seed and clip of a song, its position in its batch, and the batch's size. Raises InputError without them."""
    batch = song.info.get("batch", {"position": 0, "size": 1})
    values = [song.info.get("seed"), song.info.get("clip")]
    values += [batch.get("position"), batch.get("size")] if isinstance(batch, dict) else [None]
    if not all(type(value) is int and value >= 0 for value in values) or not values[2] < values[3] <= LARGEST_BATCH:
        raise InputError(f"{where}: its seed, clip or batch is missing or damaged; it cannot be made again")
    seed, clip, position, size = values
    return (seed, clip), position, size


def machine_facts(checkpoint: CheckpointInfo, precision: str, device: str) -> dict[str, Any]:
    """The weights, the precision, the kind of device and the packages with which a song is made."""
    return {
        "model": {"name": str(Path(checkpoint.path).absolute()), "sha256": checkpoint.sha256, "step": checkpoint.step},
        "precision": precision,
        "device": device,
        "versions": installed_versions("torch", "numpy"),
    }


def info_as_recorded(song: Song, old: Song) -> dict[str, Any]:
    """What to say of a song that was made again, in the order of the old one, so that its file is equal to the byte."""
    recorded = {name: old.info[name] for name in AS_RECORDED if name in old.info}
    info = {name: value for name, value in song.info.items() if name not in AS_RECORDED} | recorded
    return {name: info[name] for name in [*old.info, *info] if name in info}


def _file(facts: dict[str, str], name: str, where: str) -> Path:
    path = _path(facts, name, where)
    if not path.is_file():
        raise InputError(f"{where}: {name} was {path}, which is gone; put it back")
    if sha256(path) != facts["sha256"]:
        raise InputError(f"{where}: {name} was {path}, which has changed since; put the old file back")
    return path


def _original(facts: dict[str, str], where: str) -> Path:
    path = _path(facts, "original", where)
    if load_song(path).sha256 != facts["sha256"]:
        raise InputError(f"{where}: was made from {path}, which has changed since; put the old song back")
    return path


def _path(facts: dict[str, str], name: str, where: str) -> Path:
    if "path" not in facts:
        raise InputError(f"{where}: {name} was given as an array, not as a file; the song cannot be made from here")
    return Path(facts["path"])
