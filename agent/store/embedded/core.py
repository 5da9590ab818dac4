"""The native core as this store uses it, imported with the first question: what needs no events works without it."""

import importlib
from typing import TYPE_CHECKING, Any

from tapwarden.model.errors import StoreError

if TYPE_CHECKING:
    from tapwarden import _core as core
else:

    class _Core:
        def __getattr__(self, name: str) -> Any:
            try:
                found = getattr(importlib.import_module("tapwarden._core"), name)
            except (ImportError, AttributeError) as error:
                reason = f"the native core is missing or older than this package ({error})"
                raise StoreError(
                    f"{reason}; build it again: make run, or pip install --force-reinstall tapwarden"
                ) from None
            self.__dict__[name] = found
            return found

    core = _Core()

__all__ = ["core"]
