"""The body of a request, read no further than is allowed."""

from fastapi import HTTPException, Request


async def read_body(request: Request, most: int, what: str) -> bytes:
    """The whole body. HTTPException 413 as soon as it has more than ``most`` octets; ``what`` is its name there."""
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > most:
            raise HTTPException(413, f"{what} has at most {most} octets")
    return bytes(content)
