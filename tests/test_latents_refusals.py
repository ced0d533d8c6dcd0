"""Stores and configurations that do not fit together, and stores that cannot be written."""

import json
import os
import runpy
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.commands import ROOT
from helpers.latent_store import FROM_STORE, KEYS, MAKE, TRAIN_CONFIG, contents, save_vae

pytestmark = pytest.mark.medium


def change_manifest(change: Callable[[dict], object]) -> None:
    path = Path("latents/train/manifest.json")
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


STORED = Path("latents/valid/Groove00000/latents.npy")


def change_settings(**settings: object) -> None:
    change_manifest(lambda manifest: manifest["settings"].update(settings))


def stored() -> np.ndarray:
    return np.load(STORED)


def save_instead(latents: np.ndarray, save: Callable = np.save) -> None:
    with STORED.open("wb") as file:
        save(file, latents)


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


SPOILED = {
    "no store": (lambda: shutil.rmtree("latents"), "latents/train: holds no complete latents"),
    "no validation": (lambda: shutil.rmtree("latents/valid"), "latents/valid: holds no complete latents"),
    "stopped": (lambda: change_manifest(lambda m: m.pop("tracks")), "latents/train: holds no complete latents"),
    "no manifest of latents": (lambda: change_manifest(lambda m: m["settings"].pop("offsets")), "no complete latents"),
    "changed song": (lambda: os.utime("data/train/Groove00001/bass.wav"), "different settings (track Groove00001 ["),
    "song more": (lambda: shutil.copytree("data/valid/Groove00000", "data/train/New"), "(track New None, now ["),
    "song less": (lambda: shutil.rmtree("data/train/Groove00002"), "(track Groove00002 ["),
    "another VAE": (lambda: save_vae(Path("vae.ckpt"), seed=1), "latents: its latents come from another VAE"),
    "cut file": (lambda: os.truncate("latents/train/Groove00002/latents.npy", 3000), "latents.npy: is missing or dam"),
    "empty file": (lambda: os.truncate("latents/train/Groove00002/latents.npy", 0), "latents.npy: is missing or dam"),
    "lost file": (lambda: shutil.rmtree("latents/valid/Groove00000"), "Groove00000/latents.npy: is missing or dam"),
    "other file": (lambda: save_instead(np.zeros(3, np.float16)), "is of another shape than"),
    "whole numbers": (lambda: save_instead(stored().astype(np.int16)), "latents.npy: is not an array of float16"),
    "complex numbers": (lambda: save_instead(stored().astype(complex)), "latents.npy: is not an array of float16"),
    "archive": (lambda: save_instead(stored(), np.savez), "latents.npy: is not an array of float16"),
    "pipe": (lambda: replace_by_pipe(STORED), "latents.npy: is a device, a pipe or a socket"),
    "not finite": (lambda: save_instead(np.full_like(stored(), np.nan)), "holds values that are not finite"),
    "offsets a text": (lambda: change_settings(offsets="x"), "latents/train: holds no complete latents"),
    "offsets a fraction": (lambda: change_settings(offsets=2.5), "latents/train: holds no complete latents"),
    "offsets endless": (lambda: change_settings(offsets=10**9), "its offsets or signals are damaged"),
    "signals a number": (lambda: change_settings(signals=3), "its offsets or signals are damaged"),
    "hash a list": (lambda: change_settings(vae_sha256=["0"]), "latents/train: holds no complete latents"),
    "deep": (lambda: Path("latents/train/manifest.json").write_text("[" * 100_000), "holds no complete latents"),
}


@pytest.mark.parametrize("how", SPOILED)
def test_stores_that_do_not_fit_are_one_line_and_status_2(fail, store_copy, how):
    spoil, message = SPOILED[how]
    spoil()
    assert message in fail("train_synctrack.py", "--config", TRAIN_CONFIG, *KEYS, FROM_STORE)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("model.params.audio.f_max=3000", "(audio.f_max 4000.0, now 3000.0)"),
        ("model.params.vae.latent_channels=8", "(vae.latent_channels 4, now 8)"),
        ("data.params.path.stems=[drums,bass,guitar,piano]", "(stems ['bass', 'drums', 'guitar', 'piano'], now"),
    ],
)
def test_other_configurations_are_one_line_and_status_2(fail, store_copy, key, message):
    assert message in fail("train_synctrack.py", "--config", TRAIN_CONFIG, *KEYS, FROM_STORE, key)


def save_broken_vae() -> None:
    save_vae(Path("vae.ckpt"), seed=0)
    content = torch.load("vae.ckpt", weights_only=True)
    content["state_dict"]["vae.quant_conv.bias"].fill_(1e6)
    torch.save(content, "vae.ckpt")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["data.params.path.train_data=null", "--out", "new"], "data.params.path.train_data: is not set"),
        (["data.params.path.train_data=nowhere", "--out", "new"], "nowhere: "),
        (["model.params.vae_ckpt_path=null", "--out", "new"], "model.params.vae_ckpt_path: is not set"),
        (["model.params.vae_ckpt_path=gone.ckpt", "--out", "new"], "gone.ckpt: "),
        (["model.params.vae.channels=64", "--out", "new"], "vae.ckpt"),
        (
            ["--offsets", "2", "--out", "latents"],
            "latents/train: was created with different settings (offsets 4, now 2)",
        ),
        (["--out", "data"], "data/train: was created with different settings ("),
    ],
)
def test_wrong_input_of_encoding_is_one_line_and_status_2(fail, store_copy, keys, message):
    assert message in fail("prepare_data.py", "latents", "--config", TRAIN_CONFIG, *KEYS, *keys)
    assert not Path("new").exists()


def test_numbers_that_float16_cannot_hold_are_refused(fail, store_copy):
    save_broken_vae()
    assert "not numbers in float16" in fail("prepare_data.py", *MAKE, "new")
    assert sorted(contents(Path("new"))) == ["train", "train/manifest.json"]


def test_too_little_disk_space_is_reported_before_encoding(fail, store_copy, monkeypatch):
    usage = shutil.disk_usage(store_copy)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=500_000))
    stored = sum(file.stat().st_size for file in store_copy.glob("latents/*/*/*.npy")) - 4 * 128
    assert f"new: needs {stored / 1e6:.3g} MB more, 500 kB are free" in fail("prepare_data.py", *MAKE, "new")
    assert not Path("new").exists()
    # Complete songs need no more space.
    monkeypatch.setattr(sys, "argv", ["prepare_data.py", *map(str, MAKE), "latents"])
    runpy.run_path(str(ROOT / "prepare_data.py"), run_name="__main__")


def test_full_disk_is_one_line_and_leaves_no_song(fail, store_copy):
    """A limit on file sizes stands for the full disk."""
    resource = pytest.importorskip("resource", reason="Windows has no such limits")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        line = fail("prepare_data.py", *MAKE, "new")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "new/train/Groove00000: cannot be written" in line
    assert sorted(contents(Path("new"))) == ["train", "train/manifest.json"]
