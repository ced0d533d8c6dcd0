"""Positions of a song's segments: non-overlapping from its start, shifted by up to half a segment in training.

All positions are samples at the model's rate. The rules are those of the published training data (not in the
paper); `tests/fixtures/golden_segments.json` holds their outcomes.
"""


def segment_starts(song_samples: int, segment_samples: int) -> range:
    """First samples of a song's segments; the tail that fills no segment is dropped."""
    return range(0, song_samples - segment_samples + 1, segment_samples)


def shifted_start(start: int, shift: int, song_samples: int, segment_samples: int) -> int:
    """First sample of a segment moved by `shift`, in [-segment_samples / 2, segment_samples / 2).

    A segment that would end after the song is moved back by half a segment (not to the song's end, as in the
    published data); one that would begin before the song begins at 0.
    """
    start += shift
    if start > song_samples - segment_samples:
        start -= segment_samples // 2
    return max(start, 0)


def stored_shifts(segment_samples: int, offsets: int) -> list[int]:
    """The shifts in a store of latents, 0 among them: one for each of `offsets` equal parts of the range."""
    return [(part - offsets // 2) * segment_samples // offsets for part in range(offsets)]


def stored_starts(song_samples: int, segment_samples: int, offsets: int) -> list[int]:
    """First samples, ascending, of a song's segments at all stored shifts."""
    starts, shifts = segment_starts(song_samples, segment_samples), stored_shifts(segment_samples, offsets)
    return sorted({shifted_start(start, shift, song_samples, segment_samples) for start in starts for shift in shifts})


def segment_name(song: str, start: int, sample_rate: int) -> str:
    """`<song>_from_<seconds>`, with leading zeros so that names sort by time."""
    return f"{song}_from_{start / sample_rate:07.2f}"
