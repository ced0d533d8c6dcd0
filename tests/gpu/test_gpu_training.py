"""Training on the device: steps against the CPU, resuming, EMA, precision, latents, first stages, two devices."""

import copy
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from helpers import first_stage_runs
from helpers.commands import run_here, run_in
from helpers.latent_store import FROM_STORE, KEYS, MAKE, TRAIN_CONFIG, config_with
from helpers.runs import logged
from helpers.small_model import awaken
from synctrack.data.datamodule import StemDataModule
from synctrack.seeding import item_generator
from synctrack.training.acceleration import adamw
from synctrack.training.synctrack_module import SyncTrackModule

pytestmark = pytest.mark.gpu

CONDITIONS = "model.params.conditioning={context: true, signals: [mix]}"


@pytest.fixture
def train(store_copy, on_device):
    """Run train_synctrack.py on the device with more keys; gives the run folder."""

    def train_with(name: str, *keys: str, run=run_here) -> Path:
        arguments = ["--config", TRAIN_CONFIG, *KEYS, *on_device, f"run_dir={name}", "validation.clips=0", *keys]
        run(store_copy, "train_synctrack.py", *arguments)
        return store_copy / name

    return train_with


def last(run: Path) -> dict:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True, map_location="cpu")


def assert_alike(one: Path, other: Path, steps: int) -> None:
    """The same losses to a thousandth, and weights within what Adam makes of rounding: a share of `steps` steps."""
    assert logged(one, "train/loss") == pytest.approx(logged(other, "train/loss"), rel=1e-3)
    first, second = last(one)["state_dict"], last(other)["state_dict"]
    assert first.keys() == second.keys()
    for name, weight in first.items():
        if weight.is_floating_point():
            assert (weight - second[name]).abs().mean() < 1e-3 * steps * 0.01, name


@pytest.mark.parametrize(
    "keys", [[], ["model.params.unet.gradient_checkpointing=true"], ["trainer.channels_last=false"]]
)
def test_three_steps_with_the_same_noise_are_the_cpus(device, keys):
    torch.manual_seed(0)
    module = SyncTrackModule(config_with(CONDITIONS, *keys))
    awaken(module.model.unet)
    module.model.scale_factor.fill_(1.0)
    module.ema.module.load_state_dict(module.model.unet.state_dict())
    other = copy.deepcopy(module).to(device)
    latent = torch.randn(2, 4, 4, 32, 16)
    losses = []
    for own in (module, other):
        weights = [p for p in own.model.unet.parameters() if p.requires_grad]
        optimizer = adamw(weights, own.model.scale_factor.device, "32-true", lr=1e-3)
        losses.append([])
        for step in range(3):
            optimizer.zero_grad()
            generators = [item_generator(step, item) for item in range(2)]
            loss = own.model.loss(latent.to(own.model.scale_factor.device), generators).mean()
            loss.backward()
            optimizer.step()
            own.ema.update(own.model.unet)
            losses[-1].append(loss.item())
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    for part in (lambda m: m.model.unet, lambda m: m.ema.module):
        for ours, theirs in zip(part(other).parameters(), part(module).parameters(), strict=True):
            assert (ours.cpu() - theirs).abs().mean() < 3e-5
    assert other.ema.num_updates.item() == 3


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_stopped_and_resumed_equals_never_stopped(train, precision):
    keys = [f"trainer.precision={precision}", CONDITIONS]
    unbroken = train("unbroken", *keys, "trainer.max_steps=6")
    train("broken", *keys, "trainer.max_steps=3")
    broken = train("broken", *keys, "trainer.max_steps=6", "trainer.resume=last")
    assert_alike(broken, unbroken, steps=6)
    assert {weight.dtype for name, weight in last(unbroken)["state_dict"].items() if name.startswith("ema.module")} == {
        torch.float32
    }


def test_a_run_of_the_device_resumes_on_the_cpu_and_the_other_way_round(train, on_device):
    cpu = ["trainer.accelerator=cpu"]
    for name, first, second in (("there", [], cpu), ("back", cpu, [])):
        train(name, *first, "trainer.max_steps=2")
        run = train(name, *second, "trainer.max_steps=4", "trainer.resume=last")
        assert last(run)["global_step"] == 4
        assert all(value > 0 for value in logged(run, "train/loss").values())


