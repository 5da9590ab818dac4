"""From files to a checked ``Config``; every mistake with its place and what to write instead."""

import difflib
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tapwarden.agent.config.document import Document, Key, Place, dotted, parse_document, read_document
from tapwarden.agent.config.layout import Layout
from tapwarden.agent.config.schema import Config
from tapwarden.model.errors import ConfigError


def default_text() -> str:
    """The commented default configuration."""
    return resources.files("tapwarden.agent.config").joinpath("tapwarden.yaml").read_text(encoding="utf-8")


def load(layout: Layout, path: Path | None = None, settings: Sequence[str] = ()) -> Config:
    """The configuration of an installation.

    Without ``path`` the layout's file is read when it exists, else defaults hold. ``conf.d/*.yaml`` beside the file is
    laid over it in order of name, then ``settings`` (``key.key=value``, the value in YAML). Raises ConfigError for the
    first mistake; ``problems`` lists all of them.
    """
    config, errors = _read(layout, path, settings)
    if config is None:
        more = f" (and {len(errors) - 1} more: `tapwarden check` lists them)" if len(errors) > 1 else ""
        first = errors[0]
        raise ConfigError(first.message + more, path=first.path, key=first.key, line=first.line)
    return config


def problems(layout: Layout, path: Path | None = None, settings: Sequence[str] = ()) -> list[ConfigError]:
    """Every mistake of the configuration, by file and line."""
    return _read(layout, path, settings)[1]


def _read(layout: Layout, path: Path | None, settings: Sequence[str]) -> tuple[Config | None, list[ConfigError]]:
    document = Document()
    errors: list[ConfigError] = []
    main = path or layout.config_file
    files = [main] if path is not None or main.exists() else []
    for file in [*files, *sorted((main.parent / "conf.d").glob("*.yaml"))]:
        try:
            document.overlay(read_document(file))
        except ConfigError as error:
            errors.append(error)
    for setting in settings:
        try:
            document.overlay(_setting(setting))
        except ConfigError as error:
            errors.append(error)
    if errors:
        return None, errors
    try:
        return Config.model_validate(document.values), []
    except ValidationError as error:
        found = [_explain(detail, document) for detail in error.errors(include_url=False)]
        return None, sorted(found, key=lambda e: (e.path, e.line or 0))


def _setting(text: str) -> Document:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError(f"{text!r} is not KEY=VALUE, for example sensor.name=gate", path="--set")
    try:
        content: Any = yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigError(f"{value!r} is not a YAML value", path="--set", key=name) from None
    steps = name.split(".")
    for step in reversed(steps):
        content = {step: content}
    keys: list[Key] = [tuple(steps[: n + 1]) for n in range(len(steps))]
    return Document(content, {key: Place("--set", 0) for key in keys})


def _explain(detail: ErrorDetails, document: Document) -> ConfigError:
    """One of pydantic's errors in the words of someone who edits the file."""
    key = tuple(detail["loc"])
    place = document.place(key) or Place("", 0)
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        message = f"unknown key{_suggestion(key)}"
    elif detail["type"] == "missing":
        message = "is missing"
    elif detail["type"] in {"model_type", "model_attributes_type", "dict_type"}:
        message = f"has to be a mapping, not {detail['input']!r}"
    elif detail["type"] in {"tuple_type", "list_type"}:
        message = f"has to be a list (`- item`), not {detail['input']!r}"
    elif detail["type"] != "value_error":
        message = f"{message[:1].lower()}{message[1:]}, not {detail['input']!r}"
    return ConfigError(message, path=place.file, key=dotted(key), line=place.line or None)


def _suggestion(key: Key) -> str:
    """``; did you mean ...?`` with the nearest key beside it, or the same key where it belongs."""
    siblings = list(_keys(_model_at(key[:-1])))
    near = difflib.get_close_matches(str(key[-1]), siblings, n=1)
    if near:
        return f"; did you mean {near[0]}?"
    elsewhere = [path for path in _paths(Config, ()) if path[-1] == key[-1]]
    if elsewhere:
        return f"; {key[-1]} belongs to {dotted(elsewhere[0][:-1])}"
    return f"; known here: {', '.join(siblings)}"


def _keys(model: type[BaseModel] | None) -> Iterator[str]:
    if model is not None:
        for name, info in model.model_fields.items():
            yield info.alias or name


def _model_at(key: Key) -> type[BaseModel] | None:
    model: type[BaseModel] | None = Config
    for step in key:
        if isinstance(step, int) or model is None:
            continue
        model = next((_inner(f.annotation) for n, f in model.model_fields.items() if (f.alias or n) == step), None)
    return model


def _inner(annotation: Any) -> type[BaseModel] | None:
    """The section inside an annotation such as ``tuple[Policy, ...]`` or ``Decide | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _inner(part))), None)


def _paths(model: type[BaseModel], at: Key) -> Iterator[Key]:
    for name, info in model.model_fields.items():
        key = (*at, info.alias or name)
        yield key
        inner = _inner(info.annotation)
        if inner is not None:
            yield from _paths(inner, key)


def schema_keys() -> list[str]:
    """Every key there is, dotted, without list indexes."""
    return [dotted(key) for key in _paths(Config, ())]


__all__ = ["default_text", "load", "parse_document", "problems", "schema_keys"]
