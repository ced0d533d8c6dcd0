"""Songs per second of each data path to the U-Net, and seconds per training step with each, measured in one run.

    python benchmarks/bench_data.py [--full] [--device cpu|cuda] [--songs N] [--repeats 3] [--json FILE]

`published` does what the published code does, with our modules: mels by the loader on the CPU, of the stems and of
their mix, and five VAE encodings for each song and step. `audio` is training from audio, `latents` from a store that
`prepare_data.py latents` creates first. The data are grooves, the VAE is untrained; the loader runs in the training
process, so that all of its time is measured, and the files are in the system's cache.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import default_collate

from synctrack.audio.mel import LogMel
from synctrack.checkpoint import loading as checkpoint
from synctrack.config import Config, load_config
from synctrack.data.datamodule import StemDataModule
from synctrack.data.dataset import StemDataset
from synctrack.data.latents.encoding import write_latents
from synctrack.data.sources.grooves import write_grooves
from synctrack.files import write_json
from synctrack.models.vae import VAE
from synctrack.seeding import TRAIN, draw_per_item
from synctrack.training.initialise import initialise
from synctrack.training.synctrack_module import SyncTrackModule

CONFIG = Path(__file__).parents[1] / "config"
DEMO = [CONFIG / "synctrack_train.yaml", CONFIG / "demo.yaml"]
FULL = [CONFIG / "synctrack_train.yaml"]
HEADINGS = ("model", "data", "loaded songs/s", "latent songs/s", "times", "step s", "times")


class PublishedDataset(StemDataset):
    """Segments as log-mels (s + 1, m, f) of the stems and of their mix."""

    def __init__(self, *what: Any, **how: Any) -> None:
        super().__init__(*what, **how)
        self.mel = LogMel(self.audio)

    def read(self, *where: Any) -> dict[str, torch.Tensor]:
        waveform = super().read(*where)["waveform"]
        return {"mel": self.mel(torch.cat([waveform, waveform.sum(0, keepdim=True)]))}


def prepare(folder: Path, files: list[Path], device: str, songs: int) -> Config:
    """Make songs of a segment and a half, an untrained VAE and their latents in `folder`."""
    keys = {
        "data.params.path.train_data": folder / "audio",
        "data.params.path.valid_data": "null",
        "data.params.path.latents": folder / "latents",
        "data.params.batch_size": songs,
        "model.params.vae_ckpt_path": folder / "vae.ckpt",
        "model.params.ckpt_path": "null",
        "model.params.vocoder.kind": "griffin_lim",
        "trainer.accelerator": device,
    }
    config = load_config(files, [f"{key}={value}" for key, value in keys.items()])
    params = config.model.params
    write_grooves(folder / "audio", songs, 1.5 * params.audio.segment_seconds, params.audio.sample_rate, seed=0)
    weights = {f"vae.{name}": weight for name, weight in VAE(params.vae).state_dict().items()}
    torch.save({"state_dict": weights, "synctrack": checkpoint.header("vae", config)}, folder / "vae.ckpt")
    write_latents(config, folder / "latents", offsets=2)
    return config


class Bench:
    """The work to time, on one model for all ways.

    Args:
        config: as `prepare` gives it.
        device: `cpu` or `cuda`.
    """

    def __init__(self, config: Config, device: str) -> None:
        torch.manual_seed(0)
        self.songs, self.device = config.data.params.batch_size, device
        self.module = SyncTrackModule(config).to(device)
        initialise(self.module.model, self.module.ema, config.model.params)
        self.module.model.scale_factor.fill_(1.0)
        self.optimizer = torch.optim.AdamW([p for p in self.module.model.unet.parameters() if p.requires_grad])
        paths, audio = config.data.params.path, StemDataModule(config).train
        self.datasets = {
            "published": PublishedDataset(paths.train_data, paths.stems, audio.audio, shift=True, seed=config.seed),
            "audio": audio,
            "latents": StemDataModule(config, paths.latents).train,
        }

    def load(self, way: str) -> dict[str, Any]:
        """A batch as the loader of this way gives it, on the device."""
        batch = default_collate([self.datasets[way][0, index] for index in range(self.songs)])
        return {key: value.to(self.device) if torch.is_tensor(value) else value for key, value in batch.items()}

    @torch.no_grad()
    def encode(self, way: str) -> tuple[torch.Tensor, list[torch.Generator]]:
        """Load a batch -> its latents (b, s, c, t, f), and the generators for what follows."""
        batch, model = self.load(way), self.module.model
        generators = self.module.generators(batch, TRAIN)
        if way != "published":
            return self.module.latent(batch, generators), generators
        posterior = model.vae.encode(batch["mel"])
        drawn = draw_per_item(posterior.mean[:, :-1], posterior.std[:, :-1], generators)
        return model.scale_factor * drawn, generators

    def step(self, way: str) -> None:
        """Load, encode and train on a batch."""
        latent, generators = self.encode(way)
        self.optimizer.zero_grad()
        self.module.model.loss(latent, generators).mean().backward()
        self.optimizer.step()
        self.module.ema.update(self.module.model.unet)


def measure(files: list[Path], device: str, songs: int, repeats: int) -> list[dict[str, Any]]:
    """A row for each way with its shortest times; `times` is how many times as fast as the published one."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(prepare(Path(folder), files, device, songs), device)
        rows = [{"data": way, "songs": songs} for way in bench.datasets]
        # The paths alternate, so that a temporary load of the machine does not affect one of them alone.
        for _ in range(repeats):
            for row in rows:
                for part in (bench.load, bench.encode, bench.step):
                    seconds, key = elapsed(lambda part=part, row=row: part(row["data"])), f"{part.__name__}_seconds"
                    row[key] = min(seconds, row.get(key, seconds))
    for row in rows:
        for part in ("encode", "step"):
            row[f"{part}_times"] = rows[0][f"{part}_seconds"] / row[f"{part}_seconds"]
    return rows


def elapsed(run: Callable[[], object]) -> float:
    """Seconds that it takes."""
    start = time.perf_counter()
    run()
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="the full-size model too (on a CPU many minutes)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cpu", "cuda"))
    parser.add_argument("--songs", type=int, default=1, help="songs in a batch (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of which the best counts (%(default)s)")
    parser.add_argument("--json", help="write the rows to this file too")
    arguments = parser.parse_args()
    results = {}
    for name, files in {"demo": DEMO, **({"full": FULL} if arguments.full else {})}.items():
        results[name] = measure(files, arguments.device, arguments.songs, arguments.repeats)
    print(f"{arguments.device}, {torch.get_num_threads()} threads, {arguments.songs} song(s) in a batch")
    print("{:6} {:10} {:>15} {:>15} {:>7} {:>8} {:>6}".format(*HEADINGS))
    for name, rows in results.items():
        for row in rows:
            loaded, encoded = (row["songs"] / row[f"{part}_seconds"] for part in ("load", "encode"))
            speed = f"{loaded:15.2f} {encoded:15.2f} {row['encode_times']:7.1f}"
            print(f"{name:6} {row['data']:10} {speed} {row['step_seconds']:8.3f} {row['step_times']:6.2f}")
    if arguments.json:
        write_json(arguments.json, results)


if __name__ == "__main__":
    main()
