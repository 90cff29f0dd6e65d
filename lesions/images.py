"""From the bytes of a picture to the pixels a network sees; one code for training and serving. Copied into archives."""

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
"""The formats that are read, by Pillow's names."""

MAX_PIXELS = 50_000_000
"""The most pixels that are decoded: a 50-megapixel camera's picture (150 MB as RGB)."""

MIN_SIDE = 16
"""The shortest side, in pixels, that is taken for a picture of a lesion."""


MAX_SCANS = 64
"""The most scans of a JPEG. A progressive one has ten or so, and each of them may pass over all pixels."""

SECONDS = 4
"""What a server decodes a picture in, of processor time; 50 million pixels take 1 or 2. A whole batch of pictures that
take longer stays below TorchServe's responseTimeout (zoo/packaging/archive.py)."""

MARKER = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd8])")
"""Of a JPEG's segment: not those that have no length (ITU-T T.81, table B.1)."""


class UnreadableImage(UserError):
    """A picture that cannot be used; `str()` says why, for the person who sent it."""

    def __init__(self, reason: str, too_large: bool = False) -> None:
        super().__init__(reason)
        self.too_large = too_large


class TimeLimitReached(BaseException):
    """Time is up; no Exception, because Pillow catches those in many places."""


def decode(content: bytes, seconds: float | None = None) -> Image.Image:
    """The picture in `content` as upright 8-bit RGB.

    EXIF rotation is applied, transparent pixels are laid on white, 16-bit gray is scaled to 8 bits, CMYK and palettes
    are converted. Raises `UnreadableImage` with `too_large` set for more than `MAX_PIXELS` pixels (judged by the
    header, before anything is decoded), and without it for whatever else is no still picture of a supported format, or
    takes more than `seconds` of processor time (none: no limit; else in the main thread only, as signals are).
    """
    if not content:
        raise UnreadableImage("the body is empty; send the bytes of one image")
    try:
        with warnings.catch_warnings(), time_limit(seconds):
            warnings.simplefilter("ignore")  # Pillow warns of large pictures; our own limit is lower
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
    except Exception as error:  # what Pillow's decoders raise on damaged files is not one type
        raise UnreadableImage(f"the image is damaged or cut short ({error!s:.200})") from None


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise `TimeLimitReached` in what is done inside when the process has computed for `seconds` (none: never).

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
            # Again each tenth of a second: raised in a finaliser, say, it would be lost.
            signal.setitimer(signal.ITIMER_PROF, seconds, 0.1)
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    finally:  # where it was raised just before the line above
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _check(image: Image.Image, content: bytes) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise UnreadableImage(f"{width} x {height} pixels; at most {MAX_PIXELS:,} are decoded", too_large=True)
    if min(width, height) < MIN_SIDE:
        raise UnreadableImage(f"{width} x {height} pixels; each side must have at least {MIN_SIDE}")
    # A phone's JPEG may carry its depth or gain map as further frames (then Pillow says MPO); the first is the picture.
    if image.format in ("JPEG", "MPO"):
        if _scans(content) > MAX_SCANS:
            raise UnreadableImage(f"a JPEG of more than {MAX_SCANS} scans; save it anew")
    elif (
        isinstance(image, TiffImageFile)
        and image.tag_v2.get(TILEWIDTH, 1) * image.tag_v2.get(TILELENGTH, 1) > MAX_PIXELS
    ):
        raise UnreadableImage(f"a TIFF with tiles of more than {MAX_PIXELS:,} pixels", too_large=True)
    elif getattr(image, "is_animated", False):  # not n_frames: to count a million pages takes hours
        raise UnreadableImage("more than one frame or page; send one still picture")


def _scans(jpeg: bytes) -> int:
    """The scans of a JPEG's first frame, counted up to `MAX_SCANS` + 1."""
    scans, place = 0, 0
    while scans <= MAX_SCANS and (found := MARKER.search(jpeg, place)) and found[1] != b"\xd9":
        scans += found[1] == b"\xda"
        place = found.end() + int.from_bytes(jpeg[found.end() : found.end() + 2], "big")
    return scans


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):  # Pillow's own conversion clips at 255 instead of scaling
        return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise UnreadableImage("32-bit or floating-point pixels, whose range is unknown; send 8 or 16 bits a channel")
    if image.mode == "LAB":
        raise UnreadableImage("colours in L*a*b*; send RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def center_square(image: Image.Image, pixels: int) -> NDArray[np.uint8]:
    """The center square of an RGB `image`, resized bilinearly: uint8 [pixels, pixels, 3].

    A 600 x 450 picture loses 75 px left and right; the aspect ratio never changes, because shape is diagnostic
    (thesis section 2.2).
    """
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    # Cropped first: a resize with a box reads beyond the box's edge.
    cropped = image.crop((left, top, left + side, top + side))
    return np.asarray(cropped.resize((pixels, pixels), Image.Resampling.BILINEAR), dtype=np.uint8)


def normalize(images: "torch.Tensor", mean: Sequence[float], std: Sequence[float]) -> "torch.Tensor":
    """Uint8 [n, height, width, 3] to float32 [n, 3, height, width], channels last in memory.

    Values 0 to 255 are scaled to 0 to 1, then `mean` is subtracted and divided by `std`, channel by channel.
    """
    import torch  # here, so that decoding alone does not wait two seconds for it

    scaled = images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.channels_last) / 255
    shape = (1, 3, 1, 1)
    return (scaled - scaled.new_tensor(mean).view(shape)) / scaled.new_tensor(std).view(shape)
