"""The native core, imported when it is needed: most commands and the check of a configuration work without it."""

from typing import Any

from tapwarden.model.errors import ConfigError


def native(name: str) -> Any:
    """What ``tapwarden._core`` calls ``name``. Raises ConfigError where the core is missing or does not have it."""
    try:
        from tapwarden import _core  # noqa: PLC0415 - whether it is there is the question

        return getattr(_core, name)
    except (ImportError, AttributeError) as error:
        reason = f"the native core is missing or older than this package ({error})"
        raise ConfigError(f"{reason}; build it again: make run, or pip install --force-reinstall tapwarden") from None
