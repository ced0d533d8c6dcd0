"""What a resumed run, and a validation, takes from its configuration and what from its checkpoint."""

from pathlib import Path

import pytest
import torch

from helpers.latent_store import config_with
from helpers.runs import logged
from helpers.short_runs import short_run
from synctrack.config import load_config
from synctrack.data.datamodule import StemDataModule
from synctrack.errors import InputError

pytestmark = pytest.mark.medium


def stored(run: Path, part: str):
    """A part of the run's last checkpoint."""
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)[part]


def test_changed_settings_of_the_optimiser_apply_to_a_resumed_run(store_copy, caplog):
    short_run(store_copy, "run_dir=run", "trainer.max_steps=2")
    assert "resumed with" not in caplog.text
    changed = ["model.params.base_learning_rate=1e-6", "model.params.weight_decay=0.5", "model.params.warmup_steps=4"]
    with caplog.at_level("INFO"):
        short_run(store_copy, "run_dir=run", "trainer.max_steps=4", "trainer.resume=last", *changed)
    assert "resumed with learning rate 1e-06 instead of 0.001" in caplog.text
    assert "resumed with weight_decay 0.5 instead of" in caplog.text
    rates = logged(store_copy / "run", "train/learning_rate")
    assert [rates[step] for step in (2, 3)] == pytest.approx([0.5e-6, 0.75e-6])
    (group,) = stored(store_copy / "run", "optimizer_states")[0]["param_groups"]
    assert (group["weight_decay"], group["initial_lr"]) == (0.5, 1e-6)


def test_validation_alone_is_of_the_checkpoint_that_resume_names(store_copy, capsys):
    short_run(store_copy, "run_dir=run", "trainer.max_steps=3")
    loss = logged(store_copy / "run", "val/loss")[2]
    capsys.readouterr()
    short_run(store_copy, "run_dir=run", "mode=validate", "trainer.resume=last")
    assert f"{loss:.6f}"[:8] in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        short_run(store_copy, "run_dir=other", "mode=validate", "trainer.resume=gone.ckpt")
    assert "gone.ckpt is not there" in stop.value.printed


def test_checkpoints_of_accumulated_gradients_resume_exactly(store_copy):
    """Six batches an epoch and four to a step: validations come after whole steps, also beyond the first epoch."""
    keys = ["trainer.accumulate_grad_batches=4", "trainer.validation_every_n_steps=1", "trainer.save_top_k=-1"]
    keys.append("trainer.max_steps=4")
    short_run(store_copy, "run_dir=whole", *keys)
    assert list(logged(store_copy / "whole", "val/loss")) == [0, 1, 2, 3]
    checkpoint = store_copy / "whole" / "checkpoints" / "step=0000003.ckpt"
    short_run(store_copy, "run_dir=again", f"trainer.resume={checkpoint}", *keys)
    one, other = (stored(store_copy / run, "state_dict") for run in ("whole", "again"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_part_of_an_epoch_must_be_whole_steps():
    for limit in ("4", "0.5"):
        with pytest.raises(InputError, match=rf"trainer\.limit_train_batches: {limit} is not a number of batches"):
            load_config([], ["trainer.accumulate_grad_batches=3", f"trainer.limit_train_batches={limit}"])
    load_config([], ["trainer.accumulate_grad_batches=3", "trainer.limit_train_batches=6"])


def test_songs_that_are_trained_on_and_validated_are_said(store_copy, caplog):
    StemDataModule(config_with("data.params.path.valid_data=data/train")).require("train")
    assert "data.params.path.valid_data: 3 of its 3 songs are trained on as well" in caplog.text
    caplog.clear()
    StemDataModule(config_with()).require("train")
    assert not caplog.text
