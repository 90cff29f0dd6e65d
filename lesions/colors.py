"""What the samples of an image file mean: bits, transparency, color profiles; to 8-bit sRGB. Copied into archives."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    PHOTOMETRIC_INTERPRETATION,
    SAMPLEFORMAT,
    TiffImageFile,
)

MAX_SAMPLE_VALUES = (341, 281)
"""TIFF's tags SMaxSampleValue and MaxSampleValue."""
COLOR_SPACE, INTEROPERABILITY = 0xA001, 1
"""EXIF's tags of the color space: 2, or "R03" in the interoperability IFD, is Adobe RGB (DCF 2.0)."""
SRGB_GAMMA = (0.44, 0.47)
"""PNG's gAMA of sRGB: 1 / 2.2."""
SRGB_CHROMATICITY = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
"""PNG's cHRM of sRGB: white, red, green, blue."""
PNG_SCALES = {"L;2": 85, "L;4": 17}
"""By the raw mode of a PNG with 2 or 4 bits: what Pillow multiplies samples by, but not the transparent one."""
SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""The modes of the colors that a profile describes, by the name of its color space."""


class UnknownColors(ValueError):
    """Samples whose meaning cannot be known; `str()` says why, and what to do."""


def bits_per_sample(image: Image.Image) -> int:
    """The bits of a sample in the file; `image` must not be loaded yet. Pillow reduces more than 8 to 8, or to 16."""
    if isinstance(image, TiffImageFile):
        return int(max(image.tag_v2.get(BITSPERSAMPLE, (1,))))
    return 16 if ";16" in image.mode + raw_mode(image) else 8


def raw_mode(image: Image.Image) -> str:
    """How a PNG stores its samples, as Pillow names it; `image` must not be loaded yet. Empty for other formats."""
    return str(image.tile[0].args) if isinstance(image, PngImageFile) and image.tile else ""


def to_srgb(image: Image.Image, bits: int, stored: str = "") -> Image.Image:
    """A loaded `image`, whose file has `bits` a sample, as 8-bit sRGB; transparent pixels become white.

    `stored` is its `raw_mode`. An embedded color profile is converted (perceptual intent); without
    one, and without a PNG's gamma, colors are taken for sRGB. Raises `UnknownColors`.
    """
    tags: Any = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    if image.mode in ("I", "F"):
        raise UnknownColors(
            "32-bit, signed or floating-point pixels, whose range is unknown; send 8 or 16 bits a channel"
        )
    if image.mode == "LAB":
        raise UnknownColors("colors in L*a*b*; send RGB")
    if 2 in _tuple(tags.get(SAMPLEFORMAT, ())):
        raise UnknownColors("signed pixels, whose range is unknown; send unsigned ones")
    profile, info = image.info.get("icc_profile"), dict(image.info)
    if image.mode.startswith("I;16"):
        colors, alpha = _deep_gray(image, bits, tags)
    else:
        colors, alpha = _split(image, stored)
        if bits > 8:
            _check_range(int(np.asarray(colors).max()) * 257, 16, tags, colors.mode)
    if "icc_profile" in info and not profile:  # so Pillow says that it is cut short
        raise UnknownColors("its color profile is damaged; save it as sRGB")
    if profile:
        rgb = _converted(colors, profile)
    elif isinstance(image, PngImageFile):
        rgb = _png_colors(colors.convert("RGB"), info)
    elif _is_adobe_rgb(image):
        raise UnknownColors("its EXIF says Adobe RGB, but the color profile is missing; save it as sRGB")
    else:
        rgb = colors.convert("RGB")
    if alpha is None:
        return rgb
    return Image.composite(rgb, Image.new("RGB", rgb.size, "white"), alpha)


def _tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _deep_gray(image: Image.Image, bits: int, tags: Any) -> tuple[Image.Image, Image.Image | None]:
    """Gray of 12 or 16 bits as 8 bits, and which pixels are not transparent (none: all)."""
    samples = np.asarray(image).astype(np.uint16)
    top = _check_range(int(samples.max()), bits, tags, "L")
    gray = np.rint(np.minimum(samples, top) * (255 / top)).astype(np.uint8)
    if tags.get(PHOTOMETRIC_INTERPRETATION) == 0:  # white is zero, which Pillow knows of up to 8 bits
        gray = 255 - gray
    key = image.info.get("transparency")
    alpha = None if key is None else Image.fromarray(np.where(samples == key, 0, 255).astype(np.uint8))
    return Image.fromarray(gray), alpha


def _check_range(largest: int, bits: int, tags: Any, mode: str) -> int:
    """The value of white, of samples with `bits` whose `largest` is known. Raises `UnknownColors`.

    Cameras with 10, 12 or 14 bits write them into 16. Where no tag says so, a picture that leaves the highest bit
    unused may be such a one, or dark: neither can be known.
    """
    full = 2**bits - 1
    for tag in MAX_SAMPLE_VALUES:
        declared = max(_tuple(tags.get(tag, 0)))
        if 255 <= declared < full and (declared + 1) & declared == 0 and largest <= declared and mode == "L":
            return int(declared)
    if largest <= full // 2 and mode != "CMYK":
        used = max(largest.bit_length(), 1)
        raise UnknownColors(
            f"{bits} bits a channel, of which {used} are used: a dark picture and one of {used} bits look "
            "alike; save it with 8 bits a channel"
        )
    return int(full)


def _split(image: Image.Image, stored: str) -> tuple[Image.Image, Image.Image | None]:
    """The colors (L, RGB, CMYK, ...) without transparency, and the alpha channel (none: nothing is transparent)."""
    if image.mode == "La":  # Pillow converts it to LA alone
        image = image.convert("LA")
    if not image.has_transparency_data:
        return image.convert("RGB" if image.mode in ("P", "RGBX", "YCbCr", "HSV") else image.mode), None
    key = image.info.get("transparency")
    if isinstance(key, int) and stored in PNG_SCALES:
        gray = image.convert("L")
        key *= PNG_SCALES[stored]
        return gray, gray.point([0 if value == key else 255 for value in range(256)])
    if isinstance(key, tuple) and ";16" in stored:
        raise UnknownColors("a transparent color of 16 bits a channel; save it with 8 bits, or without transparency")
    rgba = image.convert("RGBA")
    colors = rgba.convert("RGB") if image.mode not in ("L", "LA") else rgba.getchannel("R")
    return colors, rgba.getchannel("A")


def _converted(colors: Image.Image, content: bytes) -> Image.Image:
    """`colors` as sRGB, from the color profile in a file's metadata. Raises `UnknownColors`."""
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(content))
        space = str(profile.profile.xcolor_space).strip()
        if space not in SPACES:
            raise UnknownColors(f"a color profile of {space}; save it as sRGB")
        if space == "GRAY" and colors.mode not in ("1", "L"):
            raise UnknownColors("a gray color profile with colors; save it as sRGB")
        if (space == "CMYK") != (colors.mode == "CMYK"):
            raise UnknownColors(f"a color profile of {space} with colors in {colors.mode}; save it as sRGB")
        if colors.mode != SPACES[space]:
            colors = colors.convert(SPACES[space])
        srgb = ImageCms.createProfile("sRGB")
        if space == "GRAY":  # its shortcut is coarse in the dark
            shades = Image.frombytes("L", (256, 1), bytes(range(256)))
            curve = ImageCms.profileToProfile(shades, profile, srgb, outputMode="RGB", flags=ImageCms.Flags.NOOPTIMIZE)
            return colors.point(np.asarray(curve)[0, :, 0].tolist()).convert("RGB")
        converted = ImageCms.profileToProfile(colors, profile, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        if isinstance(error, UnknownColors):
            raise
        raise UnknownColors(f"its color profile cannot be read ({error!s:.100}); save it as sRGB") from None
    assert converted is not None  # only `inPlace` returns none
    return converted


def _png_colors(rgb: Image.Image, info: dict[Any, Any]) -> Image.Image:
    """The colors of a PNG without a profile, by its chunks gAMA, cHRM and sRGB. Raises `UnknownColors`."""
    if "srgb" in info:
        return rgb
    primaries = info.get("chromaticity")
    if primaries and not np.allclose(primaries, SRGB_CHROMATICITY, atol=0.01):
        raise UnknownColors("a PNG with primary colors other than those of sRGB; save it as sRGB")
    gamma = float(info.get("gamma", 0) or 0)
    if not gamma or SRGB_GAMMA[0] < gamma < SRGB_GAMMA[1]:
        return rgb
    if not 0.1 < gamma < 10:
        raise UnknownColors(f"a PNG with a gamma of {gamma:g}; save it as sRGB")
    return rgb.point(_to_srgb_curve(gamma).tolist() * 3)


def _to_srgb_curve(gamma: float) -> NDArray[np.uint8]:
    """The sRGB values [256] of 8-bit samples that are light to the power of `gamma` (IEC 61966-2-1)."""
    light = (np.arange(256) / 255) ** (1 / gamma)
    curve = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    values: NDArray[np.uint8] = np.rint(255 * curve).astype(np.uint8)
    return values


def _is_adobe_rgb(image: Image.Image) -> bool:
    """Whether EXIF says so; damaged EXIF says nothing."""
    try:
        exif = image.getexif()
        space = exif.get_ifd(0x8769).get(COLOR_SPACE)
        return space == 2 or str(exif.get_ifd(0xA005).get(INTEROPERABILITY, "")).startswith("R03")
    except Exception:  # Pillow raises many types on damaged metadata
        return False
