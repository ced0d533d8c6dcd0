"""The shipped YAML files and what is refused."""

import re
from dataclasses import fields, is_dataclass

import pytest
import yaml

from helpers.commands import ROOT
from synctrack.config import Config, load_config, parse_command_line, save_config, to_dict
from synctrack.errors import InputError
from synctrack.models.latent_diffusion import ModelConfig

CONFIGS = sorted((ROOT / "config").rglob("*.yaml"))


def keys(schema, prefix=""):
    for item in fields(schema):
        if is_dataclass(item.type):
            yield from keys(item.type, f"{prefix}{item.name}.")
        else:
            yield prefix + item.name


def get(tree, key):
    for part in key.split("."):
        tree = tree[part]
    return tree


def test_train_yaml_holds_every_key_and_no_other():
    def leaves(tree, prefix=""):
        for name, value in tree.items():
            if isinstance(value, dict):
                yield from leaves(value, f"{prefix}{name}.")
            else:
                yield prefix + name

    tree = yaml.safe_load((ROOT / "config" / "synctrack_train.yaml").read_text())
    assert sorted(leaves(tree)) == sorted(keys(Config))


def test_train_yaml_equals_the_defaults_except_for_paths():
    paths = {"run_dir", "evaluation.out", "data.params.path.train_data", "data.params.path.valid_data"}
    paths |= {f"model.params.{part}ckpt_path" for part in ("", "vae_", "vocoder_")}
    default = to_dict(load_config([]))
    shipped = to_dict(load_config([ROOT / "config" / "synctrack_train.yaml"]))
    for key in set(keys(Config)) - paths:
        assert get(shipped, key) == get(default, key), key


def test_train_yaml_is_the_papers_model_and_training():
    config = load_config([ROOT / "config" / "synctrack_train.yaml"])
    assert load_config([]).model.params.unet == config.model.params.unet
    for part in fields(ModelConfig):
        assert getattr(config.model.params, part.name) == getattr(ModelConfig(), part.name)
    assert config.model.params.base_learning_rate == 3e-5
    assert config.model.params.warmup_steps == 1000
    assert config.data.params.batch_size == 16
    assert (config.evaluation.steps, config.evaluation.eta) == (200, 1.0)


@pytest.mark.parametrize("path", CONFIGS, ids=[str(path.relative_to(ROOT)) for path in CONFIGS])
def test_every_shipped_file_loads(path):
    load_config([path])


ABLATIONS = {
    "no_global_attention": {"unet.global_attention": (True, False)},
    "no_time_attention": {"unet.time_attention": (True, False)},
    "no_cross_stem_attention": {"unet.global_attention": (True, False), "unet.time_attention": (True, False)},
    "no_instrument_prior": {"unet.instrument_prior": (True, False)},
    "bin_scope": {"unet.time_attention_scope": ("frame", "bin")},
    "epsilon": {"diffusion.prediction": ("v", "epsilon")},
}
"""Overlay -> keys below model.params that it changes, with the values before and after."""


def test_all_ablations_are_known():
    assert {path.stem for path in (ROOT / "config" / "ablations").iterdir()} == set(ABLATIONS)


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_changes_its_switches_alone(name):
    files, pairs = [ROOT / "config" / "synctrack_train.yaml"], ["model.params.diffusion.prediction=v"]
    full = to_dict(load_config(files, pairs))
    files.append(ROOT / "config" / "ablations" / f"{name}.yaml")
    ablated = to_dict(load_config(files, pairs if name != "epsilon" else []))
    for key, (before, after) in ABLATIONS[name].items():
        section, switch = key.split(".")
        assert full["model"]["params"][section].pop(switch) == before
        assert ablated["model"]["params"][section].pop(switch) == after
    assert ablated == full


def test_later_files_and_then_pairs_win(tmp_path):
    for i in (1, 2):
        (tmp_path / f"{i}.yaml").write_text(f"seed: {i}\nrun_dir: run{i}\n")
    files = [str(tmp_path / "1.yaml"), str(tmp_path / "2.yaml")]
    config = parse_command_line("", ["--config", *files, "seed=3"])
    assert (config.seed, config.run_dir) == (3, "run2")


