"""`SyncTrack`: load a model by name, generate songs, save it again; all that a Python program needs.

Example:
    >>> from synctrack import SyncTrack
    >>> model = SyncTrack.from_pretrained("demo")
    >>> song = model.generate(seed=7, seconds=1.28, steps=2)
    >>> song.stems, song["drums"].shape, song.sample_rate
    (('bass', 'drums', 'guitar', 'piano'), (20480,), 16000)
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields, replace
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from synctrack.bounds import LARGEST_SEED, shortened
from synctrack.checkpoint.loading import CheckpointInfo, load_model
from synctrack.checkpoint.pretrained import find_pretrained, write_pretrained
from synctrack.devices import check_precision, resolve_device
from synctrack.errors import InputError
from synctrack.generation.plan import make_plan
from synctrack.generation.production import Production, make_sampling
from synctrack.generation.record import (
    check_precision_of,
    info_as_recorded,
    machine_facts,
    recorded_key,
    recorded_model,
    recorded_settings,
)
from synctrack.generation.request import MASK_DEFAULTS, Request
from synctrack.generation.song import Song, load_song
from synctrack.generation.values import whole
from synctrack.models.latent_diffusion import LatentDiffusion

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""Name of a precision -> the type that the U-Net computes in where it may; None is float32 throughout."""
SAMPLER, STEPS = "dpmpp_2m_sde", 20
"""The default: as good in 20 steps as DDIM in 50."""
GPU_BATCH = 8
MOST_CLIPS, MOST_AT_ONCE = 100_000, 65_536

logger = logging.getLogger(__name__)


