"""Values of the configuration: of every key what no key of its type accepts, and what earlier campaigns found."""

import dataclasses
import os
from collections.abc import Iterator
from typing import Any

from campaign.cases import TRAIN, Case
from synctrack.config import Config

SMALL = "small.yaml"
FIRST_STAGE = ("train_first_stage.py", "--config", "{shared}/small.yaml")
EVALUATE = (
    "eval_synctrack.py",
    "--config",
    "{shared}/small.yaml",
    "mode=test",
    "model.params.ckpt_path={shared}/plain.safetensors",
)

WRONG: dict[Any, tuple[str, ...]] = {
    int: ("x", "1.5", ".nan", "inf", "-7", "1" + 30 * "0", "[1]"),
    int | None: ("x", ".inf", "-7", "1" + 30 * "0", "{a: 1}"),
    float: ("x", "nan", "inf", "-7", "1e300", "[0.5]"),
    float | int: ("x", "nan", "-.inf", "-7", "1e300"),
    float | None: ("x", "nan", ".inf", "-7", "1e300"),
    bool: ("x", "2.5", "[true]"),
    str: ("[a]", "{a: 1}", "null"),
    str | None: ("[a]", "{a: 1}"),
    list[int]: ("[]", "5", "[x]", "[0]", "[-2]", "[.nan]", "[[1]]"),
    list[float]: ("[]", "0.5", "[x, x]", "[.nan, 0.5]", "[0.5, .inf]", "[0.1, 0.2, 0.3]"),
    list[str]: ("5", "[[a]]", "[{a: 1}]"),
    Any: ("1.5", "[[1]]", "{a: 1}", "-3"),
}
"""Type of a key -> values that no key of this type accepts."""
FREE = {
    # A U-Net may have no attention.
    ("model.params.unet.attention_resolutions", "[]"),
}
"""Exceptions: (key, value) that is accepted."""

FOUND = (
    "seed=",
    "seed=[1",
    "seed=${",
    "seed=null",
    "seed=true",
    "run_dir=${oc.env:HOME",
    "run_dir=${oc.env:NO_SUCH_VARIABLE_AT_ALL}",
    "run_dir=${run_dir}",
    "run_dir=${nowhere.at_all}",
    "run_dir=${no_resolver:1}",
    "run_dir=???",
    "run_dir=",
    "run_dir=" + 300 * "a",
    "run_dir=a\x01b",
    "trainer.max_epochs=${data}",
    "trainer.precision=64-true",
    "trainer.precision=transformer-engine",
    "trainer.precision=99",
    "trainer.precision=",
    "trainer.accelerator=tpu",
    "trainer.accelerator=abacus",
    f"trainer.devices={max(2, os.cpu_count() or 1) + 1}",
    "trainer.devices=[]",
    "trainer.devices=[0,0]",
    "trainer.devices=none",
    "trainer.devices=0",
    "trainer.devices=true",
    "trainer.gradient_clip_val=nan",
    "trainer.gradient_clip_val=-1",
    "trainer.limit_train_batches=0.0001",
    "trainer.limit_train_batches=1.5",
    "trainer.limit_train_batches=0",
    "trainer.max_steps=-2",
    "trainer.max_epochs=-2",
    "trainer.save_top_k=-2",
    "trainer.resume=nowhere.ckpt",
    "trainer.wandb_project=[a]",
    "data.params.path.stems.0=x",
    "data.params.path.train_data=5",
    "data.params.path.train_data=[1,2]",
    "data.params.path.train_data=[[a]]",
    "data.params.path.train_data={a: b}",
    "data.params.path.train_data=[]",
    "data.params.path.train_data=true",
    "data.params.path.train_data=" + 300 * "a",
    "data.params.path.valid_data=5",
    "data.params.path.valid_data=[[a]]",
    "data.params.path.latents=" + 300 * "a",
    "data.params.path.latents=nowhere",
    "data.params.path.stems=[]",
    "data.params.path.stems=[a, a]",
    "data.params.path.stems=[a/b]",
    "data.params.path.stems=[../x]",
    "data.params.path.stems=['']",
    "data.params.path.stems=[" + 300 * "a" + "]",
    "data.params.max_seconds=nan",
    "data.params.max_seconds=0",
    "data.params.batch_size=1000000000",
    "data.params.num_workers=100000",
    "model.params.weight_decay=-1",
    "model.params.weight_decay=nan",
    "model.params.weight_decay=inf",
    "model.params.base_learning_rate=inf",
    "model.params.base_learning_rate=nan",
    "model.params.ema_decay=2",
    "model.params.ckpt_path=" + 300 * "a",
    "model.params.vae_ckpt_path=nowhere.ckpt",
    "model.params.audio.sample_rate=0",
    "model.params.audio.sample_rate=1000000000",
    "model.params.audio.n_fft=0",
    "model.params.audio.n_fft=1",
    "model.params.audio.n_fft=-4",
    "model.params.audio.n_fft=1000000000000",
    "model.params.audio.n_mels=-64",
    "model.params.audio.n_mels=33",
    "model.params.audio.f_min=9000",
    "model.params.audio.f_min=nan",
    "model.params.audio.f_min=-100",
    "model.params.audio.f_max=90000",
    "model.params.audio.f_max=-1",
    "model.params.audio.f_max=nan",
    "model.params.audio.frames=0",
    "model.params.audio.frames=-512",
    "model.params.audio.frames=65",
    "model.params.vae.channel_mult=[]",
    "model.params.vae.latent_channels=-8",
    "model.params.vae.num_res_blocks=1000000",
    "model.params.unet.channel_mult=[]",
    "model.params.unet.num_head_channels=0",
    "model.params.unet.num_head_channels=-32",
    "model.params.unet.prior_channels=-1",
    "model.params.unet.model_channels=32000000",
    "model.params.unet.num_res_blocks=1000000",
    "model.params.diffusion.timesteps=0",
    "model.params.diffusion.timesteps=10000000000",
    "model.params.diffusion.linear_start=nan",
    "model.params.diffusion.linear_start=-1",
    "model.params.diffusion.linear_end=5",
    "model.params.given.nothing=0.9",
    "validation.eta=1e300",
    "validation.steps=1001",
    "validation.clips=1000000000000",
    "model.params.unet=5",
    "data=7",
    "trainer=[1]",
    "model.params=x",
    "model=null",
    "trainer.max_epoch=3",
    "nonsense=1",
    "trainer..devices=1",
    ".seed=1",
)
"""`key=value` for train_synctrack.py; the line must name the key."""

