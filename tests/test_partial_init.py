"""Starting a training from weights of other stems, switches or sizes: explained, or taken as far as they fit."""

import dataclasses
import logging

import pytest
import torch

from helpers.small_model import STEMS, awaken, small_config
from synctrack.checkpoint.loading import header
from synctrack.config import Config, DataConfig, DataParams, DataPaths, ModelParams, ModelSection
from synctrack.diffusion.samplers import Sampling
from synctrack.errors import InputError
from synctrack.models.latent_diffusion import LatentDiffusion
from synctrack.seeding import item_generator
from synctrack.training.ema import EMA
from synctrack.training.initialise import initialise


def params_of(path=None, init="strict", **unet) -> ModelParams:
    config = small_config(**unet)
    own = {item.name: getattr(config, item.name) for item in dataclasses.fields(type(config))}
    return ModelParams(**own, ckpt_path=path, init=init)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A training checkpoint of the small model, with EMA weights unlike the U-Net's."""
    torch.manual_seed(0)
    params = params_of()
    model = awaken(LatentDiffusion(params, STEMS))
    model.scale_factor.fill_(2.0)
    ema = EMA(model.unet, 0.99)
    for parameter in ema.module.parameters():
        parameter.data += 0.01
    ema.num_updates.fill_(500)
    config = Config(model=ModelSection(params), data=DataConfig(DataParams(path=DataPaths(stems=list(STEMS)))))
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    state |= {f"ema.{name}": value for name, value in ema.state_dict().items()}
    path = tmp_path_factory.mktemp("partial") / "small.ckpt"
    torch.save({"state_dict": state, "global_step": 500, "synctrack": header("synctrack", config)}, path)
    return path


def start(path, stems=STEMS, init="strict", **unet) -> tuple[LatentDiffusion, EMA]:
    torch.manual_seed(1)
    params = params_of(str(path), init, **unet)
    model = LatentDiffusion(params, stems)
    ema = EMA(model.unet, 0.99)
    initialise(model, ema, params)
    return model, ema


@pytest.mark.parametrize(
    ("stems", "unet", "named"),
    [
        (("bass", "drums"), {}, "data.params.path.stems: ['bass', 'drums', 'guitar', 'piano'] in the file"),
        (STEMS, {"global_attention": False}, "model.params.unet.global_attention: True in the file, False here"),
        (STEMS, {"model_channels": 64}, "model.params.unet.model_channels: 32 in the file, 64 here"),
    ],
)
def test_weights_that_do_not_fit_are_explained_by_settings_in_one_line(checkpoint, stems, unet, named):
    with pytest.raises(InputError) as refused:
        start(checkpoint, stems, **unet)
    message = str(refused.value)
    assert named in message
    assert "model.params.init=partial" in message
    assert "in_layers" not in message
    assert len(message) < 500


@pytest.mark.parametrize(
    ("stems", "unet", "new"),
    [
        (("bass", "drums"), {}, {"prior.one_hot", "prior.mlp.0.weight"}),
        (("bass", "drums", "guitar", "piano", "lead"), {}, {"prior.one_hot", "prior.mlp.0.weight"}),
        (STEMS, {"global_attention": False}, set()),
    ],
)
def test_partial_init_takes_what_fits_and_names_the_rest(checkpoint, stems, unet, new, caplog):
    caplog.set_level(logging.INFO)
    model, ema = start(checkpoint, stems, "partial", **unet)
    stored = torch.load(checkpoint, weights_only=True)["state_dict"]
    for name, tensor in model.unet.state_dict().items():
        if name in new:
            assert name.rpartition(".")[0] in caplog.text
        else:
            assert torch.equal(tensor, stored[f"model.unet.{name}"]), name
        assert torch.equal(tensor, ema.module.state_dict()[name])
    assert f"newly initialised: {len(new)} tensors" in caplog.text
    assert ema.num_updates.item() == 0
    assert model.scale_factor.item() == 2.0


def test_model_of_partial_weights_trains_and_generates(checkpoint):
    model, _ = start(checkpoint, ("bass", "drums"), "partial")
    latent = torch.randn(1, 2, *model.config.latent_shape)
    model.loss(latent, [item_generator(0)]).mean().backward()
    assert model.unet.prior.mlp[0].weight.grad.abs().sum() > 0
    assert model.generate([item_generator(0)], Sampling(steps=2)).isfinite().all()


def test_partial_init_of_the_same_model_equals_strict_init(checkpoint):
    strict, strict_ema = start(checkpoint)
    partial, partial_ema = start(checkpoint, init="partial")
    for ours, theirs in ((strict, partial), (strict_ema, partial_ema)):
        for (name, tensor), other in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
            assert torch.equal(tensor, other), name
    assert partial_ema.num_updates.item() == 500


def test_vae_of_another_size_is_refused_even_in_part(checkpoint):
    params = params_of(str(checkpoint), "partial")
    vae = dataclasses.replace(params.vae, channels=64)
    model = LatentDiffusion(dataclasses.replace(params, vae=vae), ("bass", "drums"))
    with pytest.raises(InputError, match=r"vae\."):
        initialise(model, EMA(model.unet, 0.99), dataclasses.replace(params, vae=vae))


def test_unknown_init_is_refused():
    with pytest.raises(ValueError, match=r"model\.params\.init: 'loose' must be one of strict, partial"):
        params_of(init="loose")
