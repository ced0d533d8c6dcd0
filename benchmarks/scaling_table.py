"""Memory and FLOPs of a full-size training step, counted without a GPU, and what follows from them on an H100.

    python benchmarks/scaling_table.py [--write docs/scaling.md]

Runs the U-Net of the default configuration on fake tensors, which have shapes and types but no values, and counts: the
floating-point operations of each kernel (torch.utils.flop_counter), and the bytes that are kept from the forward pass
for the backward pass. Attention is counted as fused kernels compute it: they keep queries, keys, values, output and
the logarithm of the softmax's sum, and compute the scores again in the backward pass. Prints the tables of
docs/scaling.md, or writes them between the marks there.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from synctrack.config import load_config
from synctrack.errors import run_command
from synctrack.files import write_text
from synctrack.models import attention
from synctrack.models.latent_diffusion import ModelConfig, build_vocoder
from synctrack.models.unet import UNet
from synctrack.models.vae import VAE

NUM_STEMS = 4
PEAKS = {"bf16-mixed": 989.4e12, "32-true, TF32": 494.7e12, "32-true": 66.9e12}
"""FLOP/s of an H100 SXM without sparsity (NVIDIA H100 Tensor Core GPU data sheet)."""
GPU_BYTES = 80e9
STEPS, BATCH = 320_000, 16
"""The paper's training."""
SHARES = (0.2, 0.4)
BATCHES = (1, 4, 8, 16, 32, 64)
MARKS = "<!-- computed by benchmarks/scaling_table.py: begin -->", "<!-- computed: end -->"


class FusedAttention(torch.autograd.Function):
    """Attention as its fused kernels see it: `flops` of all calls, and what is kept for the backward pass."""

    flops = 0

    @staticmethod
    def forward(ctx: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        out, log_sum = torch.empty_like(q), torch.empty(q.shape[:-1], dtype=torch.float32)
        ctx.save_for_backward(q, k, v, out, log_sum)
        FusedAttention.flops += 2 * product_flops(q)
        return out

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, ...]:
        q, k, v, *_ = ctx.saved_tensors
        FusedAttention.flops += 5 * product_flops(q)
        return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)


def product_flops(q: torch.Tensor) -> int:
    """FLOPs of one product of attention: of queries (n, h, l, d) with as many keys, or of scores with values."""
    n, h, length, d = q.shape
    return 2 * n * h * length * length * d


@dataclass(frozen=True)
class Counts:
    """Of a training step of the U-Net with some songs.

    Attributes:
        kept: bytes kept from the forward for the backward pass, beside the weights.
        largest_block: of them those of the block that keeps most.
        flops: of the passes that were run.
    """

    kept: int
    largest_block: int
    flops: int


def count(songs: int, mixed: bool, checkpointing: bool = False, backward: bool = False) -> Counts:
    """Count a step of the full-size U-Net.

    Args:
        songs: in the batch.
        mixed: in bfloat16 where autocast has it so, as `trainer.precision=bf16-mixed` does; float32 otherwise.
        checkpointing: `model.params.unet.gradient_checkpointing`.
        backward: whether the backward pass is run.
    """
    config = load_config([], [f"model.params.unet.gradient_checkpointing={checkpointing}"]).model.params
    with torch.device("meta"):
        step = CountedStep(UNet(config.unet, NUM_STEMS, config.vae.latent_channels), mixed, backward)
    with fused_attention(), FakeTensorMode():
        latent = torch.randn(songs, NUM_STEMS, *config.latent_shape)
        return torch.func.functional_call(step, fakes(step), (latent,))


