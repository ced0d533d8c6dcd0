"""The training and validation data that a configuration names."""

from typing import Any, Literal

from synctrack.config import Config
from synctrack.data.dataset import StemDataset
from synctrack.errors import InputError

Split = Literal["train", "valid"]


def split_roots(config: Config, split: Split) -> Any:
    """The folders of a split's songs, `data.params.path.<split>_data`; empty or None where it is not set."""
    path = config.data.params.path
    return path.train_data if split == "train" else path.valid_data


def split_options(config: Config, split: Split) -> dict[str, Any]:
    """Keyword arguments of a split's data set; only training segments are shifted."""
    params = config.data.params
    return {
        "missing_stem": params.missing_stem,
        "unreadable": params.unreadable,
        "max_seconds": params.max_seconds,
        "shift": split == "train",
        "seed": config.seed,
        "signals": config.model.params.conditioning.signals,
    }


def stem_dataset(config: Config, split: Split) -> StemDataset | None:
    """A split's waveforms; None where the configuration does not set its folders."""
    roots = split_roots(config, split)
    if not roots:
        return None
    options = split_options(config, split)
    return StemDataset(roots, config.data.params.path.stems, config.model.params.audio, **options)


def not_set(split: Split) -> InputError:
    """The error where a command needs a split that the configuration does not set."""
    return InputError(f"data.params.path.{split}_data: is not set; name a folder of song folders")
