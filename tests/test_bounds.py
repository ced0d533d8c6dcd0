"""Every key of the model's sections refuses values out of bounds, wherever they come from."""

import dataclasses
import json
import math
import types

import pytest
import torch
from safetensors.torch import save_file

from synctrack.audio.mel import AudioFormat
from synctrack.bounds import check_number, check_whole, check_wholes
from synctrack.checkpoint.files import HEADER, model_header, read_file
from synctrack.config import load_config
from synctrack.diffusion.process import DiffusionConfig
from synctrack.errors import InputError
from synctrack.models.conditioning import ConditioningConfig
from synctrack.models.latent_diffusion import ModelConfig, VocoderConfig
from synctrack.models.unet import UNetConfig
from synctrack.models.vae import VAEConfig
from synctrack.models.vocoder import HiFiGANConfig

SECTIONS = {
    "audio": AudioFormat,
    "vae": VAEConfig,
    "unet": UNetConfig,
    "diffusion": DiffusionConfig,
    "conditioning": ConditioningConfig,
    "vocoder": VocoderConfig,
    "vocoder.hifigan": HiFiGANConfig,
}
NAN, INF = math.nan, math.inf
WRONG = {
    int: [0, -1, 10**9, INF, -INF, NAN],
    float: [-1.0, 1e12, INF, -INF, NAN],
    str: ["nonsense", ""],
    list[int]: [[], [0], [-2], [1, 10**9], [INF], [1] * 100, [1, NAN]],
    int | None: [0, -1, 10**9, INF, NAN],
    float | None: [0.0, -1.0, 1e12, INF, NAN],
    list[str]: [["nonsense"], ["click", "click"], [""]],
}
"""Type of a key -> values that no key of this type accepts."""
FREE = [("unet", "attention_resolutions", []), ("conditioning", "margin", 0)]
"""Exceptions: a U-Net may have no attention, and borders no margin."""


def cases() -> list[tuple[str, str, object]]:
    """(section, key, value) for every key but the switches, which are true or false."""
    found = []
    for section, schema in SECTIONS.items():
        for item in dataclasses.fields(schema):
            if not dataclasses.is_dataclass(item.type) and item.type is not bool:
                found += [(section, item.name, value) for value in WRONG[item.type]]
    return [case for case in found if case not in FREE]


CASES = cases()
IDS = [f"{section}.{key}={value if len(str(value)) < 20 else 'long list'}" for section, key, value in CASES]

ONE_EACH = list({case[:2]: case for case in reversed(CASES)}.values())
"""The first case of each key, of the key's own type and out of bounds, for the tests that read files."""


@pytest.mark.parametrize(("factors", "wrong"), [([3], 3), ([16], 16), ([8, 4, 2, 16], 16)])
def test_attention_at_no_level_is_refused(factors, wrong):
    with pytest.raises(
        ValueError, match=rf"unet.attention_resolutions: {wrong} is no level's; the levels are 1, 2, 4, 8"
    ):
        UNetConfig(channel_mult=[1, 2, 3, 5], attention_resolutions=factors)


def test_every_type_of_key_has_wrong_values():
    kinds = {item.type for schema in SECTIONS.values() for item in dataclasses.fields(schema)}
    assert {kind for kind in kinds if not dataclasses.is_dataclass(kind)} - {bool} == set(WRONG)
    assert isinstance(int | None, types.UnionType)


@pytest.mark.parametrize(("section", "key", "value"), CASES, ids=IDS)
def test_value_out_of_bounds_is_refused_in_python(section, key, value):
    with pytest.raises(ValueError, match=rf"^{section}\.{key}: ") as refused:
        SECTIONS[section](**{key: value})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("section", "key", "value"), ONE_EACH)
def test_value_out_of_bounds_is_refused_in_the_configuration(section, key, value):
    text = str(value).replace("nan", ".nan").replace("inf", ".inf")
    with pytest.raises(InputError, match=rf"model\.params\.{section}\.{key}") as refused:
        load_config([], [f"model.params.{section}.{key}={text}"])
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("section", "key", "value"), ONE_EACH)
def test_value_out_of_bounds_in_a_files_header_is_one_line_that_names_the_file(tmp_path, section, key, value):
    header = model_header("vae", ModelConfig(), ["bass", "drums"])
    entry = header["config"]
    for part in section.split("."):
        entry = entry.setdefault(part, {})
    entry[key] = value
    path = tmp_path / "x.safetensors"
    save_file({"vae.x": torch.zeros(1)}, path, {HEADER: json.dumps(header)})
    with pytest.raises(InputError, match=r"its stored configuration is not valid in this version") as refused:
        read_file(path).stored_model()
    assert str(refused.value).startswith(f"{path}: ")
    assert key in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("section", "settings", "message"),
    [
        ("audio", {"f_min": 4000.0, "f_max": 4000.0}, "audio.f_max: 4000.0 is not above f_min, 4000.0"),
        ("audio", {"sample_rate": 8000}, "audio.f_max: 8000.0 is not between 0 and 4000.0"),
        ("audio", {"hop_length": 1025}, "audio.hop_length: 1025 is not between 1 and 1024"),
        ("audio", {"n_mels": 514}, "audio.n_mels: 514 is not between 1 and 513"),
        ("audio", {"frames": 3}, "audio.frames: 3 are not longer than half a window"),
        ("vae", {"channels": 48}, "vae.channels: 48 is not a positive multiple of 32"),
        ("unet", {"model_channels": 100}, "unet.model_channels: 100 is not a positive multiple of 32"),
        ("unet", {"num_head_channels": 48}, "unet.num_head_channels: 48 does not divide 256 channels"),
        ("diffusion", {"linear_start": 0.02}, "diffusion.linear_start: 0.02 is above linear_end, 0.0195"),
        (
            "diffusion",
            {"linear_end": 0.5},
            "diffusion.linear_end: 0.5 leaves nothing of the signal after 1000 time steps",
        ),
        ("vocoder.hifigan", {"resblock_dilations": []}, "vocoder.hifigan.resblock_dilations: has 0 entries"),
    ],
)
def test_values_that_do_not_fit_together_are_refused(section, settings, message):
    with pytest.raises(ValueError, match=rf"^{message.replace('.', '[.]')}"):
        SECTIONS[section](**settings)


@pytest.mark.parametrize("value", [None, True, "3", NAN, 2.5])
def test_values_of_another_type_are_refused(value):
    with pytest.raises(ValueError, match=r"^key: .* is not a whole number$"):
        check_whole("key", value, 0, 10)
    with pytest.raises(ValueError, match=r"^key: .* is not a whole number$"):
        check_wholes("key", [1, value], 0, 10)
    if not isinstance(value, float):
        with pytest.raises(ValueError, match=r"^key: .* is not a number$"):
            check_number("key", value, 0)
    check_whole("key", None, 0, 10, optional=True)
    check_number("key", None, 0, optional=True)
