"""YAML read together with where each key stands, and several files laid over each other."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tapwarden.model.errors import ConfigError

Key = tuple[str | int, ...]

MAX_OCTETS = 4_000_000
"""A configuration above this is a mistake (a rule file, a log)."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key stands; ``line`` is 1-based, 0 for one given on the command line."""

    file: str
    line: int


@dataclass
class Document:
    """Values and, for each key path (sequence items by index), the place that set it."""

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[Key, Place] = field(default_factory=dict)

    def place(self, key: Key) -> Place | None:
        """The place of the key, or of the nearest thing around it."""
        for length in range(len(key), 0, -1):
            if key[:length] in self.places:
                return self.places[key[:length]]
        return None

    def overlay(self, other: "Document") -> None:
        """Lay ``other`` over this: mappings are merged key by key, anything else is replaced."""
        self._merge(self.values, other.values, other, ())

    def _merge(self, into: dict[str, Any], new: dict[str, Any], source: "Document", at: Key) -> None:
        for name, value in new.items():
            key = (*at, name)
            if isinstance(value, dict) and isinstance(into.get(name), dict):
                self._merge(into[name], value, source, key)
            else:
                into[name] = value
                self.places = {k: p for k, p in self.places.items() if k[: len(key)] != key}
                self.places |= {k: p for k, p in source.places.items() if k[: len(key)] == key}
            if key in source.places:
                self.places[key] = source.places[key]


def read_document(path: Path) -> Document:
    """One file. Raises ConfigError: unreadable, not YAML, a key twice, not a mapping at the top."""
    try:
        text = path.read_bytes()[: MAX_OCTETS + 1]
    except FileNotFoundError:
        raise ConfigError(
            "no such file; `tapwarden check --default` prints one to start from", path=str(path)
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=str(path)) from error
    if len(text) > MAX_OCTETS:
        raise ConfigError(f"is larger than {MAX_OCTETS} octets; is it a configuration?", path=str(path))
    return parse_document(text, str(path))


def parse_document(text: bytes | str, name: str) -> Document:
    """YAML text to a document; ``name`` is the file's name in errors."""
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        document = Document()
        if node is None:
            return document
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError("has to be a mapping (`sensor:` and so on)", path=name, line=node.start_mark.line + 1)
        _record(node, (), name, document.places)
        document.values = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise ConfigError(f"is not YAML: {error.problem or error.context}", path=name, line=line) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"is not YAML: {' '.join(str(error).split())}", path=name) from error
    return document


def _record(node: yaml.Node, at: Key, name: str, places: dict[Key, Place]) -> None:
    """Note the place of every key below ``node``; refuse a key that stands twice."""
    children: Iterable[tuple[str | int, yaml.Node, yaml.Node]]
    if isinstance(node, yaml.MappingNode):
        children = [(str(key.value), key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        children = [(index, value, value) for index, value in enumerate(node.value)]
    else:
        return
    for step, mark, value in children:
        key = (*at, step)
        line = mark.start_mark.line + 1
        if key in places and step != "<<":
            raise ConfigError(
                f"stands twice (first in line {places[key].line}); remove one",
                path=name,
                key=dotted(key),
                line=line,
            )
        places[key] = Place(name, line)
        _record(value, key, name, places)


def dotted(key: Key) -> str:
    """``triage.policies[0].name``."""
    text = ""
    for step in key:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
