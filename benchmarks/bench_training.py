"""Songs per second, memory and share of the peak of training steps, by batch size and with each switch changed.

    python benchmarks/bench_training.py [--device cpu|cuda] [--size full|demo] [--batches 1 2 4] [--json FILE]

First every precision at every batch size: without --batches 1, 2, 4, … until a GPU's memory is exceeded, and 1 alone on
a CPU. Then, in the fastest of these rows, each switch is changed: compile, channels_last, gradient_checkpointing, fused
AdamW and ema_device. A step is what training from stored latents does: noise, U-Net, loss, gradients, AdamW and EMA.
Each row runs in a process of its own, so that its peak memory is its own. The share is of what a large matrix product
reaches in the same precision in the same process; on an H100 the share of the data sheet's peak is in the JSON too.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from bench_unet import best_seconds, matmul_peak, peak_resident_bytes
from scaling_table import PEAKS
from synctrack.config import load_config
from synctrack.devices import emulates_bfloat16, use_tf32
from synctrack.errors import InputError, run_command
from synctrack.files import write_json
from synctrack.models.latent_diffusion import LatentDiffusion
from synctrack.seeding import TRAIN, item_generator
from synctrack.training.acceleration import adamw, compiled
from synctrack.training.ema import EMA

ROOT = Path(__file__).parents[1]
CONFIGS = {"full": [], "demo": [ROOT / "config" / "demo.yaml"]}
PRECISIONS = {
    "cuda": ("bf16-mixed", "32-true, TF32", "32-true"),
    "cpu": ("bf16-mixed", "32-true"),
}
LARGEST_BATCH = 1024


@dataclass(frozen=True)
class Settings:
    """What a row measures."""

    device: str
    size: str
    repeats: int
    batch: int
    precision: str
    compile: bool = False
    channels_last: bool = True
    gradient_checkpointing: bool = False
    fused: bool = True
    ema_device: str = "auto"

    @property
    def changed(self) -> str:
        """The switches that differ from the defaults, as key=value."""
        plain = Settings(self.device, self.size, self.repeats, self.batch, self.precision)
        own = {name: value for name, value in asdict(self).items() if value != getattr(plain, name)}
        return ", ".join(f"{name}={value}".lower() for name, value in own.items())

    def with_each_switch(self) -> Iterator["Settings"]:
        """These settings with one switch changed at a time; AdamW is fused on a GPU alone."""
        for change in ({"compile": True}, {"channels_last": False}, {"gradient_checkpointing": True}):
            yield replace(self, **change)
        if self.device == "cuda":
            yield replace(self, fused=False)
            yield replace(self, ema_device="cpu")


class Training:
    """A model in training, on random latents."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.device = settings, torch.device(settings.device)
        self.mixed = settings.precision.startswith("bf16")
        use_tf32(settings.precision.endswith("TF32"))
        checkpointing = f"model.params.unet.gradient_checkpointing={settings.gradient_checkpointing}"
        config = load_config(CONFIGS[settings.size], [checkpointing])
        torch.manual_seed(0)
        self.model = LatentDiffusion(config.model.params, config.data.params.path.stems).to(self.device)
        unet = self.model.unet
        if not settings.channels_last:
            unet.to(memory_format=torch.contiguous_format)
        self.ema = EMA(unet, 0.9999, on_cpu=settings.ema_device == "cpu").to(self.device)
        self.network = compiled(unet) if settings.compile else unet
        # No GPU is named to get the AdamW that is not fused.
        optimised_on = self.device if settings.fused else torch.device("cpu")
        weights = [weight for weight in unet.parameters() if weight.requires_grad]
        self.optimizer = adamw(weights, optimised_on, settings.precision, lr=3e-5)
        shape = (settings.batch, len(self.model.stems), *config.model.params.latent_shape)
        self.latent = torch.randn(shape, device=self.device)

    def step(self, plain: bool = False) -> None:
        """One step; `plain` leaves the compiled U-Net out, for the counter of FLOPs."""
        generators = [item_generator(0, TRAIN, item, device=self.device) for item in range(len(self.latent))]
        network = self.model.unet if plain else self.network
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.mixed):
            loss = self.model.loss(self.latent, generators, network).mean()
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update(self.model.unet)


