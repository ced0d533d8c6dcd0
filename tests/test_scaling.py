"""docs/scaling.md holds what its script computes, and the script counts what closed formulas give."""

import json
import re
import subprocess
import sys

import pytest
import torch
from torch import nn

from helpers.commands import ROOT
from synctrack.devices import emulates_bfloat16
from synctrack.models import attention
from synctrack.models.latent_diffusion import ModelConfig
from synctrack.models.unet import UNet, UNetConfig

BENCHMARKS = ROOT / "benchmarks"
SCALING = ROOT / "docs" / "scaling.md"


@pytest.fixture(scope="module")
def script():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import scaling_table

        return scaling_table


@pytest.fixture(scope="module")
def written(script) -> str:
    """What stands between the marks of docs/scaling.md."""
    begin, end = script.MARKS
    return SCALING.read_text().partition(begin)[2].partition(end)[0].strip()


def all_rows(text: str) -> list[list[str]]:
    """The cells of every row of the tables."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("| ---")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def table_rows(text: str) -> dict[str, list[str]]:
    """First cell of each row of the tables -> the others; the first row of a name counts."""
    return {name: cells for name, *cells in reversed(all_rows(text))}


def forward_flops() -> int:
    """FLOPs of the full-size forward pass of one song by closed formulas, from the shapes that the layers see."""
    config, sizes = ModelConfig(), {}

    def convolution(layer, inputs, output):
        positions = output.numel() // output.shape[2]
        sizes[layer] = 2 * positions * layer.weight.numel()

    def product(layer, inputs, output):
        sizes[layer] = 2 * (output.numel() // output.shape[-1]) * layer.weight.numel()

    def attended(layer, inputs, output):
        _, stems, frames, bins, channels = inputs[0].shape
        length = {
            attention.INTRA_STEM: frames * bins,
            attention.GLOBAL: stems * frames * bins,
            attention.SAME_FRAME: stems * bins,
        }[layer.pattern]
        sizes[layer] = 4 * stems * frames * bins * length * channels

    with torch.device("meta"):
        unet = UNet(UNetConfig(), 4, config.vae.latent_channels)
        hooks = {nn.Conv2d: convolution, nn.Linear: product, attention.SelfAttention: attended}
        for layer in unet.modules():
            for kind, hook in hooks.items():
                if isinstance(layer, kind):
                    layer.register_forward_hook(hook)
        with pytest.MonkeyPatch.context() as patch, torch.no_grad():
            # The meta device has no autocast.
            patch.setattr("synctrack.models.layers.torch.is_autocast_enabled", lambda device: False)
            unet(torch.empty(1, 4, *config.latent_shape), torch.zeros(1, dtype=torch.long))
    return sum(sizes.values())


@pytest.mark.medium
def test_counted_flops_are_those_of_closed_formulas(script, written):
    by_formula = forward_flops()
    step = float(table_rows(written)["step"][0]) * 1e12
    # The backward pass repeats each product twice, and attention computes its scores once more.
    assert 3 * by_formula < step < 3.3 * by_formula
    assert step == pytest.approx(3 * by_formula, rel=0.1)


def test_figures_that_follow_from_others_agree_with_their_formulas(script, written):
    rows, own = table_rows(written), script.sizes()
    assert own.unet == 241_314_712
    fixed, song, *batches, fits = map(float, rows["32-true"])
    assert fixed == pytest.approx(4 * (5 * own.unet + own.frozen) / 1e9, abs=0.005)
    assert batches == pytest.approx([fixed + songs * song for songs in script.BATCHES], abs=0.15)
    assert fits == int((80 - fixed) // song)
    flops, *steps = map(float, rows["step"])
    assert steps == pytest.approx([songs * flops for songs in script.BATCHES], abs=0.06)
    for name, peak in (("bf16-mixed", 989.4e12), ("32-true, TF32", 494.7e12), ("32-true", 66.9e12)):
        cells = next(cells for cells in all_rows(written) if cells[0] == name and len(cells) == 4)
        assert float(cells[1]) * 1e12 == pytest.approx(peak)
        days = [320_000 * 16 * flops * 1e12 / (share * peak) / 86_400 for share in (0.2, 0.4)]
        assert [float(cell) for cell in cells[2:]] == pytest.approx(days, rel=1e-3, abs=0.006)


@pytest.mark.slow
def test_document_holds_what_its_script_computes(script, written):
    assert written == script.computed()


def test_measured_and_computed_are_told_apart():
    text = SCALING.read_text()
    assert "## Not measured" in text
    assert re.search(r"No GPU has run this code yet", text)


@pytest.mark.slow
def test_training_is_measured_at_the_demos_size_with_each_switch(tmp_path):
    command = [
        BENCHMARKS / "bench_training.py",
        "--device",
        "cpu",
        "--size",
        "demo",
        "--batches",
        "1",
        "--repeats",
        "1",
    ]
    result = subprocess.run(
        [sys.executable, *map(str, command), "--json", "rows.json"], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    rows = json.loads((tmp_path / "rows.json").read_text())
    precisions = ["32-true"] if emulates_bfloat16() else ["bf16-mixed", "32-true"]
    assert [row["precision"] for row in rows[: len(precisions)]] == precisions
    assert [row["compile"] for row in rows[len(precisions) :]] == [True, False, False]
    for row in rows:
        assert row["songs_per_second"] > 0
        assert 0 < row["share_of_matmul_peak"] < 1.5
        assert row["gigabytes"] > 0.1
    assert len(result.stdout.splitlines()) == 2 + len(rows) + emulates_bfloat16()


def test_wrong_number_of_songs_is_one_line(tmp_path):
    command = [sys.executable, BENCHMARKS / "bench_training.py", "--batches", "0"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (2, "error: --batches, --repeats: must be between 1 and 1024\n")