class CountedStep(nn.Module):
    """Forward and backward pass of a U-Net, counted; a module, so that both can run with other weights."""

    def __init__(self, unet: UNet, mixed: bool, backward: bool) -> None:
        super().__init__()
        self.unet, self.mixed, self.backward = unet, mixed, backward
        self.block: nn.Module | None = None
        for block in [*unet.down, *unet.middle, *unet.up]:
            block.register_forward_pre_hook(lambda module, _: setattr(self, "block", module))
            block.register_forward_hook(lambda *_: setattr(self, "block", None))

    def forward(self, latent: torch.Tensor) -> Counts:
        """Noisy latents (b, s, c, t, f) -> what a step with them takes."""
        known = {weight.untyped_storage()._cdata for weight in self.unet.parameters()}
        kept: dict[int, torch.UntypedStorage] = {}
        by_block: Counter[nn.Module | None] = Counter()

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage._cdata not in known | kept.keys():
                kept[storage._cdata] = storage
                by_block[self.block] += storage.nbytes()
            return tensor

        t = torch.zeros(len(latent), dtype=torch.long)
        with FlopCounterMode(display=False) as counter:
            saved = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
            with saved, torch.autocast("cpu", torch.bfloat16, enabled=self.mixed):
                out = self.unet(latent, t)
            # Before the backward pass, which keeps what it computes again.
            size, largest = by_block.total(), max(by_block.values())
            if self.backward:
                out.float().square().mean().backward()
        return Counts(size, largest, counter.get_total_flops() + FusedAttention.flops)


def fakes(module: nn.Module) -> dict[str, torch.Tensor]:
    """Weights without values in the layout of a module's, inside a FakeTensorMode."""
    return {
        name: torch.empty_strided(weight.shape, weight.stride(), requires_grad=weight.requires_grad)
        for name, weight in module.named_parameters()
    }


@contextmanager
def fused_attention() -> Iterator[None]:
    """Count attention as fused kernels compute it, in the type that autocast gives, as on a GPU."""
    plain = attention.attend, attention.in_float32
    attention.attend, attention.in_float32 = FusedAttention.apply, lambda operation, *tensors: operation(*tensors)
    FusedAttention.flops = 0
    try:
        yield
    finally:
        attention.attend, attention.in_float32 = plain


def encoder_flops() -> int:
    """FLOPs of the VAE's encoder for the stems of one song."""
    config = ModelConfig()
    with torch.device("meta"):
        encoder = VAE(config.vae).encoder
    with fused_attention(), FakeTensorMode(), torch.no_grad(), FlopCounterMode(display=False) as counter:
        mel = torch.randn(1, NUM_STEMS, 1, config.audio.frames, config.audio.n_mels)
        torch.func.functional_call(encoder, fakes(encoder), (mel,))
        return counter.get_total_flops() + FusedAttention.flops


@dataclass(frozen=True)
class Sizes:
    """Numbers of weights: of the U-Net, and of VAE and vocoder, which are not trained."""

    unet: int
    frozen: int


def sizes() -> Sizes:
    """Of the default configuration."""
    config = ModelConfig()
    with torch.device("meta"):
        modules = UNet(config.unet, NUM_STEMS, config.vae.latent_channels), VAE(config.vae), build_vocoder(config)
    unet, vae, vocoder = (sum(weight.numel() for weight in module.parameters()) for module in modules)
    return Sizes(unet, vae + vocoder)


def fixed_bytes(own: Sizes, ema_on_cpu: bool = False) -> int:
    """Bytes for any batch: weights, gradients, two moments of AdamW and EMA in float32, and the frozen networks."""
    return 4 * own.unet * (4 if ema_on_cpu else 5) + 4 * own.frozen


def training_days(flops_of_song: float, peak: float, share: float) -> float:
    """Days for the paper's training: steps times songs times FLOPs of a song, by the FLOP/s that are reached."""
    return STEPS * BATCH * flops_of_song / (share * peak) / 86_400


@dataclass(frozen=True)
class Row:
    """One kind of step: bytes for any batch, bytes for each song, FLOPs of each song."""

    title: str
    fixed: int
    song: int
    flops: int

    def bytes_of(self, songs: int) -> int:
        """Bytes of a step with `songs` songs."""
        return self.fixed + songs * self.song

    @property
    def largest(self) -> int:
        """Songs whose step fits into 80 GB by this count."""
        return int((GPU_BYTES - self.fixed) // self.song)


def rows(own: Sizes) -> list[Row]:
    """Float32 and bf16-mixed, without and with gradient checkpointing."""
    flops = {again: count(1, mixed=False, checkpointing=again, backward=True).flops for again in (False, True)}
    found = []
    for mixed, precision in ((False, "32-true"), (True, "bf16-mixed")):
        one, two = (count(songs, mixed) for songs in (1, 2))
        song, block = two.kept - one.kept, two.largest_block - one.largest_block
        # What does not grow with the batch are the weights that autocast casts to bfloat16.
        found.append(Row(precision, fixed_bytes(own) + one.kept - song, song, flops[False]))
        one, two = (count(songs, mixed, checkpointing=True) for songs in (1, 2))
        # The inputs of all blocks, and what one block keeps while it is computed again.
        song = two.kept - one.kept
        fixed = fixed_bytes(own) + one.kept - song
        found.append(Row(f"{precision}, gradient_checkpointing", fixed, song + block, flops[True]))
    return found


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows])


