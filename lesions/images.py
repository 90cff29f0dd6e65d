"""Turn an image file into the pixels that a network sees, in training and serving alike. Copied into archives."""

import io
import re
import warnings
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TILELENGTH, TILEWIDTH, TiffImageFile

from lesions.errors import UserError
from lesions.time_limit import TimeLimitReached, within

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
"""The formats that are read, as Pillow names them."""
MAX_PIXELS = 50_000_000
"""The most pixels of an image: those of a 50-megapixel camera (150 MB as RGB)."""
MIN_SIDE = 16
"""The fewest pixels of a side."""
MAX_SCANS = 64
"""The most scans of a JPEG. A progressive one has about ten, and each may go over all pixels."""
SECONDS = 4
"""Processor time that a server allows for an image; 50 million pixels take 1 or 2 seconds. A batch in which each image
reaches this limit stays below the server's timeout for an answer."""
MARKER = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd8])")
"""The marker of a JPEG segment, without the markers that have no length (ITU-T T.81, table B.1)."""
# Pillow warns of large and of odd images; what cannot be used is an error here. For the whole process, since
# `warnings.catch_warnings` is not made for threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


class UnreadableImage(UserError):
    """An image that cannot be used; `str()` says why, for the person who sent it."""

    def __init__(self, reason: str, too_large: bool = False) -> None:
        super().__init__(reason)
        self.too_large = too_large


def decode(content: bytes, seconds: float | None = None) -> Image.Image:
    """Decode an image file to upright 8-bit RGB.

    EXIF rotation is applied, transparent pixels become white, 16-bit gray is scaled to 8 bits, CMYK and palettes are
    converted. Raises `UnreadableImage`: with `too_large` for more than `MAX_PIXELS` pixels (by the header, before
    anything is decoded), without it for anything else that is not a still image of a supported format, or takes more
    than `seconds` of processor time (none: no limit), which code in C may overrun. Several threads may decode at once.
    """
    if not content:
        raise UnreadableImage("the body is empty; send the bytes of one image")
    try:
        return within(seconds, partial(_decode, content))
    except TimeLimitReached:
        raise UnreadableImage(f"not decoded in {seconds:g} seconds; save it anew, as a plain JPEG or PNG") from None


def _decode(content: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        _check(image, content)
        image.load()  # releases Python's global lock for all of `FORMATS`: other threads go on meanwhile
        return _to_rgb(ImageOps.exif_transpose(image))
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage(f"not an image of a supported format ({', '.join(FORMATS)})") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UnreadableImage(f"larger than {MAX_PIXELS:,} pixels", too_large=True) from None
    except Exception as error:  # Pillow's decoders raise many types on damaged files
        raise UnreadableImage(f"the image is damaged or cut short ({error!s:.200})") from None


def _check(image: Image.Image, content: bytes) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UnreadableImage(f"{width} x {height} pixels; at most {MAX_PIXELS:,} are decoded", too_large=True)
    if min(width, height) < MIN_SIDE:
        raise UnreadableImage(f"{width} x {height} pixels; each side must have at least {MIN_SIDE}")
    # A phone's JPEG may have a depth or gain map as further frames (Pillow calls it MPO); the first frame is the image.
    if image.format in ("JPEG", "MPO"):
        if _scans(content) > MAX_SCANS:
            raise UnreadableImage(f"a JPEG of more than {MAX_SCANS} scans; save it anew")
    elif (
        isinstance(image, TiffImageFile)
        and image.tag_v2.get(TILEWIDTH, 1) * image.tag_v2.get(TILELENGTH, 1) > MAX_PIXELS
    ):
        raise UnreadableImage(f"a TIFF with tiles of more than {MAX_PIXELS:,} pixels", too_large=True)
    elif getattr(image, "is_animated", False):  # not n_frames: counting a million pages takes hours
        raise UnreadableImage("more than one frame or page; send one still picture")


def _scans(jpeg: bytes) -> int:
    """The number of scans in a JPEG's first frame, counted up to `MAX_SCANS` + 1."""
    scans, position = 0, 0
    while scans <= MAX_SCANS and (marker := MARKER.search(jpeg, position)) and marker[1] != b"\xd9":
        scans += marker[1] == b"\xda"
        position = marker.end() + int.from_bytes(jpeg[marker.end() : marker.end() + 2], "big")
    return scans


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):  # Pillow's own conversion clips at 255 instead of scaling
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise UnreadableImage("32-bit or floating-point pixels, whose range is unknown; send 8 or 16 bits a channel")
    if image.mode == "LAB":
        raise UnreadableImage("colors in L*a*b*; send RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def center_square(image: Image.Image, pixels: int) -> NDArray[np.uint8]:
    """The center square of an RGB `image`, resized bilinearly: uint8 [pixels, pixels, 3].

    A 600 x 450 image loses 75 px left and right. The aspect ratio never changes, because shape is diagnostic (thesis
    section 2.2).
    """
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    # Cropped first, because a resize with a box reads pixels beyond the box.
    cropped = image.crop((left, top, left + side, top + side))
    return np.asarray(cropped.resize((pixels, pixels), Image.Resampling.BILINEAR), dtype=np.uint8)