FOUND_IN_FIRST_STAGES = (
    "first_stage.learning_rate=inf",
    "first_stage.kl_weight=inf",
    "first_stage.periods=[]",
    "first_stage.periods=[0]",
    "first_stage.scales=50",
    "first_stage.betas=[0.9, nan]",
    "first_stage.betas=[0.9]",
    "first_stage.crop_frames=65",
    "first_stage.crop_frames=1000000",
    "first_stage.patch_channels=16000000000",
    "first_stage.kind=unet",
    "first_stage.schedule=linear",
)
FOUND_IN_EVALUATION = (
    "evaluation.eta=inf",
    "evaluation.eta=2",
    "evaluation.eta=100",
    "evaluation.steps=0",
    "evaluation.steps=1001",
    "evaluation.clips=0",
    "evaluation.sampler=euler",
    "evaluation.out=" + 300 * "a",
    "evaluation.out=",
    "evaluation.out=/dev/null",
)
BLAMED = (
    (("seed.x=1",), "seed"),
    # What does not fit with other keys names the key that was set.
    (("model.params.diffusion.timesteps=10", "validation.steps=20"), "model.params.diffusion.timesteps"),
    (
        ("model.params.audio.n_mels=16", "model.params.ckpt_path={shared}/plain.safetensors"),
        "model.params.audio.n_mels",
    ),
    (
        ("model.params.vae.latent_channels=8", "model.params.ckpt_path={shared}/plain.safetensors"),
        "model.params.vae.latent_channels",
    ),
    (
        ("model.params.unet.num_res_blocks=2", "model.params.ckpt_path={shared}/plain.safetensors"),
        "model.params.unet.num_res_blocks",
    ),
    (("model.params.vae_ckpt_path={shared}/small.yaml",), "small.yaml"),
    (("model.params.vocoder.kind=hifigan", "model.params.vocoder_ckpt_path=nowhere.ckpt"), "nowhere.ckpt"),
    (
        ("model.params.vae.num_res_blocks=2", "model.params.vae_ckpt_path={shared}/vae.ckpt"),
        "model.params.vae.num_res_blocks",
    ),
)
"""Several `key=value`, and what the line must name."""


MISSING = ("nowhere", "nowhere.ckpt", "/dev/null")
"""Paths that may be named instead of their key, for which there is nothing wrong with the value as such."""
NAMED = {"model.params.given.nothing": "model.params.given"}


def leaves(schema: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of the configuration and its type."""
    for item in dataclasses.fields(schema):
        if dataclasses.is_dataclass(item.type):
            yield from leaves(item.type, f"{prefix}{item.name}.")
        else:
            yield prefix + item.name, item.type


def _names(pair: str) -> tuple[str, ...]:
    """The key, or what it names: the last part of a path that is not there."""
    key, _, value = pair.partition("=")
    return (key, NAMED[key]) if key in NAMED else (key, value) if value in MISSING else (key,)


def _short(pair: str) -> str:
    return pair if len(pair) < 60 else f"{pair[:40]}…{len(pair)}"


def cases() -> list[Case]:
    """All of them."""
    found = [Case(_short(pair), (*TRAIN, pair), _names(pair)) for pair in FOUND]
    found += [Case(_short(pair), (*FIRST_STAGE, pair), _names(pair)) for pair in FOUND_IN_FIRST_STAGES]
    found += [Case(_short(pair), (*EVALUATE, pair), _names(pair)) for pair in FOUND_IN_EVALUATION]
    found += [Case(" ".join(pairs), (*TRAIN, *pairs), (named,)) for pairs, named in BLAMED]
    for key, kind in leaves(Config):
        for value in WRONG[kind]:
            if (key, value) not in FREE and f"{key}={value}" not in FOUND:
                found.append(Case(f"every key: {key}={value}", (*TRAIN, f"{key}={value}"), (key,)))
    return found
