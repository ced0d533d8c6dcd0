"""YAML texts as OmegaConf trees, within bounds: what a text unfolds to is counted before it is built."""

from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from synctrack.documents import read_text
from synctrack.errors import InputError

LARGEST_FILE = 2**18  # bytes
LONGEST_SCALAR = 4096  # characters
DEEPEST = 32  # levels
MOST_VALUES = 10_000
"""Values of a text, those that an alias repeats counted each time."""

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""That of libyaml, where PyYAML was built with it, is ten times as fast."""

# Of malformed YAML, the parser and OmegaConf raise any of these.
REFUSALS = (yaml.YAMLError, OmegaConfBaseException, ValueError, TypeError, LookupError, AttributeError, AssertionError)


def read_yaml_file(path: Path) -> DictConfig:
    """The content of a YAML file, a tree of keys.

    Raises:
        InputError: it is missing, no ordinary file, too large, not valid YAML, or holds no keys.
    """
    return parse_tree(read_text(path, LARGEST_FILE, "name a YAML file after --config"), str(path))


def parse_tree(text: str, where: str) -> DictConfig:
    """A YAML text that holds keys, as a tree; `where` names its place in errors.

    Raises:
        InputError: it is not valid YAML, is out of this module's bounds, or holds no keys.
    """
    try:
        nodes = _bounded_nodes(text)
        if not isinstance(nodes, yaml.MappingNode) or not nodes.value:
            raise InputError(f"{where}: holds no keys; a configuration is a tree of key: value")
        return OmegaConf.create(text)
    except REFUSALS as error:
        raise InputError(f"{where}: is not valid YAML ({_reason(error)})") from error


def parse_pair(pair: str) -> DictConfig:
    """A `key=value`, such as `data.params.batch_size=4`, as a tree.

    Raises:
        InputError: it has no key, or its value is not valid YAML.
    """
    key, equals, value = pair.partition("=")
    if not equals:
        raise InputError(f"{pair}: is not a key=value, such as data.params.batch_size=4")
    if not all(part.isidentifier() for part in key.split(".")):
        raise InputError(f"{key[:100] or pair[:100]}: is not a key, such as data.params.batch_size")
    try:
        _bounded_nodes(value)
        return OmegaConf.from_dotlist([pair])
    except REFUSALS as error:
        raise InputError(f"{key}: {value[:100]} is not valid YAML ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    """The error in a line; YAML's own names the place in the text."""
    text = str(error) if isinstance(error, yaml.YAMLError) else (str(error).splitlines() or [type(error).__name__])[0]
    return " ".join(text.split())[:300]


def _bounded_nodes(text: str) -> yaml.Node | None:
    """The nodes of a text, checked before anything is made of them. Raises ValueError where they exceed a bound."""
    if _has_surrogates(text):
        raise ValueError("it holds characters that are not UTF-8")
    _check_depth(text)
    nodes = yaml.compose(text, Loader=LOADER)
    if nodes is not None:
        _count(nodes, {})
    return nodes


def _check_depth(text: str) -> None:
    """Follow the text as a stream: building nodes calls itself for each level."""
    depth = 0
    for event in yaml.parse(text, Loader=LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} levels deep")


def _count(node: yaml.Node, counted: dict[int, int]) -> int:
    """How many values a node unfolds to."""
    if id(node) in counted:
        if counted[id(node)] < 0:
            raise ValueError("an alias holds itself")
        return counted[id(node)]
    counted[id(node)] = -1
    total = 1
    if isinstance(node, yaml.ScalarNode):
        _check_scalar(node.value)
    else:
        pairs: list[Any] = node.value
        parts = [part for pair in pairs for part in pair] if isinstance(node, yaml.MappingNode) else pairs
        total += sum(_count(part, counted) for part in parts)
    if total > MOST_VALUES:
        raise ValueError(f"it holds more than {MOST_VALUES} values")
    counted[id(node)] = total
    return total


def _has_surrogates(text: str) -> bool:
    return any(0xD800 <= ord(character) < 0xE000 for character in text)


def _check_scalar(value: str) -> None:
    if len(value) > LONGEST_SCALAR:
        raise ValueError(f"{value[:20]}… has {len(value)} characters")
    if _has_surrogates(value):
        raise ValueError("a text in it holds half a character, a lone surrogate")
