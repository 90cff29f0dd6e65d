"""Formats beyond those that Pillow reads here: each is named; HEIC and DICOM are read where their packages are
installed. Copied into archives.
"""

import io
from functools import cache

import numpy as np
from PIL import Image

SAVE = "save it as JPEG or PNG"
BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIC"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    b"crx ": "a camera's raw file",
}
"""ISO base media files by their brand; all others are videos."""
SIGNATURES = (
    (b"\0\0\0\x0cjp  ", "JPEG 2000", SAVE),
    (b"\xff\x4f\xff\x51", "JPEG 2000", SAVE),
    (b"\0\0\0\x0cjxl ", "JPEG XL", SAVE),
    (b"\xff\x0a", "JPEG XL", SAVE),
    (b"fujifilm", "a camera's raw file", SAVE),
    (b"8bps", "a Photoshop file", SAVE),
    (b"%pdf", "a PDF", "save the picture in it as JPEG or PNG"),
    (b"<svg", "SVG", SAVE),
    (b"<?xml", "XML", "send the bytes of a JPEG or PNG"),
    (b"<!doctype html", "a web page", "send the picture itself"),
    (b"<html", "a web page", "send the picture itself"),
    (b"\x1f\x8b", "a gzip file", "unpack it first"),
    (b"pk\x03\x04", "a zip file", "unpack it, and send each picture by itself"),
    (b"7z\xbc\xaf", "a 7z file", "unpack it, and send each picture by itself"),
    (b"rar!", "a RAR file", "unpack it, and send each picture by itself"),
)
"""What files begin with (letters in lower case), what they are, and what to do."""
BASE64 = (b"/9j/", b"iVBORw0KGgo", b"data:image", b"UklGR", b"SUkqA", b"R0lGOD")
"""What pictures in base64 begin with."""


def name_of(content: bytes) -> str | None:
    """What a file is that is not read, and what to do; none if that is not known."""
    if content.lstrip()[:16].startswith(BASE64):
        return 'base64 text; send the bytes themselves, or JSON: {"image": "<base64>"}'
    if is_dicom(content):
        return f"DICOM; {SAVE} (or install pydicom where the zoo runs)"
    if content[4:8] == b"ftyp":
        brand = BRANDS.get(content[8:12], "a video")
        return f"{brand}; {SAVE}{' (or install pillow-heif where the zoo runs)' if brand == 'HEIC' else ''}"
    start = content[:64].lstrip(b" \t\r\n\xef\xbb\xbf").lower()
    return next((f"{name}; {advice}" for signature, name, advice in SIGNATURES if start.startswith(signature)), None)


def is_dicom(content: bytes) -> bool:
    """Whether a file says that it is DICOM (PS3.10: 128 bytes of anything, then a word)."""
    return content[128:132] == b"DICM"


@cache
def pillow_formats(formats: tuple[str, ...]) -> tuple[str, ...]:
    """`formats`, by Pillow's names, and HEIF where pillow-heif is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return formats
    register_heif_opener()
    return (*formats, "HEIF")


def read_dicom(content: bytes, most_pixels: int) -> Image.Image | None:
    """The picture of a DICOM file: L or RGB of 8 bits, with its color profile in `info`.

    None where pydicom is not installed. Raises `ValueError` for what is no still picture of at most `most_pixels`
    whose samples are known, and whatever pydicom raises on damaged files.
    """
    try:
        import pydicom
    except ImportError:
        return None
    data = pydicom.dcmread(io.BytesIO(content))
    if "PixelData" not in data:
        raise ValueError("it holds no picture")
    if int(data.Rows) * int(data.Columns) > most_pixels:
        raise ValueError(f"{data.Columns} x {data.Rows} pixels; at most {most_pixels:,} are decoded")
    if int(data.get("NumberOfFrames") or 1) > 1:
        raise ValueError("more than one frame; send one still picture")
    meaning, bits = str(data.PhotometricInterpretation), int(data.BitsStored)
    gray = meaning in ("MONOCHROME1", "MONOCHROME2")
    if data.PixelRepresentation or not (gray or meaning == "RGB" or meaning.startswith("YBR")):
        raise ValueError(f"signed samples, or colors in {meaning}")
    if gray and ("WindowCenter" in data or "ModalityLUTSequence" in data or float(data.get("RescaleSlope") or 1) != 1):
        raise ValueError("gray values that need a window")
    if bits < 8:
        raise ValueError(f"{bits} bits a sample")
    samples = data.pixel_array.astype(np.float64) * (255 / (2**bits - 1))  # YBR is RGB by now
    if bits > 8 and samples.max() < 127.5:
        raise ValueError(f"{bits} bits a sample, the highest of which is not used")
    if meaning == "MONOCHROME1":
        samples = 255 - samples
    picture = Image.fromarray(np.rint(samples).astype(np.uint8))
    paths = data.get("OpticalPathSequence") or [data]
    if profile := data.get("ICCProfile") or paths[0].get("ICCProfile"):
        picture.info["icc_profile"] = bytes(profile)
    return picture
