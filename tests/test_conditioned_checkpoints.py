"""What checkpoints of conditioned models say and hold: the header, the told tempi, wider conditions, refusals."""

import dataclasses
from pathlib import Path

import pytest
import torch

from helpers.small_model import STEMS, awaken, small_config
from synctrack.checkpoint.commands import convert, inspect
from synctrack.checkpoint.files import model_header, read_file
from synctrack.checkpoint.loading import load_for_evaluation
from synctrack.config import ModelParams
from synctrack.errors import InputError
from synctrack.models.conditioning import ConditioningConfig
from synctrack.models.latent_diffusion import LatentDiffusion, ModelConfig
from synctrack.training.ema import EMA
from synctrack.training.initialise import initialise


def with_conditioning(context: bool, signals: list[str]) -> ModelConfig:
    return dataclasses.replace(small_config(), conditioning=ConditioningConfig(context, signals))


def random_model(config: ModelConfig) -> LatentDiffusion:
    torch.manual_seed(0)
    model = awaken(LatentDiffusion(config, STEMS))
    model.scale_factor.fill_(1.0)
    return model


def save(model: LatentDiffusion, path: Path, **header: object) -> Path:
    """A training checkpoint of the model, its EMA weights equal to the U-Net's."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"ema.{name}": tensor for name, tensor in EMA(model.unet, 0.99).state_dict().items()}
    said = model_header("synctrack", model.config, model.stems) | header
    torch.save({"state_dict": tensors, "synctrack": said, "global_step": 7}, path)
    return path


def test_header_without_conditions_is_that_of_earlier_versions():
    header = model_header("synctrack", small_config(), STEMS)
    assert "conditioning" not in header["config"]
    assert "min_snr_gamma" not in header["config"]["diffusion"]
    assert "trained_bpm" not in header


def test_header_says_what_the_model_can_be_told(tmp_path, capsys):
    path = save(random_model(with_conditioning(True, ["click"])), tmp_path / "a.ckpt", trained_bpm=[70.5, 158.0])
    inspect(path)
    assert "told    context, click (70.5 to 158 BPM)" in capsys.readouterr().out
    convert(path, tmp_path / "a.safetensors")
    shared = read_file(tmp_path / "a.safetensors")
    assert shared.trained_bpm == (70.5, 158.0)
    assert shared.stored_model()[0].conditioning == ConditioningConfig(True, ["click"])


def test_header_holds_the_margin_of_the_training_where_it_is_not_the_default(tmp_path):
    default = ConditioningConfig(True, ["click"])
    wider = dataclasses.replace(default, margin=5)
    for conditioning in (default, wider, ConditioningConfig(margin=0)):
        config = dataclasses.replace(small_config(), conditioning=conditioning)
        path = save(random_model(config), tmp_path / "a.ckpt")
        assert read_file(path).stored_model()[0].conditioning == conditioning
    said = [
        model_header("synctrack", dataclasses.replace(small_config(), conditioning=c), STEMS) for c in (default, wider)
    ]
    assert "margin" not in said[0]["config"]["conditioning"]
    assert said[1]["config"]["conditioning"]["margin"] == 5


@pytest.mark.parametrize("bounds", [[120.0], [160, 70], ["a", "b"], "fast", [0, 100], [float("nan"), 100.0]])
def test_damaged_tempi_in_a_header_are_refused(bounds, tmp_path):
    path = save(random_model(with_conditioning(False, ["click"])), tmp_path / "a.ckpt", trained_bpm=bounds)
    with pytest.raises(InputError, match="trained_bpm"):
        _ = read_file(path).trained_bpm


def test_the_published_names_are_refused_for_a_conditioned_model(tmp_path):
    path = save(random_model(with_conditioning(True, ["mix"])), tmp_path / "a.ckpt")
    convert(path, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=r"context, mix, which the published code does not know"):
        convert(tmp_path / "a.safetensors", tmp_path / "b.ckpt")


def test_training_with_more_conditions_keeps_the_weights_of_those_learnt(tmp_path):
    """From click alone to context, click and mix: the click's channels move, the others are zero."""
    old = random_model(with_conditioning(False, ["click"]))
    path = save(old, tmp_path / "a.ckpt")
    new = LatentDiffusion(with_conditioning(True, ["click", "mix"]), STEMS)
    ema = EMA(new.unet, 0.99)
    initialise(new, ema, params_for(new.config, path))
    for unet in (new.unet, ema.module):
        context, click, mix = unet.conv_condition.weight.chunk(3, dim=1)
        torch.testing.assert_close(click, old.unet.conv_condition.weight, rtol=0, atol=0)
        assert not context.any()
        assert not mix.any()
        torch.testing.assert_close(unet.conv_in.weight, old.unet.conv_in.weight, rtol=0, atol=0)


def test_training_from_weights_without_conditions_says_what_is_new(tmp_path, caplog):
    caplog.set_level("INFO")
    path = save(random_model(small_config()), tmp_path / "a.ckpt")
    new = LatentDiffusion(with_conditioning(True, ["click"]), STEMS)
    initialise(new, EMA(new.unet, 0.99), params_for(new.config, path))
    assert "newly initialised: input weights of context, click, zero at the start" in caplog.text


def test_evaluation_under_other_conditions_names_the_key(tmp_path):
    path = save(random_model(with_conditioning(True, [])), tmp_path / "a.ckpt")
    with pytest.raises(InputError, match=r"model\.params\.conditioning\.context: True in the file, False here"):
        load_for_evaluation(LatentDiffusion(small_config(), STEMS), path)


def test_an_unknown_signal_in_a_header_is_one_line(tmp_path):
    path = save(random_model(with_conditioning(True, [])), tmp_path / "a.ckpt")
    content = torch.load(path, weights_only=True)
    content["synctrack"]["config"]["conditioning"]["signals"] = ["lyrics"]
    torch.save(content, path)
    with pytest.raises(InputError, match=r"conditioning\.signals: 'lyrics' must be one of click, mix"):
        read_file(path).stored_model()


def params_for(config: ModelConfig, path: Path) -> ModelParams:
    parts = {item.name: getattr(config, item.name) for item in dataclasses.fields(ModelConfig)}
    return ModelParams(**parts, ckpt_path=str(path))