def measure(settings: Settings) -> dict[str, Any]:
    """One row; `out_of_memory` alone where a GPU's memory is exceeded."""
    try:
        training = Training(settings)
        seconds = best_seconds(training.step, settings.repeats, settings.device)
    except torch.OutOfMemoryError:
        return {**asdict(settings), "out_of_memory": True}
    # Before the FLOP counter, which is not part of the measured work.
    memory = torch.cuda.max_memory_allocated() if settings.device == "cuda" else peak_resident_bytes()
    with FlopCounterMode(display=False) as counter:
        training.step(plain=True)
    reached = counter.get_total_flops() / seconds
    peak = matmul_peak(torch.bfloat16 if training.mixed else torch.float32, settings.device)
    row = {
        **asdict(settings),
        "songs_per_second": settings.batch / seconds,
        "gigabytes": memory / 1e9,
        "tflop": counter.get_total_flops() / 1e12,
        "share_of_matmul_peak": reached / peak,
    }
    if settings.device == "cuda":
        row["gpu"] = torch.cuda.get_device_name()
        if "H100" in row["gpu"]:
            row["share_of_data_sheet_peak"] = reached / PEAKS[settings.precision]
    return row


def measured_apart(settings: Settings) -> dict[str, Any]:
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, "--row", json.dumps(asdict(settings))]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if result.returncode:
        raise InputError(f"{settings.precision}, batch {settings.batch}, {settings.changed}: failed, see above")
    return json.loads(result.stdout.splitlines()[-1])


def line(settings: Settings, row: dict[str, Any]) -> str:
    """A row of the table."""
    head = f"{settings.precision:14} {settings.batch:5} {settings.changed or '-':30}"
    if "out_of_memory" in row:
        return f"{head} out of memory"
    return f"{head} {row['songs_per_second']:8.3f} {row['gigabytes']:7.2f} {row['share_of_matmul_peak']:15.2f}"


def all_rows(device: str, size: str, repeats: int, batches: list[int] | None) -> list[dict[str, Any]]:
    """Measure and print every row."""
    found: list[dict[str, Any]] = []

    def add(settings: Settings) -> bool:
        row = measured_apart(settings)
        print(line(settings, row), flush=True)
        found.append(row)
        return "out_of_memory" not in row

    if batches is None:
        batches = [1] if device == "cpu" else [2**i for i in range(LARGEST_BATCH.bit_length())]
    for precision in PRECISIONS[device]:
        if device == "cpu" and precision.startswith("bf") and emulates_bfloat16():
            print(f"{precision:14} left out: emulated by this CPU", flush=True)
            continue
        for batch in batches:
            if not add(Settings(device, size, repeats, batch, precision)):
                break
    fitting = [row for row in found if "out_of_memory" not in row]
    if fitting:
        best = max(fitting, key=lambda row: row["songs_per_second"])
        for settings in Settings(device, size, repeats, best["batch"], best["precision"]).with_each_switch():
            add(settings)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cpu", "cuda"))
    parser.add_argument("--size", default="full", choices=tuple(CONFIGS), help="of the model (full)")
    parser.add_argument("--batches", type=int, nargs="+", help="songs in a batch")
    parser.add_argument("--repeats", type=int, default=3, help="steps of which the fastest counts (3)")
    parser.add_argument("--json", help="write the rows to this file too")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row:
        print(json.dumps(measure(Settings(**json.loads(arguments.row)))))
        return
    if any(not 1 <= number <= LARGEST_BATCH for number in [arguments.repeats, *(arguments.batches or [])]):
        raise InputError(f"--batches, --repeats: must be between 1 and {LARGEST_BATCH}")
    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: this machine has no such device; use cpu")
    print(f"{arguments.device}, {arguments.size} size, {torch.get_num_threads()} threads")
    print(f"{'precision':14} {'batch':>5} {'changed':30} {'songs/s':>8} {'GB':>7} {'of matmul peak':>15}")
    rows = all_rows(arguments.device, arguments.size, arguments.repeats, arguments.batches)
    if arguments.json:
        write_json(arguments.json, rows)


if __name__ == "__main__":
    run_command(main)
