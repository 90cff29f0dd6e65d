"""Damaged metadata are no damaged picture; an orientation that can be read is still applied."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lesions import store
from lesions.images import UnreadableImage, decode
from lesions.metadata import without_metadata
from tests.images import file_of

PIXELS = np.random.default_rng(7).integers(0, 256, (40, 60, 3), dtype=np.uint8)
PICTURE = Image.fromarray(PIXELS)
JPEG, PNG, WEBP = (file_of(PICTURE, form) for form in ("JPEG", "PNG", "WEBP"))


def segment(marker: int, content: bytes) -> bytes:
    """A JPEG's segment; behind the first two bytes of a file."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def chunk(kind: bytes, content: bytes, crc: int | None = None) -> bytes:
    """A PNG's chunk; behind the first 33 bytes of a file."""
    crc = zlib.crc32(kind + content) if crc is None else crc
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


LOOP = b"II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 0x8769, 4, 1, 8, 8)
"""EXIF whose only tag points to itself."""
BROKEN_EXIF = [b"", b"\0", b"garbage", b"MM\0*", b"II*\0\xff\xff\xff\x7f", b"\0\x08\0\x02\x01\x12\0\x03garbage", LOOP]


@pytest.mark.parametrize("exif", BROKEN_EXIF)
def test_broken_exif(exif: bytes) -> None:
    for content, plain in (
        (JPEG[:2] + segment(0xE1, b"Exif\0\0" + exif) + JPEG[2:], JPEG),
        (PNG[:33] + chunk(b"eXIf", exif) + PNG[33:], PNG),
        (PNG[:33] + chunk(b"eXIf", b"Exif\0\0" + exif) + PNG[33:], PNG),
        (file_of(PICTURE, "WEBP", exif=b"Exif\0\0" + exif), WEBP),
    ):
        assert (np.asarray(decode(content)) == np.asarray(decode(plain))).all()


@pytest.mark.parametrize(
    "broken",
    [
        chunk(b"tEXt", b"Comment\0hello", crc=1),
        chunk(b"zTXt", b"Comment\0\0no zlib"),
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(200_000_000))),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta"),
        chunk(b"pHYs", b""),
        chunk(b"tIME", b"\xff" * 7, crc=2),
    ],
)
def test_broken_chunks_beside_the_pixels(broken: bytes) -> None:
    assert (np.asarray(decode(PNG[:33] + broken + PNG[33:])) == PIXELS).all()


@pytest.mark.parametrize(
    "broken",
    [
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta"),
        segment(0xE2, b"MPF\0garbage"),
        segment(0xE2, b"MPF\0II*\0\x08\0\0\0\x03\0"),
        segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\xff\xff\xff\xff"),
        segment(0xFE, b"\xff" * 50),
    ],
)
def test_broken_segments_beside_the_pixels(broken: bytes) -> None:
    assert (np.asarray(decode(JPEG[:2] + broken + JPEG[2:])) == np.asarray(decode(JPEG))).all()


def test_a_damaged_tag_leaves_the_orientation() -> None:
    orientation = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    maker = struct.pack("<HHII", 0x0131, 2, 99, 0x7FFFFFFF)  # a text that lies beyond the end
    exif = b"II*\0\x08\0\0\0\x02\0" + orientation + maker + bytes(4)
    assert decode(JPEG[:2] + segment(0xE1, b"Exif\0\0" + exif) + JPEG[2:]).size == (40, 60)


def test_damaged_pixels_are_still_refused() -> None:
    for content in (PNG[:400] + bytes(10) + PNG[410:], JPEG[: len(JPEG) // 2], PNG[: len(PNG) // 2]):
        with pytest.raises(UnreadableImage, match="damaged or cut short"):
            decode(content)


def test_in_data_one_such_file_stops_nothing(tiny: Path, tmp_path: Path) -> None:
    store.prepare(tiny, tmp_path / "whole", 16)
    broken = tmp_path / "data"
    broken.mkdir()
    for file in tiny.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            if file.suffix == ".jpg":
                content = content[:2] + segment(0xE1, b"Exif\0\0garbage") + content[2:]
            (broken / file.name).write_bytes(content)
    store.prepare(broken, tmp_path / "cache", 16)
    assert store.digest(tmp_path / "cache") == store.digest(tmp_path / "whole")


@given(st.binary(max_size=60) | st.builds(lambda content: JPEG[:40] + content, st.binary(max_size=60)))
def test_what_has_no_structure_stays(content: bytes) -> None:
    assert without_metadata(content) == content or content.startswith((b"\xff\xd8", b"\x89PNG"))


@settings(deadline=None)
@given(st.binary(max_size=80), st.sampled_from([0xE1, 0xE2, 0xE3, 0xED, 0xEF, 0xFE]))
def test_any_metadata_of_a_jpeg(metadata: bytes, marker: int) -> None:
    for prefix in (b"", b"Exif\0\0", b"Exif\0\0II*\0\x08\0\0\0\x01\0", b"MPF\0"):
        image = decode(JPEG[:2] + segment(marker, prefix + metadata) + JPEG[2:])
        assert sorted(image.size) == [40, 60]


@settings(deadline=None)
@given(st.binary(max_size=80), st.sampled_from([b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"pHYs", b"tIME", b"prVt"]))
def test_any_metadata_of_a_png(metadata: bytes, kind: bytes) -> None:
    for crc in (None, 7):
        assert sorted(decode(PNG[:33] + chunk(kind, metadata, crc) + PNG[33:]).size) == [40, 60]
