"""Seconds, memory and FLOPs of the full-size U-Net, against this machine's own matrix-multiply peak.

    python benchmarks/bench_unet.py [--device cpu|cuda] [--songs 1] [--repeats 3] [--scope frame|bin] [--json FILE]

Each row runs in a process of its own, so that its peak memory is its own: resident memory on a CPU, allocated memory
on a GPU. The share is of what a large matrix product reaches in the same precision, in the same process.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from synctrack.files import write_json
from synctrack.models.latent_diffusion import ModelConfig
from synctrack.models.unet import UNet, UNetConfig

NUM_STEMS = 4
WORK = ("forward", "train")
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
MATRIX_SIZE = {"cpu": 2048, "cuda": 8192}


def best_seconds(run: Callable[[], object], repeats: int, device: str) -> float:
    """Shortest of some runs after one to warm up."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])


def matmul_peak(precision: torch.dtype, device: str) -> float:
    """FLOP per second of a large matrix product."""
    size = MATRIX_SIZE[device]
    a, b = (torch.randn(size, size, device=device, dtype=precision) for _ in range(2))
    return 2 * size**3 / best_seconds(lambda: a @ b, 5, device)


def measure(work: str, precision: str, device: str, songs: int, repeats: int, scope: str) -> dict[str, float | str]:
    """One row: the best of some runs of `work` in `precision`."""
    unet = UNet(UNetConfig(time_attention_scope=scope), NUM_STEMS, ModelConfig().vae.latent_channels).to(device)
    latent = torch.randn(songs, NUM_STEMS, *ModelConfig().latent_shape, device=device)
    t = torch.full((songs,), 500, device=device)
    dtype = PRECISIONS[precision]

    def forward() -> torch.Tensor:
        with torch.autocast(device, dtype, enabled=dtype is not torch.float32):
            return unet(latent, t)

    optimizer = torch.optim.AdamW([p for p in unet.parameters() if p.requires_grad]) if work == "train" else None

    def step() -> None:
        if optimizer is None:
            with torch.no_grad():
                forward()
            return
        optimizer.zero_grad()
        forward().float().square().mean().backward()
        optimizer.step()

    seconds = best_seconds(step, repeats, device)
    # Before the FLOP counter, which is not part of the measured work.
    memory = torch.cuda.max_memory_allocated() if device == "cuda" else peak_resident_bytes()
    with FlopCounterMode(display=False) as counter:
        step()
    flops, peak = counter.get_total_flops(), matmul_peak(dtype, device)
    return {
        "work": work,
        "precision": precision,
        "seconds": seconds,
        "gigabytes": memory / 1e9,
        "gflop": flops / 1e9,
        "gflop_per_s": flops / seconds / 1e9,
        "matmul_gflop_per_s": peak / 1e9,
        "share_of_matmul_peak": flops / seconds / peak,
    }


def peak_resident_bytes() -> int:
    """Largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=("cpu", "cuda"))
    parser.add_argument("--songs", type=int, default=1, help="songs in a batch (1)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of which the best counts (3)")
    parser.add_argument("--scope", default="frame", choices=("frame", "bin"))
    parser.add_argument("--json", help="write the rows to this file too")
    parser.add_argument("--row", nargs=2, metavar=("WORK", "PRECISION"), help="measure this row only, print it as JSON")
    arguments = parser.parse_args()
    if arguments.row:
        settings = (arguments.device, arguments.songs, arguments.repeats, arguments.scope)
        print(json.dumps(measure(*arguments.row, *settings)))
        return
    print(f"{arguments.device}, {torch.get_num_threads()} threads, {arguments.songs} song(s), scope {arguments.scope}")
    print(f"{'work':8} {'precision':9} {'seconds':>8} {'GB':>6} {'GFLOP':>7} {'GFLOP/s':>8} {'of matmul peak':>15}")
    rows = []
    for work in WORK:
        for precision in PRECISIONS:
            command = [sys.executable, __file__, *sys.argv[1:], "--row", work, precision]
            row = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            rows.append(row)
            numbers = f"{row['seconds']:8.3f} {row['gigabytes']:6.2f} {row['gflop']:7.0f} {row['gflop_per_s']:8.0f}"
            print(f"{work:8} {precision:9} {numbers} {row['share_of_matmul_peak']:15.2f}", flush=True)
    if arguments.json:
        write_json(arguments.json, rows)


if __name__ == "__main__":
    main()
