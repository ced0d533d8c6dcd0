"""Which instruments make up which stem: the sixteen families of General MIDI, which Slakh2100 uses as well."""

from pathlib import Path

from synctrack.bounds import check_stems
from synctrack.documents import read_yaml
from synctrack.errors import InputError

StemMap = dict[str, tuple[str, ...]]

# In the order of the programs, eight to a family; drums have a channel of their own.
FAMILIES = (
    "Piano",
    "Chromatic Percussion",
    "Organ",
    "Guitar",
    "Bass",
    "Strings",
    "Strings (continued)",
    "Brass",
    "Reed",
    "Pipe",
    "Synth Lead",
    "Synth Pad",
    "Synth Effects",
    "Ethnic",
    "Percussive",
    "Sound Effects",
)
DRUMS = "Drums"
FOUR_STEMS: StemMap = {"bass": ("Bass",), "drums": (DRUMS,), "guitar": ("Guitar",), "piano": ("Piano",)}


def load_stem_map(path: str | Path | None) -> StemMap:
    """Read a YAML map from stem to instrument families, such as `strings: [Strings, Strings (continued)]`.

    Without a file it is bass, drums, guitar and piano, as in the paper.

    Raises:
        InputError: no such map, a stem whose name is no file name, an unknown family, or one that is in two stems.
    """
    if path is None:
        return FOUR_STEMS
    entries = read_yaml(path)
    if not isinstance(entries, dict) or not all(isinstance(value, str | list) for value in entries.values()):
        raise InputError(f"{path}: is not a map of stems; write a line such as `bass: [Bass]` for each stem")
    try:
        check_stems("stems", [str(stem) for stem in entries])
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    known = {name.lower(): name for name in (*FAMILIES, DRUMS)}
    stems, claimed = {}, []
    for stem, names in entries.items():
        names = [names] if isinstance(names, str) else names
        unknown = [name for name in names if str(name).lower() not in known]
        if unknown or not names:
            raise InputError(f"{path}: {stem}: {unknown} is unknown; choose of {', '.join(known.values())}")
        stems[str(stem)] = tuple(known[name.lower()] for name in names)
        claimed += stems[str(stem)]
    if len(set(claimed)) < len(claimed):
        twice = {name for name in claimed if claimed.count(name) > 1}
        raise InputError(f"{path}: {', '.join(sorted(twice))} is in more than one stem; leave it in one")
    return stems