def tables(kinds: list[Row]) -> str:
    """Memory, operations and days."""
    plain, batches = kinds[0], [f"batch {songs}" for songs in BATCHES]
    memory = []
    for row in kinds:
        cells = [f"{row.bytes_of(songs) / 1e9:.1f}" for songs in BATCHES]
        memory.append([row.title, f"{row.fixed / 1e9:.2f}", f"{row.song / 1e9:.3f}", *cells, str(row.largest)])
    operations = []
    for title, flops in (("step", plain.flops), ("step, gradient_checkpointing", kinds[1].flops)):
        cells = [f"{songs * flops / 1e12:.1f}" for songs in BATCHES]
        operations.append([title, f"{flops / 1e12:.3f}", *cells])
    days = []
    for title, peak in PEAKS.items():
        cells = [f"{training_days(plain.flops, peak, share):.2f}" for share in SHARES]
        days.append([title, f"{peak / 1e12:g}", *cells])
    memory_head = ["memory, GB", "fixed", "each song", *batches, "fits into 80 GB"]
    days_head = ["days", "peak, TFLOP/s", *(f"at {share:.0%}" for share in SHARES)]
    found = (memory_head, memory), (["operations, TFLOP", "a song", *batches], operations), (days_head, days)
    return "\n\n".join(markdown(*table) for table in found)


def switches(own: Sizes, kinds: list[Row]) -> str:
    """What each switch buys, as far as it can be counted."""
    plain, recomputed, mixed, both = kinds
    faster = {name: peak / PEAKS["32-true"] for name, peak in PEAKS.items()}
    over_tf32 = PEAKS["bf16-mixed"] / PEAKS["32-true, TF32"]
    share = {"half": mixed.song / plain.song, "float32": recomputed.song / plain.song, "mixed": both.song / mixed.song}
    copies, ema, encoder = (mixed.fixed - plain.fixed) / 1e9, 4 * own.unet / 1e9, encoder_flops()
    found = {
        "trainer.precision=bf16-mixed": f"{faster['bf16-mixed']:.1f} times the peak of float32, {over_tf32:.1f} times "
        f"that of TF32; {share['half']:.2f} times the memory of a song, {copies:.2f} GB more for copies of the weights",
        "trainer.tf32=true": f"{faster['32-true, TF32']:.1f} times the peak of float32",
        "model.params.unet.gradient_checkpointing=true": f"{share['float32']:.2f} times the memory of a song in "
        f"float32, {share['mixed']:.2f} times in bf16-mixed; {recomputed.flops / plain.flops:.2f} times the FLOPs",
        "trainer.ema_device=cpu": f"{ema:.2f} GB less on the GPU, and as much copied from it at each step",
        "data.params.path.latents": f"no encoder: {encoder / 1e12:.3f} TFLOP less for a song, "
        f"{encoder / plain.flops:.1%} of a step",
    }
    return markdown(["switch", "counted"], [[f"`{name}`", text] for name, text in found.items()])


def computed() -> str:
    """All that stands between the marks of docs/scaling.md."""
    own = sizes()
    kinds = rows(own)
    return f"{tables(kinds)}\n\n{switches(own, kinds)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, help="replace what is between the marks of this file")
    arguments = parser.parse_args()
    text = computed()
    if arguments.write is None:
        print(text)
        return
    before, begin, rest = arguments.write.read_text(encoding="utf-8").partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    write_text(arguments.write, f"{before}{begin}\n\n{text}\n\n{end}{after}")


if __name__ == "__main__":
    run_command(main)