class SyncTrack:
    """A trained SyncTrack model that generates songs.

    Use `SyncTrack.from_pretrained` to load one.

    Attributes:
        model: the networks, a plain `nn.Module`.
        checkpoint: where the weights came from.
        device: where the networks are.
        precision: a key of `PRECISIONS`.
    """

    def __init__(
        self, model: LatentDiffusion, checkpoint: CheckpointInfo, device: torch.device, precision: str = "float32"
    ) -> None:
        if precision not in PRECISIONS:
            raise InputError(f"precision: {precision!r} must be one of {', '.join(PRECISIONS)}")
        self.model, self.checkpoint, self.precision = model.eval(), checkpoint, precision
        self.to(device)

    @classmethod
    def from_pretrained(
        cls, name: str | Path, *, device: str = "auto", precision: str = "float32", revision: str | None = None
    ) -> "SyncTrack":
        """Load a model; its configuration comes from the checkpoint itself.

        Args:
            name: `demo` (the small model that comes with the package), a checkpoint file, a folder of
                `save_pretrained`, a training's run folder, or `owner/name` on the Hugging Face Hub.
            device: `auto` (a GPU where there is one), `cpu`, `cuda`, `cuda:1` or `mps`.
            precision: `float32`, `bfloat16` or `float16` (GPU only) for the U-Net.
            revision: branch, tag or commit of a model on the Hub.

        Raises:
            InputError: there is no such model, it does not load strictly, or the device or precision is not available.

        Example:
            >>> from synctrack import SyncTrack
            >>> SyncTrack.from_pretrained("demo", device="cpu").stems
            ('bass', 'drums', 'guitar', 'piano')
        """
        model, checkpoint = load_model(find_pretrained(name, revision))
        return cls(model, checkpoint, resolve_device(device), precision)

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of the stems, in order."""
        return self.model.stems

    @property
    def sample_rate(self) -> int:
        """Of the generated audio, in Hz."""
        return self.model.config.audio.sample_rate

    @property
    def trained_seconds(self) -> float:
        """The length of the segments that the model was trained on, in seconds."""
        return self.model.config.audio.segment_seconds

    def to(self, device: str | torch.device) -> "SyncTrack":
        """Move the networks to a device and return self.

        Raises:
            InputError: there is no such device, or it does not compute in this precision.
        """
        self.device = resolve_device(device)
        check_precision(self.precision, self.device)
        self.model.to(self.device)
        return self

    def __repr__(self) -> str:
        length = f"{self.trained_seconds:.2f} s at {self.sample_rate} Hz"
        return f"SyncTrack({', '.join(self.stems)}; {length}; {self.checkpoint.path}; {self.device})"

    def generate(
        self, seed: int | Sequence[int] = 0, *, clips: int | None = None, progress: bool = False, **settings: Any
    ) -> Song | list[Song]:
        """Generate one song, or several.

        The same seed gives the same song for any number of clips, and the same as `synctrack generate`.

        Args:
            seed: 0 or more; a sequence of seeds gives a list of songs, the first of each seed.
            clips: how many songs of one seed; gives a list.
            progress: whether to show a progress bar.
            settings: see `stream`.

        Returns:
            A `Song`, or a list of them where `clips` or several seeds are given.

        Raises:
            InputError: a value is out of its bounds, or the model cannot do what is asked.

        Example:
            >>> from synctrack import SyncTrack
            >>> model = SyncTrack.from_pretrained("demo", device="cpu")
            >>> [song.info["seed"] for song in model.generate(seed=[3, 5], seconds=0.64, steps=1)]
            [3, 5]
            >>> song = model.generate(seconds=1.28, steps=1)
            >>> other = model.generate(seed=1, original=song, redo=["piano"], steps=1)
            >>> bool((other["drums"] == song["drums"]).all()), bool((other["piano"] == song["piano"]).all())
            (True, False)
        """
        if isinstance(seed, Integral):
            keys = [(int(seed), clip) for clip in range(whole("clips", 1 if clips is None else clips, 1, MOST_CLIPS))]
            several = clips is not None
        elif not isinstance(seed, Iterable) or isinstance(seed, str):
            raise InputError(f"seed: {shortened(seed)} is not a whole number, nor a sequence of such")
        elif clips is not None:
            raise InputError("clips: give one seed and a number of clips, or a sequence of seeds")
        else:
            keys, several = [(value, 0) for value in seed], True
        songs = list(self.stream(keys, progress=progress, **settings))
        return songs if several else songs[0]

    def separate(
        self, mix: Any, *, seed: int = 0, method: str = "masks", progress: bool = False, **settings: Any
    ) -> Song:
        """The stems of a mix.

        Args:
            mix: a path to an audio file, an array at the model's rate, or a pair of an array and its rate.
            seed: 0 or more.
            method: `masks` shares the mix out among the stems, which sum to it; `generated` gives the stems as the
                model generates them.
            progress: whether to show a progress bar.
            settings: see `stream`; by default the masks of 4 `draws` of 5 `steps` are averaged.

        Raises:
            InputError: the model was not trained with a mix, or the mix cannot be read.
        """
        settings = (MASK_DEFAULTS if method == "masks" else {}) | settings
        (song,) = self.stream([(seed, 0)], progress=progress, mix=mix, method=method, **settings)
        return song

    def remake(self, folder: str | Path, *, progress: bool = False) -> Song:
        """Make a song again from its `song.json`: the same samples on the same kind of machine.

        Raises:
            InputError: the song was made by another model, or audio that it was made with is gone or has changed.
        """
        old = load_song(folder)
        settings, name = recorded_settings(old, str(folder)), recorded_model(old, str(folder))
        if old.info["model"].get("sha256") != self.checkpoint.sha256:
            raise InputError(f"{folder}: was made by another model, {name}; load that one")
        check_precision_of(old, str(folder), self.precision)
        key, position, size = recorded_key(old, str(folder))
        # Songs do not depend on those beside them, but their last bits do on how many these are.
        song = list(self.stream([key] * size, progress=progress, batch_size=size, **settings))[position]
        return replace(song, info=info_as_recorded(song, old))

    def stream(
        self,
        keys: Sequence[tuple[int, int]],
        *,
        sampler: str = SAMPLER,
        steps: int = STEPS,
        eta: float | None = None,
        batch_size: int | None = None,
        progress: bool = False,
        **request: Any,
    ) -> Iterator[Song]:
        """Generate songs one by one, each as soon as it is ready.

        Args:
            keys: (seed, clip) of each song; what it sounds like depends on these and the settings alone.
            sampler: `dpmpp_2m_sde`, `dpmpp_2m` or `ddim`.
            steps: calls of the U-Net.
            eta: of `ddim` alone, 0 (deterministic) to 1 (default).
            batch_size: songs at once; by default 1 on a CPU and 8 on a GPU.
            progress: whether to show a progress bar.
            request: what to play: the fields of `synctrack.generation.request.Request`, which explains them.

        Raises:
            TypeError: a setting is unknown.
            InputError: a value is out of its bounds, or the model cannot do what is asked.
        """
        return self.produce(self.check(sampler, steps, eta, **request), keys, batch_size, progress)

    def produce(
        self,
        production: Production,
        keys: Sequence[tuple[int, int]],
        batch_size: int | None = None,
        progress: bool = False,
        report: Callable[[int, int], object] | None = None,
    ) -> Iterator[Song]:
        """The songs of `check`, one by one; see `stream`.

        Args:
            production: of `check`.
            keys: (seed, clip) of each song.
            batch_size: songs at once.
            progress: whether to show a progress bar.
            report: is called before the first step and after each with the steps that are done and those of all songs;
                what it raises stops the generation there.
        """
        keys = [(whole("seed", seed, 0, LARGEST_SEED), whole("clip", clip, 0, LARGEST_SEED)) for seed, clip in keys]
        if not keys:
            raise InputError("seed: there must be at least one")
        if production.plan.original_key in keys:
            logger.warning("seed: is that of the original, whose noise makes much the same again; choose another")
        default = 1 if self.device.type == "cpu" else GPU_BATCH
        size = whole("batch_size", default if batch_size is None else batch_size, 1, MOST_AT_ONCE)
        total, done = production.total_steps(len(keys)), 0
        with tqdm(total=total, desc="generating", unit="step", disable=not progress) as bar:

            def count(steps: int) -> None:
                nonlocal done
                done += steps
                bar.update(steps)
                if report is not None:
                    report(done, total)

            count(0)
            for song in production.songs(keys, size, count):
                made_with = machine_facts(self.checkpoint, self.precision, self.device.type)
                yield replace(song, info=song.info | made_with).within_peak()

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write weights (`model.safetensors`), configuration (`config.json`) and a model card (`README.md`).

        `from_pretrained(folder)` loads it; uploaded to the Hugging Face Hub, `from_pretrained("owner/name")` does.

        Returns:
            The folder.

        Raises:
            InputError: the folder cannot be written, or the checkpoint is no longer where it was loaded from.
        """
        return write_pretrained(self.checkpoint.path, folder)

    def check(self, sampler: str = SAMPLER, steps: int = STEPS, eta: float | None = None, **request: Any) -> Production:
        """How songs of these settings of `stream` would be made; generates nothing.

        Raises:
            TypeError: a setting is unknown.
            InputError: a setting is out of its bounds, or the model cannot do what is asked.
        """
        if unknown := set(request) - {item.name for item in fields(Request)}:
            raise TypeError(f"unknown setting {min(unknown)!r}")
        sampling = make_sampling(sampler, steps, eta, self.model.diffusion.timesteps)
        asked = Request(**request)
        plan = make_plan(asked, self.model, self.checkpoint.trained_bpm)
        return Production(self.model, asked, plan, sampling, self._autocast)

    def _autocast(self) -> AbstractContextManager:
        kind = PRECISIONS[self.precision]
        return nullcontext() if kind is None else torch.autocast(self.device.type, kind)
