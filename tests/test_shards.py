"""Data sets that several processes share out: the same bytes as from one, no file written twice, none forgotten."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from helpers.commands import run_here, run_in
from helpers.latent_store import MAKE, TRAIN_CONFIG, config_with, contents
from helpers.short_runs import SHORT
from helpers.sources import FOUR_CLASSES, save_slakh_song
from synctrack.data.datamodule import StemDataModule
from synctrack.data.latents.encoding import write_latents
from synctrack.data.shards import FINISHED, Shard
from synctrack.data.sources.slakh import write_slakh
from synctrack.errors import InputError

pytestmark = pytest.mark.medium


def data_of(folder: Path) -> dict[str, bytes | None]:
    """The contents of a folder without the notes of its shards."""
    return {name: content for name, content in contents(folder).items() if FINISHED not in name}


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/0", "-1/2", "1/2/3", "a/b", "1/9999999", "", "1.5/2"])
def test_a_shard_that_cannot_be_is_refused(text):
    with pytest.raises(InputError, match="is not one of so many, such as 3/16"):
        Shard.parse(text)


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_shards_share_out_all_jobs_and_none_twice(count):
    jobs = {f"song {number}": number for number in (3, 1, 4, 5, 9, 2, 6)}
    shares = [Shard(number, count).jobs(jobs) for number in range(1, count + 1)]
    assert sorted(name for share in shares for name in share) == sorted(jobs)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_shards_of_latents_complete_the_store_and_until_then_name_the_missing_one(store_copy, capsys, fail):
    run_here(store_copy, "prepare_data.py", *MAKE, "shared", "--shard", "1/2")
    printed = capsys.readouterr().out
    assert "shared/train: not complete yet: shard 2 of 2 has not finished" in printed
    keys = [key for key in SHORT if "latents=" not in key]
    line = fail("train_synctrack.py", "--config", TRAIN_CONFIG, *keys, "data.params.path.latents=shared")
    assert line.endswith("shared/train: holds no complete latents; shard 2 of 2 has not finished")
    run_here(store_copy, "prepare_data.py", *MAKE, "shared", "--shard", "2/2")
    assert capsys.readouterr().out.endswith("4 songs\n")
    assert data_of(store_copy / "shared") == contents(store_copy / "latents")


def test_a_shard_of_latents_again_changes_nothing(store_copy, capsys):
    for number in (2, 1, 2):
        run_here(store_copy, "prepare_data.py", *MAKE, "shared", "--shard", f"{number}/2")
    assert data_of(store_copy / "shared") == contents(store_copy / "latents")


def test_shards_of_slakh_give_the_folder_of_one_process(tmp_path):
    for number in range(5):
        save_slakh_song(tmp_path / "slakh" / "train" / f"Track{number}", FOUR_CLASSES)
    (tmp_path / "slakh" / "train" / "Track1" / "stems" / "S02.flac").unlink()
    whole = write_slakh(tmp_path / "slakh", tmp_path / "whole", ["train"], workers=1)
    reports = [
        write_slakh(tmp_path / "slakh", tmp_path / "shared", ["train"], workers=1, shard=Shard(number, 3))
        for number in (3, 1, 2)
    ]
    assert [report.songs for report in reports] == [1, 2, 4]
    assert "shard 1, 2 of 3 has not finished" in reports[0].notes[0]
    assert reports[2].left_out == whole.left_out
    assert reports[2].lines == whole.lines
    assert data_of(tmp_path / "shared") == contents(tmp_path / "whole")


def test_a_shard_leaves_the_unfinished_songs_of_others_alone(tmp_path):
    for number in range(2):
        save_slakh_song(tmp_path / "slakh" / "train" / f"Track{number}", FOUR_CLASSES)
    write_slakh(tmp_path / "slakh", tmp_path / "out", ["train"], workers=1, shard=Shard(1, 2))
    others, own = (tmp_path / "out" / "train" / f".Track{number}.partial" for number in (1, 0))
    for folder in (others, own):
        folder.mkdir()
        (folder / "bass.wav").write_bytes(b"half")
    shutil.rmtree(tmp_path / "out" / "train" / "Track0")
    write_slakh(tmp_path / "slakh", tmp_path / "out", ["train"], workers=1, shard=Shard(1, 2))
    assert (others / "bass.wav").read_bytes() == b"half"
    assert not own.exists()


@pytest.mark.slow
def test_latents_in_bfloat16_are_near_those_in_float32_and_say_so(store_copy):
    write_latents(config_with("trainer.precision=bf16-mixed", "data.params.num_workers=2"), "half")
    settings = json.loads((store_copy / "half" / "train" / "manifest.json").read_text())["settings"]
    assert settings["precision"] == "bf16-mixed"
    (exact,) = (store_copy / "latents" / "valid").glob("*/latents.npy")
    expected = np.load(exact).astype(float)
    found = np.load(store_copy / "half" / exact.relative_to(store_copy / "latents")).astype(float)
    assert 0 < np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
    assert len(StemDataModule(config_with("data.params.path.latents=half"), "half").train)


def test_readers_give_the_same_latents(store_copy):
    run_here(store_copy, "prepare_data.py", *MAKE, "read", "data.params.num_workers=3")
    assert contents(store_copy / "read") == contents(store_copy / "latents")


@pytest.mark.slow
def test_latents_on_two_devices_are_those_of_one(store_copy):
    run_in(store_copy, "prepare_data.py", *MAKE, "two", "trainer.devices=2")
    run_in(store_copy, "prepare_data.py", *MAKE, "one")
    assert contents(store_copy / "two") == contents(store_copy / "one")


def test_more_devices_or_workers_than_the_machine_can_run_are_refused(store_copy, fail, tmp_path):
    many = max(2, os.cpu_count() or 1) + 1
    line = fail("prepare_data.py", *MAKE, "many", f"trainer.devices={many}")
    assert line.startswith(f"error: trainer.devices: {many} are more than the {many - 1} processes")
    train = ("train_synctrack.py", "--config", TRAIN_CONFIG, *SHORT)
    line = fail(*train, f"trainer.devices={many}")
    assert line.startswith(f"error: trainer.devices: {many} are more than the {many - 1} processes")
    assert "num_workers: 1025 is not between 0 and 1024" in fail(*train, "data.params.num_workers=1025")
    line = fail("prepare_data.py", "synthetic", "--songs", 1, "--out", "many", "--workers", 513)
    assert line.startswith("error: --workers: '513' is not a whole number from 1 to 512")
