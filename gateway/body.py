"""The body of a request as it arrives: unpacked, and never more of it than is allowed."""

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from gateway.problems import Problem
from zoo.serving.limits import how_to_raise
from zoo.serving.rest.inference import BODY_SECONDS

STEP = 65_536
"""Bytes that are unpacked before other requests have their turn."""
PACKED = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
"""What zlib must know of each encoding that is unpacked."""


async def read(request: Request, most: int) -> bytes:
    """The whole body, unpacked. Raises `Problem` as `stream` and `in_time` do."""
    async with in_time():
        return b"".join([part async for part in stream(request, most)])


@asynccontextmanager
async def in_time() -> AsyncIterator[None]:
    """Limit the time in which a body must have arrived. Raises `Problem` (408)."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            yield
    except TimeoutError:
        raise Problem(408, f"the body did not arrive in {BODY_SECONDS} seconds") from None


async def stream(request: Request, most: int) -> AsyncGenerator[bytes, None]:
    """The parts of a body, unpacked; at most `most` bytes, both as they were sent and unpacked.

    Raises `Problem`: 400 where it cannot be unpacked, 413 where it is too large, as soon as that is known, 415 for
    another encoding.
    """
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", *PACKED):
        detail = f"Content-Encoding: {encoding:.40} is not read; send the body as it is, or packed with gzip"
        raise Problem(415, detail, {"Accept-Encoding": "gzip, deflate, identity"})
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most:
        raise _too_large(most, int(declared))
    arriving = _limited(request.stream(), most)
    async for part in _limited(_unpacked(arriving, encoding), most) if encoding in PACKED else arriving:
        yield part


async def _limited(parts: AsyncGenerator[bytes, None], most: int) -> AsyncGenerator[bytes, None]:
    size = 0
    async for part in parts:
        size += len(part)
        if size > most:
            raise _too_large(most, 2 * most)
        yield part


async def _unpacked(parts: AsyncGenerator[bytes, None], encoding: str) -> AsyncGenerator[bytes, None]:
    """What was packed (RFC 9110, section 8.4.1), in steps: a bomb is noticed before it is large.

    Raises `Problem` (400).
    """
    unpacker = zlib.decompressobj(PACKED[encoding])
    try:
        async for part in parts:
            while part:
                if unpacker.eof:  # a file of several members
                    unpacker = zlib.decompressobj(PACKED[encoding])
                yield unpacker.decompress(part, STEP)
                part = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
                await asyncio.sleep(0)
    except zlib.error:
        raise Problem(400, f"the body is not {encoding}, as its Content-Encoding says") from None
    if not unpacker.eof:
        raise Problem(400, "the packed body is cut short")


def _too_large(most: int, size: int) -> Problem:
    return Problem(413, f"more than {most:,} bytes, packed or unpacked; {how_to_raise(size)}")
