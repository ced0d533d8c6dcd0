"""The data sets of a configuration as Lightning's loaders."""

import logging
from collections.abc import Container, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from synctrack.config import Config
from synctrack.data.dataset import StemDataset
from synctrack.data.latents.store import LatentDataset, vae_sha256
from synctrack.data.sampling import TrainBatches
from synctrack.data.segments import segment_name
from synctrack.data.splits import Split, not_set, split_options, split_roots, stem_dataset
from synctrack.errors import InputError
from synctrack.models.vae import VAE

logger = logging.getLogger(__name__)


class StemDataModule(pl.LightningDataModule):
    """Training segments are shifted and shuffled, validation segments are not.

    Args:
        config: the whole configuration.
        latents: folder of a store from `prepare_data.py latents`, read instead of the waveforms.

    Attributes:
        complete: indices of the test clips that exist already and are skipped.
    """

    def __init__(self, config: Config, latents: str | None = None) -> None:
        super().__init__()
        # With more devices than clips to generate, some devices have none. Of the instance: Lightning sets it there.
        self.allow_zero_length_dataloader_with_multiple_devices = True
        self.config, self.latents = config, latents
        self.complete: set[int] = set()

    @cached_property
    def train(self) -> StemDataset | LatentDataset | None:
        """Training segments, found at first use; None where `data.params.path.train_data` is not set."""
        return self._dataset("train")

    @cached_property
    def valid(self) -> StemDataset | LatentDataset | None:
        """Validation or test segments, found at first use; None where `data.params.path.valid_data` is not set."""
        return self._dataset("valid")

    def require(self, *names: Split) -> None:
        """Raise InputError unless the data sets `train` or `valid` of these names are configured."""
        for name in names:
            if getattr(self, name) is None:
                raise not_set(name)
        if "train" in names and self.valid is not None:
            self._warn_of_shared_songs()

    def _warn_of_shared_songs(self) -> None:
        """Say which songs are in both sets: losses and the best checkpoints are then of songs of the training."""
        if self.latents:
            return
        trained, validated = (
            {path.resolve().parent for song in split.songs for path in song.files if path is not None}
            for split in (self.train, self.valid)
        )
        if shared := sorted(trained & validated):
            logger.warning(
                "data.params.path.valid_data: %d of its %d songs are trained on as well, such as %s: what is validated "
                "does not tell how well new songs are learnt",
                len(shared),
                len(validated),
                shared[0],
            )

    def require_vae(self, vae: VAE) -> None:
        """Raise InputError where stored latents come from another VAE than this one."""
        if self.latents and {store.vae_hash for store in (self.train, self.valid) if store} != {vae_sha256(vae)}:
            raise InputError(
                f"{self.latents}: its latents come from another VAE; make them again with this one, elsewhere"
            )

    def train_dataloader(self) -> DataLoader:
        size, seed, loop = self.config.data.params.batch_size, self.config.seed, self.trainer.fit_loop.epoch_loop
        how = {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}
        how["accumulated"] = self.config.trainer.accumulate_grad_batches
        try:
            batches = TrainBatches(len(self.train), size, seed, lambda: loop.total_batch_idx + 1, **how)
        except ValueError as error:
            raise InputError(f"data.params.batch_size: {error}; make it smaller or add data") from error
        return self._loader(self.train, batch_sampler=batches)

    def val_dataloader(self) -> DataLoader | list:
        if self.valid is None:
            return []
        # A process without a segment would leave out a validation in which the others wait for it.
        if len(self.valid) < self.trainer.world_size:
            raise InputError(
                f"data.params.path.valid_data: {len(self.valid)} segments are fewer than the {self.trainer.world_size} "
                "processes that share them; add songs, or use fewer devices"
            )
        return self._share(range(len(self.valid)))

    def test_dataloader(self) -> DataLoader:
        return self._share(range(len(self.valid_names)), self.complete)

    @property
    def valid_names(self) -> list[str]:
        """Names of the clips that an evaluation generates, in the order of their indices."""
        rate, limit = self.config.model.params.audio.sample_rate, self.config.evaluation.clips
        return [segment_name(song.name, start, rate) for song, start in self.valid.segments[:limit]]

    def transfer_batch_to_device(
        self, batch: dict[str, Any], device: torch.device, dataloader_idx: int
    ) -> dict[str, Any]:
        """A batch on a device, but for `index` and `epoch`, which seed the items' generators on the CPU.

        They become arrays: DDP moves every tensor to its device, and reading them back would wait for the GPU.
        """
        kept = {name: batch.pop(name).numpy() for name in ("index", "epoch")}
        return super().transfer_batch_to_device(batch, device, dataloader_idx) | kept

    def _share(self, indices: Sequence[int], left_out: Container[int] = ()) -> DataLoader:
        mine = indices[self.trainer.global_rank :: self.trainer.world_size]
        items = [(0, index) for index in mine if index not in left_out]
        return self._loader(self.valid, sampler=items, batch_size=self.config.data.params.batch_size)

    def _dataset(self, split: Split) -> StemDataset | LatentDataset | None:
        roots = split_roots(self.config, split)
        if not self.latents or not roots:
            return stem_dataset(self.config, split)
        model, stems = self.config.model.params, self.config.data.params.path.stems
        return LatentDataset(Path(self.latents, split), model, roots, stems, **split_options(self.config, split))

    def _loader(self, dataset: StemDataset, **how: Any) -> DataLoader:
        workers = self.config.data.params.num_workers
        return DataLoader(dataset, num_workers=workers, persistent_workers=workers > 0, pin_memory=True, **how)
