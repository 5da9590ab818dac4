"""What went wrong, as HTTP says it."""

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import HTTPException


@contextmanager
def errors() -> Iterator[None]:
    """KeyError is 404, ValueError 422, both with what they say."""
    try:
        yield
    except KeyError as error:
        raise HTTPException(404, f"there is no {error.args[0]}") from error
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
