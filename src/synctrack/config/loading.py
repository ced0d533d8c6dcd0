"""Reads the configuration: YAML files, overlays and key=value; unknown keys and wrong types are refused."""

import argparse
import difflib
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from synctrack.arguments import CommandParser
from synctrack.bounds import shortened
from synctrack.config.reading import parse_pair, read_yaml_file
from synctrack.config.schema import Config
from synctrack.errors import InputError
from synctrack.files import write_text
from synctrack.models.latent_diffusion import ModelConfig

OMEGACONF_DAMAGES = (TypeError, ValueError, LookupError, AttributeError, AssertionError, RecursionError)
"""What OmegaConf raises, beside its own errors, where a list or a value stands for a section, or a section for them."""


def parse_command_line(description: str, argv: Sequence[str] | None = None) -> Config:
    """`--config FILE [FILE ...] [key=value ...]` -> the merged configuration; later ones win.

    Raises:
        InputError: see `load_config`.
    """
    parser = CommandParser(description=description)
    add_config_arguments(parser)
    return config_of(**vars(parser.parse_args(argv)))


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """`--config FILE [FILE ...] [key=value ...]`, for `config_of`."""
    parser.add_argument("--config", nargs="+", required=True, metavar="FILE", help="YAML files, later ones win")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="such as data.params.batch_size=4")


def config_of(config: Sequence[str], overrides: Sequence[str]) -> Config:
    """The arguments of `add_config_arguments` -> the merged configuration; raises as `load_config`."""
    # argparse hands a key=value that follows the files to --config.
    files = [item for item in config if "=" not in item]
    return load_config(files, [*(item for item in config if "=" in item), *overrides])


def load_config(files: Sequence[str | Path], overrides: Sequence[str] = ()) -> Config:
    """Merge YAML files and key=value pairs over the defaults.

    Raises:
        InputError: a file is missing or not valid YAML, a key is unknown, a value has the wrong type or makes no sense.
    """
    merged = OmegaConf.structured(Config)
    for file in files:
        merged = _merge(merged, read_yaml_file(Path(file)), str(file))
    for pair in overrides:
        merged = _merge(merged, parse_pair(pair), "command line", pair.partition("=")[0])
    try:
        return OmegaConf.to_object(merged)
    except (OmegaConfBaseException, RecursionError) as error:
        key = getattr(error, "full_key", None) or "configuration"
        raise InputError(f"{key}: {_first_line(error)}") from error
    except ValueError as error:
        raise InputError(_with_full_key(str(error))) from error


def save_config(config: Config, path: str | Path) -> None:
    """Write the configuration, complete, as YAML."""
    write_text(path, OmegaConf.to_yaml(OmegaConf.structured(config)))


def to_dict(config: Any) -> dict[str, Any]:
    """The configuration as plain dictionaries, lists and values."""
    return OmegaConf.to_container(OmegaConf.structured(config))


def _merge(merged: Any, content: Any, source: str, key: str = "configuration") -> Any:
    try:
        for missing in sorted(OmegaConf.missing_keys(content)):
            raise InputError(f"{source}: {missing}: has no value (???); give it one, or leave it out")
        _check_sections(OmegaConf.to_container(content), Config, source)
        # In place: a copy of everything for each of twenty pairs takes longer than all else here.
        return OmegaConf.unsafe_merge(merged, content)
    except ConfigKeyError as error:
        name = error.full_key or key
        raise InputError(f"{source}: {name[:100]}: unknown key{_suggestion(name)}") from error
    except OmegaConfBaseException as error:
        raise InputError(f"{source}: {error.full_key or key}: {_first_line(error)}") from error
    except OMEGACONF_DAMAGES as error:
        raise InputError(f"{source}: {key}: {_first_line(error)}") from error


def _check_sections(tree: dict[Any, Any], schema: type, source: str, prefix: str = "") -> None:
    """Refuse what is no section where one belongs; OmegaConf's own error does not name its key."""
    for item in fields(schema):
        value = tree.get(item.name)
        if not is_dataclass(item.type) or item.name not in tree or str(value).startswith("${"):
            continue
        if not isinstance(value, dict):
            key = prefix + item.name
            raise InputError(f"{source}: {key}: {shortened(value)} is not a section; it holds keys such as {key}.…")
        _check_sections(value, item.type, source, f"{prefix}{item.name}.")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def _suggestion(full_key: str) -> str:
    """The known key most like `full_key`, if any is."""

    def keys(schema: type, prefix: str = "") -> Iterator[str]:
        for item in fields(schema):
            yield prefix + item.name
            if is_dataclass(item.type):
                yield from keys(item.type, f"{prefix}{item.name}.")

    close = difflib.get_close_matches(full_key, list(keys(Config)), n=1)
    return f"; did you mean {close[0]}?" if close else "; config/synctrack_train.yaml lists all keys"


def _with_full_key(message: str) -> str:
    """A section's message; the sections of the model, which know no configuration, name keys below model.params."""
    sections = {item.name for item in fields(ModelConfig)}
    return f"model.params.{message}" if message.split(".")[0] in sections else message
