"""Files that are small and large to decode, or as large as a request can be."""

import random
import struct
import zlib
from collections.abc import Callable

from PIL import Image

from tests.faults.garbage import noise
from tests.images import file_of

MOST = 10_000_000
"""Bytes of a request: max_request_size in config.properties."""


def _segment(marker: int, content: bytes = b"") -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content


def _filled(before: bytes, piece: bytes, after: bytes) -> bytes:
    """As many pieces between two parts as a request can have."""
    return before + piece * ((MOST - len(before) - len(after)) // len(piece)) + after


def _chunk(kind: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png(side: int, *chunks: bytes) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + _chunk(b"IEND")


def _scans() -> bytes:
    """A JPEG of 49 million pixels and 100,000 scans, each of which passes over all pixels."""
    whole = file_of(Image.new("L", (7000, 7000)), "JPEG", progressive=True)
    return _filled(whole[:-2], whole[whole.rindex(b"\xff\xda") : -2], b"\xff\xd9")


def _exif() -> bytes:
    """A JPEG with 500,000 pieces of EXIF, which Pillow joins one by one."""
    whole = file_of(noise(), "JPEG")
    return _filled(whole[:2], _segment(0xE1, b"Exif\0\0" + b"a" * 10), whole[2:])


def _comments() -> bytes:
    """A JPEG with two million empty comments."""
    whole = file_of(noise(), "JPEG")
    return _filled(whole[:2], _segment(0xFE), whole[2:])


def _tiff(tags: list[tuple[int, int, int, int]], data: bytes, after: int = 0) -> bytes:
    """A TIFF of one page: `tags` (number, type, count, value), and `data` from byte 8 on."""
    data += b"\0" * (len(data) % 2)
    page = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + page + struct.pack("<I", after)


def _gray(width: int, height: int, compression: int) -> list[tuple[int, int, int, int]]:
    shape = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, compression)]
    return [*shape, (262, 3, 1, 1), (277, 3, 1, 1)]


def _strips() -> bytes:
    """A TIFF of 1.6 million rows, each stored on its own."""
    rows = 1_600_000
    offsets, counts = struct.pack("<I", 8) * rows, struct.pack("<H", 16) * rows
    places = [(273, 4, rows, 24), (278, 3, 1, 1), (279, 3, rows, 24 + len(offsets))]
    return _tiff(_gray(16, rows, 1) + places, bytes(16) + offsets + counts)


def _pages() -> bytes:
    """A TIFF of 1.6 million pages, all but the first of them empty."""
    first = len(_tiff([*_gray(16, 16, 1), (273, 4, 1, 8), (279, 4, 1, 256)], bytes(256)))
    page = _tiff([*_gray(16, 16, 1), (273, 4, 1, 8), (279, 4, 1, 256)], bytes(256), after=first)
    count = (MOST - first) // 6
    return page + b"".join(struct.pack("<HI", 0, first + 6 * k) for k in range(1, count)) + struct.pack("<HI", 0, 0)


def _tile() -> bytes:
    """A TIFF of 64 x 64 pixels, in a tile of 1.9 billion that a megabyte unpacks to."""
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(bytes(10_000_000)) for _ in range(100)) + packer.flush()
    tile = [(322, 4, 1, 43_584), (323, 4, 1, 43_584), (324, 4, 1, 8), (325, 4, 1, len(data))]
    return _tiff(_gray(64, 64, 8) + tile, data)


def _frames() -> bytes:
    """A GIF of 600,000 frames."""
    whole = file_of(Image.new("P", (32, 32)), "GIF")
    return _filled(whole[:-1], b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00", b";")


def _notes() -> bytes:
    """A GIF with two million comments."""
    whole = file_of(Image.new("P", (32, 32)), "GIF")
    place = whole.index(b",", 13)
    return _filled(whole[:place], b"!\xfe\x01a\x00", whole[place:])


def _run_lengths() -> bytes:
    """A BMP of 49 million pixels, five million of them given one by one."""
    header = struct.pack("<IiiHHIIiiII", 40, 7000, 7000, 1, 8, 1, 0, 2835, 2835, 256, 0) + bytes(1024)
    start = 14 + len(header)
    return _filled(b"BM" + struct.pack("<IHHI", MOST, 0, 0, start) + header, b"\x01\x12" * 7000 + b"\0\0", b"")


BOMBS: dict[str, tuple[Callable[[], bytes], set[int]]] = {
    "a PNG of 60,000 x 60,000": (lambda: _png(60_000, _chunk(b"IDAT", zlib.compress(bytes(99)))), {413}),
    "a PNG of 8,000 x 8,000, whole": (lambda: file_of(Image.new("1", (8000, 8000))), {413}),
    "a PNG of 49 million pixels with alpha, whole": (lambda: file_of(Image.new("RGBA", (7000, 7000), "tan")), {200}),
    "a PNG with 800,000 empty chunks": (lambda: _filled(_png(32)[:33], _chunk(b"IDAT"), _png(32)[33:]), {400}),
    "a PNG with gigabytes of text": (
        lambda: _filled(_png(32)[:33], _chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(10**6), 9)), _png(32)[33:]),
        {400},
    ),
    "a WebP of 16,383 x 3,200": (
        lambda: file_of(Image.new("RGB", (16_383, 3200)), "WEBP", lossless=True, quality=0, method=0),
        {413},
    ),
    "a JPEG with 100,000 scans": (_scans, {400}),
    "a JPEG with 500,000 pieces of EXIF": (_exif, {400}),
    "a JPEG with two million comments": (_comments, {200, 400}),
    "a TIFF with 1.6 million strips": (_strips, {200, 400}),
    "a TIFF with 1.6 million pages": (_pages, {400}),
    "a TIFF with a tile of two billion pixels": (_tile, {413}),
    "a GIF with 600,000 frames": (_frames, {400}),
    "a GIF with two million comments": (_notes, {200, 400}),
    "a BMP with five million runs": (_run_lengths, {400}),
    "a picture, and 10 MB of nothing behind it": (lambda: _filled(file_of(noise()), b"\0", b""), {200}),
    "10 MB of nothing": (lambda: bytes(MOST - 1), {400}),
    "10 MB of noise": (lambda: random.Random(0).randbytes(MOST - 1), {400}),
}
"""How each is made, and with which statuses it may be answered."""
