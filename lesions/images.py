"""Turn an image file into the pixels that a network sees, in training and serving alike. Copied into archives."""

import io
import re
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TILELENGTH, TILEWIDTH, TiffImageFile

from lesions.errors import UserError

if TYPE_CHECKING:
    import torch

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


class UnreadableImage(UserError):
    """An image that cannot be used; `str()` says why, for the person who sent it."""

    def __init__(self, reason: str, too_large: bool = False) -> None:
        super().__init__(reason)
        self.too_large = too_large


class TimeLimitReached(BaseException):
    """The time is over. Not an `Exception`, because Pillow catches those in many places."""


def decode(content: bytes, seconds: float | None = None) -> Image.Image:
    """Decode an image file to upright 8-bit RGB.

    EXIF rotation is applied, transparent pixels become white, 16-bit gray is scaled to 8 bits, CMYK and palettes are
    converted. Raises `UnreadableImage`: with `too_large` for more than `MAX_PIXELS` pixels (by the header, before
    anything is decoded), without it for anything else that is not a still image of a supported format, or takes more
    than `seconds` of processor time. `seconds` work in the main thread only, as signals do; none means no limit.
    """
    if not content:
        raise UnreadableImage("the body is empty; send the bytes of one image")
    try:
        with warnings.catch_warnings(), time_limit(seconds):
            warnings.simplefilter("ignore")  # Pillow warns of large images; our own limit is lower
            image = Image.open(io.BytesIO(content), formats=FORMATS)
            _check(image, content)
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except UnreadableImage:
        raise
    except UnidentifiedImageError:
        raise UnreadableImage(f"not an image of a supported format ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError:
        raise UnreadableImage(f"larger than {MAX_PIXELS:,} pixels", too_large=True) from None
    except TimeLimitReached:
        raise UnreadableImage(f"not decoded in {seconds:g} seconds; save it anew, as a plain JPEG or PNG") from None
    except Exception as error:  # Pillow's decoders raise many types on damaged files
        raise UnreadableImage(f"the image is damaged or cut short ({error!s:.200})") from None


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise `TimeLimitReached` in the block when the process has used `seconds` of processor time (none: no limit).

    In the main thread only. Code in C is not interrupted before it returns.
    """
    if seconds is None:
        yield
        return

    def stop(*_: object) -> None:
        raise TimeLimitReached

    before = signal.signal(signal.SIGPROF, stop)
    try:
        try:
            # Again after each tenth of a second: raised in a finalizer, for example, it would be lost.
            signal.setitimer(signal.ITIMER_PROF, seconds, 0.1)
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    finally:  # if it is raised just before the line above
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


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


def normalize(images: "torch.Tensor", mean: Sequence[float], std: Sequence[float]) -> "torch.Tensor":
    """Scale uint8 [n, height, width, 3] to 0..1, subtract `mean` and divide by `std`, by channel.

    Returns float32 [n, 3, height, width], channels last in memory.
    """
    import torch  # here, because it takes two seconds, which decoding alone does not need

    scaled = images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.channels_last) / 255
    shape = (1, 3, 1, 1)
    return (scaled - scaled.new_tensor(mean).view(shape)) / scaled.new_tensor(std).view(shape)
