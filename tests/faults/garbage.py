"""Pictures and requests that are wrong in every way that we could think of, for the handlers and for a real server."""

import base64
import json
import random

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from lesions.labels import CLASSES
from tests.images import file_of

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")


def noise(width: int = 24, height: int = 20) -> Image.Image:
    """The same RGB noise always."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def _seeds() -> list[bytes]:
    """A picture of each kind that a decoder treats in its own way, among them those that are refused."""
    rgb = noise()
    rotated = Image.Exif()
    rotated[0x0112] = 6
    gray16 = Image.fromarray(np.asarray(rgb)[..., 0].astype(np.uint16) * 257)
    not_numbers = Image.fromarray(np.full((20, 24), np.nan, np.float32))
    frames = {"save_all": True, "append_images": [Image.new("RGB", rgb.size, "blue")]}
    return [
        *(file_of(rgb, form) for form in FORMATS),
        file_of(rgb, "JPEG", progressive=True, exif=rotated),
        file_of(rgb.convert("CMYK"), "JPEG"),
        file_of(rgb.convert("RGBA"), "PNG", exif=rotated),
        file_of(rgb, "WEBP", lossless=True, exif=rotated),
        *(file_of(rgb, "TIFF", compression=how) for how in ("tiff_deflate", "tiff_lzw", "jpeg", "packbits", "zstd")),
        file_of(rgb.convert("LAB"), "TIFF"),
        file_of(rgb.convert("1"), "TIFF", compression="group4"),
        *(file_of(gray16, form) for form in ("PNG", "TIFF")),
        file_of(not_numbers, "TIFF"),
        file_of(rgb.quantize(16), "PNG", transparency=1),
        file_of(rgb.quantize(16), "BMP"),
        *(file_of(rgb, form, **frames) for form in ("GIF", "PNG", "WEBP", "TIFF", "MPO")),
        *(file_of(Image.new("RGB", size, "tan")) for size in ((1, 1), (1, 10_000), (10_000, 1), (16, 10_000))),
        *(file_of(rgb, form) for form in ("PPM", "ICO", "TGA", "JPEG2000", "AVIF")),
    ]


SEEDS = _seeds()
EDGES = (b"\x00", b"\xff", b"\x00\x00", b"\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xd8", b"\xff\xda", b"\x00" * 16)
"""What a count or a length may be so that a decoder stumbles, and markers of JPEG."""


@st.composite
def pictures(draw: st.DrawFn) -> bytes:
    """A file that was whole once: bytes changed, put in, taken out, or of two files; or cut short."""
    content = bytearray(draw(st.sampled_from(SEEDS)))
    chance = random.Random(draw(st.integers(0, 2**32)))
    for _ in range(draw(st.integers(0, 6))):
        # Headers are short and matter most.
        place = chance.randrange(min(len(content), 80) if chance.random() < 0.5 else len(content))
        match chance.randrange(4):
            case 0:
                content[place] = chance.randrange(256)
            case 1:
                edge = chance.choice(EDGES)
                content[place : place + len(edge)] = edge
            case 2:
                content[place:place] = chance.choice((*EDGES, content[:30]))
            case _:
                del content[place : place + chance.randrange(1, 9)]
        content = content or bytearray(b"\0")
    if draw(st.integers(0, 3)) == 0:
        content += chance.choice(SEEDS)[chance.randrange(30) :]
    if draw(st.integers(0, 2)) == 0:
        del content[chance.randrange(len(content)) :]
    return bytes(content)


NAMES = (
    "image",
    "class",
    "count",
    "seed",
    "first",
    "format",
    "body",
    "data",
    "explain",
    "describe",
    "content-type",
    "",
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["mel", "all", "png", "grid", "data:,", 2**62, 2**63, -(2**63), 256, 257, 0, -1, "\ud800"])
    | pictures().map(lambda content: base64.b64encode(content).decode())
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=6), inner, max_size=5)
    ),
    max_leaves=6,
)
"""What JSON can say."""

GENERATION_REQUESTS = st.fixed_dictionaries(
    {"class": st.sampled_from([*CLASSES, "all"]) | LEAVES},
    optional={
        "count": st.integers(1, 4) | st.sampled_from([0, -1, 36, 37, 257, 1.5, "1", None, True, 10**30]),
        "seed": st.integers() | st.sampled_from([2**63 - 1, 2**63, -(2**63), 0.0, "7"]),
        "first": st.integers(0, 9) | st.sampled_from([-1, 2**62 - 1, 2**62, 2**63 - 1, 1e9]),
        "format": st.sampled_from(["png", "grid", "gif", None, 0]),
    },
)
"""What can be asked of a generator, right or nearly so."""

DEEP = st.sampled_from([b"[" * 200_000, b'{"image":' * 100_000, b"9" * 5000, b'{"seed": 1e999}', b"\xef\xbb\xbf{}"])
JSON = VALUES | GENERATION_REQUESTS
BODIES = st.one_of(pictures(), pictures(), st.binary(max_size=200), JSON.map(lambda v: json.dumps(v).encode()), DEEP)
"""What can be sent."""

KINDS = st.sampled_from(
    [
        "",
        "image/jpeg",
        "image/png",
        "application/octet-stream",
        "application/json",
        "application/json; charset=utf-16",
        "text/plain; charset=nonsense",
        "multipart/mixed; boundary=x",
        "/",
        "é",
    ]
)
"""Content types; forms are made apart, because TorchServe takes them to pieces itself."""
