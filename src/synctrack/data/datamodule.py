"""The data sets of a configuration as Lightning's loaders."""

from collections.abc import Container, Sequence
from typing import Any

import pytorch_lightning as pl
from torch.utils.data import DataLoader

from synctrack.config import Config
from synctrack.data.dataset import StemDataset
from synctrack.data.sampling import TrainBatches, share
from synctrack.data.segments import segment_name
from synctrack.errors import InputError


class StemDataModule(pl.LightningDataModule):
    """Training segments shifted and shuffled, validation segments as they lie.

    Attributes:
        train: training segments; None where `data.params.path.train_data` is not set.
        valid: validation or test segments; None where `data.params.path.valid_data` is not set.
        complete: indices of the test clips that need not be made again.
    """

    # With more devices than clips to make, some have nothing to do.
    allow_zero_length_dataloader_with_multiple_devices = True

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.complete: set[int] = set()
        paths = config.data.params.path
        self.train = self._dataset(paths.train_data, shift=True) if paths.train_data else None
        self.valid = self._dataset(paths.valid_data, shift=False) if paths.valid_data else None

    def require(self, *names: str) -> None:
        """Raise InputError unless the data sets `train` or `valid` of these names are configured."""
        for name in names:
            if getattr(self, name) is None:
                raise InputError(f"data.params.path.{name}_data: is not set; name a folder of track folders")

    def train_dataloader(self) -> DataLoader:
        params, trainer = self.config.data.params, self.trainer
        try:
            batches = TrainBatches(
                len(self.train),
                params.batch_size,
                self.config.seed,
                lambda: trainer.fit_loop.epoch_loop.total_batch_idx + 1,
                trainer.global_rank,
                trainer.world_size,
            )
        except ValueError as error:
            raise InputError(f"data.params.batch_size: {error}; make it smaller or add data") from error
        return self._loader(self.train, batch_sampler=batches)

    def val_dataloader(self) -> DataLoader | list:
        return [] if self.valid is None else self._share(range(len(self.valid)))

    def test_dataloader(self) -> DataLoader:
        return self._share(range(len(self.valid_names)), self.complete)

    @property
    def valid_names(self) -> list[str]:
        """Names of the clips that an evaluation makes, in the order of their indices."""
        rate, limit = self.config.model.params.audio.sample_rate, self.config.evaluation.clips
        return [segment_name(track.name, start, rate) for track, start in self.valid.segments[:limit]]

    def _share(self, indices: Sequence[int], left_out: Container[int] = ()) -> DataLoader:
        trainer = self.trainer
        mine = share(indices, trainer.global_rank, trainer.world_size)
        items = [(0, index) for index in mine if index not in left_out]
        return self._loader(self.valid, sampler=items, batch_size=self.config.data.params.batch_size)

    def _dataset(self, roots: str | Sequence[str], shift: bool) -> StemDataset:
        params = self.config.data.params
        return StemDataset(
            roots,
            params.path.stems,
            self.config.model.params.audio,
            shift=shift,
            seed=self.config.seed,
            missing_stem=params.missing_stem,
            unreadable=params.unreadable,
            max_seconds=params.max_seconds,
        )

    def _loader(self, dataset: StemDataset, **how: Any) -> DataLoader:
        workers = self.config.data.params.num_workers
        return DataLoader(dataset, num_workers=workers, persistent_workers=workers > 0, pin_memory=True, **how)
