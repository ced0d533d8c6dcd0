"""SyncTrack: synchronised multi-stem music generation by latent diffusion, and rhythm metrics for stems.

    from synctrack import SyncTrack, load_songs, score

    model = SyncTrack.from_pretrained("demo")
    song = model.generate(seed=7)
    song.save("song")
    print(score("song").cbs)

The names below are imported when they are first used, so that `import synctrack` takes no time.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synctrack.generation.song import Song, load_song, load_songs
    from synctrack.metrics.scores import Scores, score
    from synctrack.pipeline import SyncTrack

__version__ = "0.2.0"
__all__ = ["Scores", "Song", "SyncTrack", "__version__", "load_song", "load_songs", "score"]

_PLACES = {
    "Scores": "synctrack.metrics.scores",
    "Song": "synctrack.generation.song",
    "SyncTrack": "synctrack.pipeline",
    "load_song": "synctrack.generation.song",
    "load_songs": "synctrack.generation.song",
    "score": "synctrack.metrics.scores",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'synctrack' has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