def test_saved_configuration_loads_as_itself(tmp_path):
    config = load_config([ROOT / "config" / "demo.yaml"], ["seed=5", "data.params.path.train_data=[a, b]"])
    save_config(config, tmp_path / "config.yaml")
    assert load_config([tmp_path / "config.yaml"]) == config


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["trainer.max_epoch=3"], "trainer.max_epoch: unknown key; did you mean trainer.max_epochs"),
        (["quantum=3"], "quantum: unknown key; config/synctrack_train.yaml lists all keys"),
        (["seed=x"], "seed: Value 'x' of type 'str' could not be converted to Integer"),
        (["seed=-1"], "seed: -1 is not between 0 and"),
        (["seed"], "seed: is not a key=value"),
        (["mode=fly"], "mode: 'fly' must be one of train, validate, test, validate_and_train"),
        (["data.params=3"], "data.params: 3 is not a section"),
        (["data.params.path.stems=[]"], "names no stem; give one or more"),
        (["data.params.path.stems=[a, a]"], "'a' is the name of the stem 'a' too; name each stem once"),
        (["model.params.audio.frames=1000"], "model.params.audio.frames: 1000 is not a multiple of 32"),
        (
            ["model.params.unet.model_channels=100"],
            "model.params.unet.model_channels: 100 is not a positive multiple of 32",
        ),
        (["validation.steps=1001"], "validation.steps: 1001 is not between 1 and 1000"),
        (["validation.eta=nan"], "validation.eta: nan is not a finite number"),
        (["model.params.base_learning_rate=inf"], "model.params.base_learning_rate: inf is not a finite number"),
        (["data.params.batch_size=0"], "data.params.batch_size: 0 is not between 1 and"),
        (["model.params.ema_decay=2"], "model.params.ema_decay: 2.0 is not between 0 and 1"),
        (["trainer.limit_val_batches=1.5"], "trainer.limit_val_batches: 1.5 is not between 0 and 1"),
        (["evaluation.final=two"], "evaluation.final: 'two' must be one of first, one"),
        (
            ["trainer.strategy=fsdp"],
            "trainer.strategy: fsdp divides the weights among the devices, which the EMA weights",
        ),
        (["trainer.strategy=deepspeed_stage_2"], "trainer.strategy: deepspeed_stage_2 divides the weights"),
        (["trainer.strategy=ddp_spawn"], "trainer.strategy: 'ddp_spawn' must be one of auto, ddp"),
        (["trainer.save_checkpoint_every_n_steps=0"], "trainer.save_checkpoint_every_n_steps: 0 is not between 1"),
    ],
)
def test_wrong_values_are_named(pairs, message):
    with pytest.raises(InputError, match=re.escape(message)):
        load_config([], pairs)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        ("a: [1", "is not valid YAML"),
        ("- 1\n- 2\n", "holds no keys"),
        ("trainer: {device: 2}\n", "trainer.device: unknown key; did you mean trainer.devices?"),
        ("trainer: {max_epochs: soon}\n", "trainer.max_epochs: Value 'soon'"),
    ],
)
def test_wrong_files_are_named(tmp_path, content, message):
    path = tmp_path / "some.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=re.escape(f"{path}: ")) as error:
        load_config([path])
    assert message in str(error.value)


def test_list_that_an_alias_repeats_is_counted_each_time(tmp_path):
    path = tmp_path / "laughs.yaml"
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{new}: &{new} [{', '.join(10 * [f'*{old}'])}]" for old, new in zip("abcde", "bcdef", strict=True)]
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"laughs\.yaml: is not valid YAML \(it holds more than 10000 values\)"):
        load_config([path])


@pytest.mark.parametrize(("levels", "accepted"), [(31, True), (32, False)])
def test_depth_of_a_text_has_a_limit(tmp_path, levels, accepted):
    path = tmp_path / "deep.yaml"
    path.write_text("nothing: " + levels * "[" + levels * "]")
    message = "nothing: unknown key" if accepted else "is not valid YAML (it is nested more than 32 levels deep)"
    with pytest.raises(InputError, match=re.escape(message)):
        load_config([path])


@pytest.mark.parametrize("name", ["run_dir", "evaluation.out", "model.params.ckpt_path", "trainer.resume"])
@pytest.mark.parametrize("value", [256 * "n", 1300 * "a/b/", "a\x07b", "''"], ids=["name", "path", "bell", "empty"])
def test_path_that_no_file_can_have_is_refused(name, value):
    with pytest.raises(InputError, match=rf"{re.escape(name)}: "):
        load_config([], [f"{name}={value}"])


@pytest.mark.parametrize("value", ["auto", "-1", "1", "[0]", "[1, 0]"])
def test_devices_are_auto_a_number_or_a_list(value):
    load_config([], [f"trainer.devices={value}"])