def test_bfloat16_loses_as_float32(train):
    plain, mixed = train("plain"), train("mixed", "trainer.precision=bf16-mixed", "trainer.gradient_clip_val=1.0")
    assert logged(mixed, "train/loss") == pytest.approx(logged(plain, "train/loss"), rel=0.05)


def test_ema_weights_on_the_cpu_are_those_beside_the_model(train):
    beside, apart = train("beside"), train("apart", "trainer.ema_device=cpu")
    assert_alike(apart, beside, steps=3)
    assert logged(apart, "val/loss_ema") == pytest.approx(logged(beside, "val/loss_ema"), rel=1e-3)


class NoWaiting(pl.Callback):
    """Lets torch raise an error where a step, after the first, waits for the GPU."""

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, *_: object) -> None:
        if module.device.type == "cuda" and trainer.global_step > 0:
            torch.cuda.set_sync_debug_mode("error")

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: object) -> None:
        if module.device.type == "cuda":
            torch.cuda.set_sync_debug_mode("default")

    on_exception = on_train_batch_end


@pytest.mark.parametrize("source", ["data.params.path.latents=null", FROM_STORE])
def test_no_step_waits_for_the_gpu(train, monkeypatch, source):
    build = pl.Trainer.__init__

    def with_callback(self: pl.Trainer, **how: object) -> None:
        build(self, **how | {"callbacks": [NoWaiting(), *how["callbacks"]]})

    monkeypatch.setattr(pl.Trainer, "__init__", with_callback)
    keys = ["trainer.max_steps=4", "trainer.log_every_n_steps=100", "trainer.gradient_clip_val=1.0"]
    assert last(train("quick", source, *keys))["global_step"] == 4


def test_batches_are_pinned_and_copied_but_for_their_numbers(device, store_copy):
    data = StemDataModule(config_with())
    item = data.train[0, 0]
    (batch,) = data._loader(data.train, sampler=[(0, 0)], batch_size=1)
    assert batch["waveform"].is_pinned() == (device.type == "cuda")
    moved = data.transfer_batch_to_device(batch, device, 0)
    assert moved["waveform"].device.type == device.type
    assert isinstance(moved["index"], np.ndarray)
    assert isinstance(moved["epoch"], np.ndarray)
    assert torch.equal(moved["waveform"][0].cpu(), item["waveform"])


def test_latents_made_on_the_device_are_the_cpus(store_copy, on_device):
    run_here(store_copy, "prepare_data.py", *MAKE, "other", *on_device)
    stores = [StemDataModule(config_with(), latents=folder) for folder in ("latents", "other")]
    for name in ("mean", "std"):
        expected, ours = (data.train[0, 0][name] for data in stores)
        # Stored in half precision.
        assert (ours.float() - expected.float()).abs().max() <= 2e-3 * expected.float().abs().max()


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("kind", ["vae", "vocoder"])
def test_first_stage_trains_and_resumes_with_active_discriminators(grooves, tmp_path, on_device, kind, precision):
    keys = ["run_dir=first", f"trainer.precision={precision}", *on_device]
    first_stage_runs.train(tmp_path, kind, grooves, *keys, "trainer.max_steps=4")
    first_stage_runs.train(tmp_path, kind, grooves, *keys, "trainer.max_steps=6", "trainer.resume=last")
    weights = first_stage_runs.last(tmp_path / "first")["state_dict"]
    assert all(weight.isfinite().all() for weight in weights.values() if weight.is_floating_point())
    assert len(first_stage_runs.values(tmp_path / "first", "train/discriminator")) == 4


def test_two_devices_train_as_one_with_twice_the_batch(device, train):
    if device.type == "cuda" and torch.cuda.device_count() < 2:
        pytest.skip("this machine has one GPU; two are needed")
    one = train("one")
    two = train("two", "trainer.devices=2", "data.params.batch_size=1", run=run_in)
    assert logged(two, "val/loss_ema") == pytest.approx(logged(one, "val/loss_ema"), rel=1e-3)


@pytest.mark.slow
def test_compiled_training_loses_as_the_plain_one(train):
    plain, fast = train("plain"), train("fast", "trainer.compile=true")
    assert logged(fast, "train/loss") == pytest.approx(logged(plain, "train/loss"), rel=1e-3)
