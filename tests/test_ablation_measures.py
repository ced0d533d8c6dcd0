"""What experiments/ablation.py measures and tells of it, against independent computations."""

import csv
import json

import numpy as np
import pytest
import torch

import ablation_measures as measures
import ablation_report as report
import ablation_statistics as statistics
import ablation_tables as tables
from ablation_setup import VARIANTS
from helpers.ablation_runs import Folder, made_up, write_measured
from helpers.commands import ROOT
from helpers.small_model import SMALL_UNET, awaken
from synctrack.config import load_config
from synctrack.models.unet import UNet, UNetConfig

STEPS = (500, 1000)


def interval_of(per_clip: list[float]) -> list[float]:
    """95 % bootstrap interval of a mean, one resample after the other."""
    generator, n = np.random.default_rng(0), len(per_clip)
    rounds = generator.integers(n, size=(1000, n))
    means = [sum(per_clip[i] for i in row) / n for row in rounds]
    return [np.percentile(means, 2.5), np.percentile(means, 97.5)]


def test_mean_and_interval_are_those_of_a_plain_bootstrap_over_clips():
    values = np.random.default_rng(1).uniform(size=(12, 1))
    found = statistics.mean(values)
    assert found.value == pytest.approx(sum(values[:, 0]) / 12)
    assert found.interval == pytest.approx(interval_of(list(values[:, 0])))


def test_irs_is_the_mean_over_stems_of_the_mean_over_clips_that_have_one():
    values = np.array([[0.1, 0.3], [np.nan, 0.5], [0.2, np.nan], [0.3, 0.1], [0.2, 0.2]])
    assert statistics.mean(values).value == pytest.approx((0.2 + 1.1 / 4) / 2)


def test_few_clips_have_a_value_and_no_interval():
    found = statistics.mean(np.array([[0.4], [0.6], [np.nan], [np.nan], [np.nan]]))
    assert (found.value, found.interval) == (0.5, None)
    assert statistics.mean(np.full((6, 1), np.nan)).value is None


def test_difference_is_paired_so_that_what_both_share_widens_no_interval():
    full = 100 * np.random.default_rng(2).uniform(size=(20, 1))
    found = statistics.paired_difference(full + 0.01, full)
    assert found.value == pytest.approx(0.01)
    assert found.interval == pytest.approx((0.01, 0.01))
    assert found.clear
    assert statistics.paired_difference(full[:10], full) is None


def test_difference_to_full_is_of_common_seeds_alone():
    measured = [made_up("full", 500, 0), made_up("bin_scope", 500, 0, shift=0.1), made_up("bin_scope", 500, 1)]
    rows = {row.variant: row for row in report.rows_of(measured)}
    wanted = [a[0] - b[0] for a, b in zip(measured[1]["values"]["cbs"], measured[0]["values"]["cbs"], strict=True)]
    change = rows["bin_scope"].differences["cbs"]
    assert change.value == pytest.approx(np.mean(wanted))
    assert list(change.interval) == pytest.approx(interval_of(wanted))
    assert rows["bin_scope"].seeds == (0, 1)
    both = np.concatenate([measured[1]["values"]["cbs"], measured[2]["values"]["cbs"]])
    assert rows["bin_scope"].estimates["cbs"].value == pytest.approx(both.mean())
    assert rows["bin_scope"].silent == 2
    assert rows["full"].differences == {}


def test_losses_of_different_predictions_are_not_compared():
    rows = report.rows_of([made_up("full", 500), made_up("epsilon", 500)])
    assert "loss" not in rows[-1].differences
    assert "cbs" in rows[-1].differences


def test_above_chance_is_cbs_minus_the_same_clip_repaired():
    one = made_up("full", 500)
    wanted = np.array(one["values"]["cbs"]) - np.array(one["values"]["chance"])
    assert statistics.estimates([one])["above_chance"].value == pytest.approx(wanted.mean())


def test_repaired_stems_come_from_different_clips_and_each_clip_begins_one_pairing():
    songs = {f"{i}": [np.array([i + 0.2 * stem + 0.01]) for stem in range(4)] for i in range(6)}
    durations = dict.fromkeys(songs, 8.0)
    # Stems of one clip would share windows of 1 s; here every beat has a window of its own.
    found = measures.paired_at_random(songs, durations)
    assert found.shape == (6,)
    np.testing.assert_allclose(found, 0.25)
    together = {name: [np.arange(1.0, 7.0)] * 4 for name in songs}
    np.testing.assert_allclose(measures.paired_at_random(together, durations), 1.0)


def test_fewer_clips_than_stems_have_no_chance_level():
    songs = {f"{i}": [np.array([1.0])] * 4 for i in range(3)}
    assert np.isnan(measures.paired_at_random(songs, dict.fromkeys(songs, 2.0))).all()


