"""Turn an image file into the pixels that a network sees, in training and serving alike. Copied into archives."""

import io
import re
import warnings
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TILELENGTH, TILEWIDTH, TiffImageFile

from lesions import formats
from lesions.colors import UnknownColors, bits_per_sample, raw_mode, to_srgb
from lesions.errors import UserError
from lesions.metadata import ORIENTATION, TURNS, without_metadata
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
RAW_TAGS = frozenset({50706, 33421})
"""TIFF's tags of cameras' raw files: DNGVersion, CFARepeatPatternDim."""
PREVIEW_TAG = 254
"""NewSubfileType: 1 where the first picture is but a small one of another."""
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

    EXIF rotation is applied, transparent pixels become white, embedded color profiles are converted to sRGB, 12 and 16
    bits are scaled to 8, CMYK and palettes are converted. Damaged metadata are ignored.

    Raises `UnreadableImage`: with `too_large` for more than `MAX_PIXELS` pixels (by the header, before
    anything is decoded), without it for anything else that is not a still image of a supported format, or takes more
    than `seconds` of processor time (none: no limit), which code in C may overrun. Several threads may decode at once.
    """
    if not content:
        raise UnreadableImage("the image is empty (0 bytes)")
    try:
        return within(seconds, partial(_decode, content))
    except TimeLimitReached:
        raise UnreadableImage(f"not decoded in {seconds:g} seconds; save it anew, as a plain JPEG or PNG") from None


def _decode(content: bytes) -> Image.Image:
    try:
        return _read(content)
    except UnreadableImage:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UnreadableImage(f"larger than {MAX_PIXELS:,} pixels", too_large=True) from None
    except Exception as error:  # Pillow's decoders raise many types on damaged files
        reason = f"the image is damaged or cut short ({error!s:.200})"
        if isinstance(error, UnidentifiedImageError):
            name = formats.name_of(content)
            reason = f"this is {name}" if name else f"not an image of a supported format ({', '.join(FORMATS)})"
    # Damaged metadata are no damaged picture.
    try:
        if (bare := without_metadata(content)) != content:
            return _read(bare)
    except UnreadableImage:
        raise
    except Exception:
        pass
    raise UnreadableImage(reason)


def _read(content: bytes) -> Image.Image:
    """The picture in a file, as `decode` gives it. Raises `UnreadableImage`, and whatever Pillow does."""
    if formats.is_dicom(content):
        try:
            image = formats.read_dicom(content, MAX_PIXELS)
        except (ValueError, AttributeError, TypeError, RuntimeError, NotImplementedError, LookupError) as error:
            raise UnreadableImage(f"a DICOM file that cannot be used: {error!s:.200}") from None
        if image is None:
            raise UnidentifiedImageError
    else:
        image = Image.open(io.BytesIO(content), formats=formats.pillow_formats(FORMATS))
        _check(image, content)
    return convert(image)


def convert(image: Image.Image) -> Image.Image:
    """An image of Pillow's as `decode` gives it. Raises `UnreadableImage`, and what Pillow does where it is damaged."""
    _check_size(image)
    # A phone's JPEG may have a depth or gain map as further frames (Pillow calls it MPO), a HEIF file the pictures of a
    # burst: the first frame is the image. Not n_frames: counting a million pages takes hours.
    if image.format not in ("JPEG", "MPO", "HEIF") and getattr(image, "is_animated", False):
        raise UnreadableImage("more than one frame or page; send one still picture")
    bits, stored = bits_per_sample(image), raw_mode(image)
    image.load()  # releases Python's global lock for all of `FORMATS`: other threads go on meanwhile
    try:
        return _upright(image, to_srgb(image, bits, stored))
    except UnknownColors as error:
        raise UnreadableImage(str(error)) from None


def _upright(image: Image.Image, rgb: Image.Image) -> Image.Image:
    """`rgb`, turned as the EXIF of `image` says; damaged EXIF says nothing."""
    try:
        turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # Pillow raises many types
        return rgb
    return rgb if turn is None else rgb.transpose(turn)


def _check(image: Image.Image, content: bytes) -> None:
    _check_size(image)
    if image.format in ("JPEG", "MPO"):
        if _scans(content) > MAX_SCANS:
            raise UnreadableImage(f"a JPEG of more than {MAX_SCANS} scans; save it anew")
    elif (
        isinstance(image, TiffImageFile)
        and image.tag_v2.get(TILEWIDTH, 1) * image.tag_v2.get(TILELENGTH, 1) > MAX_PIXELS
    ):
        raise UnreadableImage(f"a TIFF with tiles of more than {MAX_PIXELS:,} pixels", too_large=True)
    elif isinstance(image, TiffImageFile) and (
        RAW_TAGS.intersection(image.tag_v2) or image.tag_v2.get(PREVIEW_TAG) == 1
    ):
        raise UnreadableImage(f"a camera's raw file; {formats.SAVE}")


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UnreadableImage(f"{width} x {height} pixels; at most {MAX_PIXELS:,} are decoded", too_large=True)
    if min(image.size) < MIN_SIDE:
        raise UnreadableImage(f"{image.width} x {image.height} pixels; each side must have at least {MIN_SIDE}")


def _scans(jpeg: bytes) -> int:
    """The number of scans in a JPEG's first frame, counted up to `MAX_SCANS` + 1."""
    scans, position = 0, 0
    while scans <= MAX_SCANS and (marker := MARKER.search(jpeg, position)) and marker[1] != b"\xd9":
        scans += marker[1] == b"\xda"
        position = marker.end() + int.from_bytes(jpeg[marker.end() : marker.end() + 2], "big")
    return scans


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
