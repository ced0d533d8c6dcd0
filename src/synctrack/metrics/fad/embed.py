"""Embeddings of the files of a folder, kept by content like beats: `mel`, `vggish` or `clap`."""

import hashlib
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from synctrack.audio.files import read_channels
from synctrack.errors import InputError, needs_extra
from synctrack.files import atomic_path, require_ordinary, sha256
from synctrack.metrics.beats.cache import cache_folder
from synctrack.metrics.parallel import in_threads
from synctrack.metrics.summary import SILENCE_PEAK

EMBEDDINGS = ("mel", "vggish", "clap")
REVISION = 2
CLAP_REVISION = 3
CLAP_RATE = 48000
CLAP_SECONDS = 10


@dataclass(frozen=True)
class Embedding:
    """An embedding of audio.

    Attributes:
        name: one of EMBEDDINGS.
        version: name and weights; embeddings of another one are not mixed with it.
        rate: of the samples that `embed` takes, in Hz.
        first_channel: take the first channel alone, as the published VGGish evaluation does; otherwise their mean.
        embed: samples (n,) → (patches, d).
    """

    name: str
    version: str
    rate: int
    embed: Callable[[np.ndarray], np.ndarray]
    first_channel: bool = False


def make_embedding(name: str, weights: Path | None = None) -> Embedding:
    """The embedding called `name`.

    Args:
        name: one of EMBEDDINGS.
        weights: the torch port's file for `vggish`, a local folder for `clap`; none for `mel`.

    Raises:
        InputError: there is no such embedding, or its weights are missing or wrong.
    """
    if name == "mel":
        if weights is not None:
            raise InputError("embedding mel: has no weights; leave them out")
        from synctrack.metrics.fad.mel import RATE, mel_embeddings

        return Embedding(name, f"mel, revision {REVISION}", RATE, mel_embeddings)
    if name not in EMBEDDINGS:
        raise InputError(f"embedding {name}: must be one of {', '.join(EMBEDDINGS)}")
    if weights is None or not weights.exists():
        what = "file of the torch port" if name == "vggish" else "local folder of the model"
        gone = f"; {weights} is not there" if weights else ""
        raise InputError(f"embedding {name}: needs weights, the {what}{gone}")
    return _vggish(weights) if name == "vggish" else _clap(weights)


def _vggish(weights: Path) -> Embedding:
    from synctrack.metrics.fad.vggish import RATE, load_vggish, vggish_embeddings

    model = load_vggish(weights)
    content = sha256(weights)[:16]
    version = f"vggish {content}, revision {REVISION}"
    return Embedding("vggish", version, RATE, lambda samples: vggish_embeddings(model, samples), first_channel=True)


def _clap(folder: Path) -> Embedding:
    with needs_extra("clap", "embedding clap"):
        from transformers import ClapFeatureExtractor, ClapModel
    import torch

    try:
        # What is not in the file would be drawn anew at random, with a warning at most.
        model, found = ClapModel.from_pretrained(folder, local_files_only=True, output_loading_info=True)
        extract = ClapFeatureExtractor.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"{folder}: is not a folder of CLAP ({reason})") from error
    if found["missing_keys"]:
        raise InputError(f"{folder}: lacks weights of CLAP, such as {sorted(found['missing_keys'])[0]}")
    model.eval()
    # Pieces are not longer than the model takes, so that neither way of shortening has anything to shorten.
    shorten = "fusion" if model.config.audio_config.enable_fusion else "rand_trunc"

    def embed(samples: np.ndarray) -> np.ndarray:
        length = CLAP_SECONDS * CLAP_RATE
        # The rest of a longer file is left out, as the other embeddings do: a quarter second is no music.
        pieces = [samples[i : i + length] for i in range(0, max(len(samples) - length, 0) + 1, length)]
        inputs = extract(pieces, truncation=shorten, sampling_rate=CLAP_RATE, return_tensors="pt")
        with torch.inference_mode():
            features = model.get_audio_features(**inputs)
        # Newer versions of transformers wrap the tensor.
        return getattr(features, "pooler_output", features).numpy()

    return Embedding("clap", f"clap {_content(folder)}, revision {CLAP_REVISION}", CLAP_RATE, embed)


def _content(folder: Path) -> str:
    """A short hash of all files of a model's folder."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return hashlib.sha256("".join(path.name + sha256(path) for path in files).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Embedded:
    """The embeddings of several files.

    Attributes:
        values: (patches, d) of all items in their order.
        songs: (patches,), the number of the item that each patch is of.
        silent: files without a sample above -60 dB in what the embedding takes; their embeddings are among `values`.
    """

    values: np.ndarray
    songs: np.ndarray
    silent: Sequence[Path]


def read_for(embedding: Embedding, path: Path) -> np.ndarray:
    """The samples (n,) of a file that an embedding takes. Raises InputError where it cannot be read or holds NaN."""
    file = read_channels(path)
    samples = file.samples[:, 0] if embedding.first_channel else file.samples.mean(axis=1)
    samples, own = np.ascontiguousarray(samples), file.sample_rate
    return samples if own == embedding.rate else soxr.resample(samples, own, embedding.rate)


def embed_files(groups: Sequence[Sequence[Path]], embedding: Embedding, cache: bool = True) -> Embedded:
    """Embeddings of sums of files.

    Args:
        groups: for each item the files that sound together, such as the stems of a subset; mostly one.
        embedding: of `make_embedding`.
        cache: use and fill the user's cache.

    Raises:
        InputError: a file cannot be read.
    """
    found = list(in_threads(lambda files: _embed_once(files, embedding, cache), groups))
    silent = [files[0] for files, (_, peak) in zip(groups, found, strict=True) if peak < SILENCE_PEAK]
    songs = np.repeat(np.arange(len(found)), [len(values) for values, _ in found])
    return Embedded(np.concatenate([values for values, _ in found]), songs, silent)


def _kept(entry: Path) -> tuple[np.ndarray, float] | None:
    """Embeddings and peak from a file of the cache; None where there is none, or where it is damaged."""
    try:
        require_ordinary(entry)
        with np.load(entry) as kept:
            values, peak = kept["values"], float(kept["peak"])
    except (InputError, OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, zipfile.BadZipFile):
        return None
    whole = values.dtype == np.float32 and values.ndim == 2 and np.isfinite(values).all() and np.isfinite(peak)
    return (values, peak) if whole else None


def _embed_once(files: Sequence[Path], embedding: Embedding, cache: bool) -> tuple[np.ndarray, float]:
    key = hashlib.sha256(embedding.version.encode())
    for path in files:
        try:
            key.update(bytes.fromhex(sha256(path)))
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    name = key.hexdigest()
    entry = cache_folder() / "embeddings" / name[:2] / f"{name}.npz"
    kept = _kept(entry) if cache else None
    if kept is not None:
        return kept
    waves = [read_for(embedding, path) for path in files]
    total = np.zeros(max(map(len, waves)), np.float32)
    for wave in waves:
        total[: len(wave)] += wave
    values, peak = np.asarray(embedding.embed(total), np.float32), float(np.abs(total).max())
    if cache:
        with atomic_path(entry) as temporary, temporary.open("wb") as file:
            np.savez(file, values=values, peak=peak)
    return values, peak