def test_distance_halves_are_the_same_clips_for_every_variant():
    generator = np.random.default_rng(0)
    first, second, reference = ({"mix": generator.normal(size=(10, 5, 3))} for _ in range(3))
    ours, again, other = (measures.distances(side, reference)["mix"] for side in (first, first, second))
    assert ours == again
    assert len(ours["rounds"]) == measures.ROUNDS
    assert ours["rounds"] != other["rounds"]
    sides = [{"fad": {"mix": side}} for side in (ours, again)]
    change = statistics.distance_difference(sides[:1], sides[1:], "mix")
    assert (change.value, change.interval) == (0.0, (0.0, 0.0))


def test_distance_interval_is_around_the_value_as_wide_as_halves_scatter():
    one = made_up("full", 500)
    rounds = np.array(one["fad"]["mix"]["rounds"])
    found = statistics.distance([one], "mix")
    low, high = np.percentile(rounds, [2.5, 97.5]) - rounds.mean()
    assert found.value == 3.0
    assert found.interval == pytest.approx((3.0 + low, 3.0 + high))


@pytest.mark.parametrize("switches", [{}, {"global_attention": False, "time_attention": False}])
def test_stems_of_the_control_share_nothing_and_those_of_full_do(switches):
    torch.manual_seed(0)
    unet = awaken(UNet(UNetConfig(**SMALL_UNET | switches), 4, 4)).eval()
    x = torch.randn(1, 4, 4, 16, 8)
    changed = x.clone()
    changed[:, 1] += 1.0
    with torch.no_grad():
        before, after = (unet(value, torch.tensor([500])) for value in (x, changed))
    others = [0, 2, 3]
    assert torch.equal(before[:, others], after[:, others]) == bool(switches)


def test_tables_csv_and_json_hold_the_same_numbers_as_the_measurements(tmp_path):
    variants = ("full", "no_cross_stem_attention", "epsilon")
    measured = [made_up(variant, step) for variant in variants for step in STEPS]
    sampler = made_up("full", 1000, kind="sampler")
    sampler["settings"] |= {"sampler": "ddim", "calls": 50}
    data = made_up("data", 0)
    del data["values"]["loss"]
    write_measured(tmp_path, [*measured, sampler], data)
    report.write_report(Folder(tmp_path, list(STEPS)))
    control = [one for one in measured if one["settings"]["variant"] == "no_cross_stem_attention"][-1]
    cbs = [value for (value,) in control["values"]["cbs"]]
    low, high = interval_of(cbs)
    text = (tmp_path / "ablation.md").read_text()
    assert f"| 1,000 | {np.mean(cbs):.3f} ({low:.3f} to {high:.3f}) |" in text
    full = [value for (value,) in measured[1]["values"]["cbs"]]
    change = [a - b for a, b in zip(cbs, full, strict=True)]
    low, high = interval_of(change)
    cell = f"{np.mean(change):+.3f} ({low:+.3f} to {high:+.3f})"
    assert f"| {VARIANTS['no_cross_stem_attention']} | 1,000 | {f'**{cell}**' if low * high > 0 else cell} |" in text
    assert "| ddim | 50 |" in text
    assert "| dpmpp_2m_sde | 20 |" in text
    assert "| noise minus velocity | 1,000 |" in text
    lines = list(csv.DictReader((tmp_path / "ablation.csv").open()))
    (line,) = [x for x in lines if (x["variant"], x["step"], x["metric"]) == ("epsilon", "500", "irs")]
    epsilon = next(one for one in measured if one["settings"]["variant"] == "epsilon")
    assert float(line["value"]) == pytest.approx(np.mean(epsilon["values"]["irs"]))
    content = json.loads((tmp_path / "ablation.json").read_text())
    assert len(content["rows"]) == 7
    assert content["data"]["cbs"]["value"] == pytest.approx(np.mean(data["values"]["cbs"]))
    assert (tmp_path / "ablation.png").read_bytes().startswith(b"\x89PNG")


def test_tables_without_measurements_say_so():
    content = {"settings": {"steps": [500]}, "rows": [], "data": {}}
    assert tables.prediction_table(content) == "Not measured yet."
    assert tables.samplers_table(content) == "Not measured yet."


def test_trainings_predict_the_velocity_without_conditions():
    files = ["config/synctrack_train.yaml", "config/demo.yaml", "experiments/ablation.yaml"]
    params = load_config([ROOT / name for name in files]).model.params
    assert params.diffusion.prediction == "v"
    assert not params.conditioning.any
    assert params.ckpt_path is None
