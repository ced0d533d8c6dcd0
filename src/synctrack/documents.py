"""JSON and YAML from files that anyone may have written or damaged: read within bounds, and checked for their form."""

import json
import math
import re
from pathlib import Path
from typing import Any

import yaml

from synctrack.errors import InputError
from synctrack.files import require_ordinary

LARGEST_JSON = 64 * 2**20  # bytes
LARGEST_LIST = 2 * 2**30
"""Bytes of what this project writes with an entry for each song or file of a data set, which may hold millions."""
LARGEST_YAML = 2**20  # bytes
DEEPEST_YAML = 50
LARGEST_NUMBER = 2**64
"""Whole numbers beyond it are taken as damage: no file of this project holds one."""
SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def has_form(value: Any, form: Any) -> bool:
    """Whether a value that was parsed has a form.

    A form is a type (`int` takes no bool, `float` takes whole numbers too and both are finite; `object` is anything),
    `[form]` for a list of any length, `(form, form)` for a list of these, `{str: form}` for a mapping with any keys, or
    `{"key": form}` for one with at least these keys.
    """
    if isinstance(form, list):
        return isinstance(value, list) and all(has_form(entry, form[0]) for entry in value)
    if isinstance(form, tuple):
        fits = isinstance(value, list) and len(value) == len(form)
        return fits and all(has_form(entry, own) for entry, own in zip(value, form, strict=True))
    if isinstance(form, dict):
        if not isinstance(value, dict):
            return False
        if str in form:
            return all(isinstance(key, str) and has_form(entry, form[str]) for key, entry in value.items())
        return all(key in value and has_form(value[key], own) for key, own in form.items())
    if form is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, form) and (form is not int or not isinstance(value, bool))


def read_json(path: str | Path, form: Any = object, largest: int = LARGEST_JSON) -> Any:
    """The content of a JSON file.

    Args:
        path: of the file.
        form: that the content must have, see `has_form`.
        largest: its size in bytes that is still read.

    Raises:
        InputError: it is missing, no ordinary file, larger, not JSON, holds numbers that are not finite, is
            nested too deeply, or has another form.
    """
    content = parse_json(read_text(Path(path), largest), str(path))
    if not has_form(content, form):
        raise InputError(f"{path}: is damaged, or a file of another kind; move it away or make it again")
    return content


def parse_json(text: str, where: str) -> Any:
    """A JSON text as Python values; `where` names its place. Raises InputError as `read_json`."""
    try:
        content = json.loads(text, parse_constant=_constant, parse_float=_finite, parse_int=_whole)
        if SURROGATE.search(text):
            # Half a character in a string cannot be printed or written.
            json.dumps(content, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise InputError(f"{where}: is not JSON ({reason})") from error
    return content


def read_yaml(path: str | Path) -> Any:
    """The content of a small YAML file: plain values, nothing in it is executed.

    Raises:
        InputError: it is missing, no ordinary file, larger than 1 MiB, not YAML, nested too deeply, or a key is there
            twice.
    """
    try:
        return yaml.load(read_text(Path(path), LARGEST_YAML), _Loader)
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise InputError(f"{path}: is not valid YAML ({reason})") from error


class _Loader(yaml.SafeLoader):
    """Refuses deep nesting, which takes long, and keys that a mapping has twice, of which YAML keeps the last."""

    def fetch_more_tokens(self) -> Any:
        if max(self.flow_level, len(self.indents)) > DEEPEST_YAML:
            raise ValueError("it is nested too deeply")
        return super().fetch_more_tokens()

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{twice[0]} is there twice")
        return super().construct_mapping(node, deep)


def read_text(path: Path, largest: int, advice: str = "") -> str:
    """The text of a file in UTF-8.

    Args:
        path: of the file.
        largest: its size in bytes that is still read.
        advice: what to do where it is missing or cannot be read.

    Raises:
        InputError: it is missing, no ordinary file, larger, or not UTF-8.
    """
    require_ordinary(path)
    then = f"; {advice}" if advice else ""
    try:
        if path.stat().st_size > largest:
            raise InputError(f"{path}: is larger than {largest / 2**20:g} MiB; it is taken as damaged")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file{then}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}){then}") from error
    except ValueError as error:
        raise InputError(f"{path}: is not a text file ({error})") from error


def _constant(name: str) -> None:
    raise ValueError(f"{name} is not a finite number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value


def _whole(text: str) -> int:
    # Python refuses to convert thousands of digits, which is a ValueError as well.
    value = int(text)
    if abs(value) > LARGEST_NUMBER:
        raise ValueError(f"{text[:20]}… is too large a number")
    return value
