"""Files that are not read are named, with what to do; HEIC and DICOM are read where their packages are installed."""

import base64
import io
import sys
import zipfile
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGBaseline8Bit, SecondaryCaptureImageStorage

from lesions import formats
from lesions.images import UnreadableImage, decode
from tests import icc
from tests.images import file_of

PIXELS = np.random.default_rng(3).integers(0, 256, (24, 32, 3), dtype=np.uint8)
SMOOTH = Image.fromarray(np.add.outer(np.arange(64), np.arange(80)).astype(np.uint8)).convert("RGB")


def zipped() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("mole.jpg", b"x")
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (file_of(SMOOTH, "JPEG2000"), "JPEG 2000; save it as JPEG or PNG"),
        (file_of(SMOOTH, "AVIF"), "AVIF; save it as JPEG or PNG"),
        (b"\0\0\0\x18ftypmp42" + bytes(50), "a video; save it as JPEG or PNG"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(50), "JPEG XL; save it as JPEG or PNG"),
        (b"%PDF-1.7 hello", "a PDF; save the picture in it as JPEG or PNG"),
        (b"8BPS\0\1", "a Photoshop file; save it as JPEG or PNG"),
        (b'  <svg xmlns="http://www.w3.org/2000/svg">', "SVG; save it as JPEG or PNG"),
        (b"\xef\xbb\xbf<!DOCTYPE html><title>Login", "a web page; send the picture itself"),
        (b"\x1f\x8b\x08\0hello", "a gzip file; unpack it first"),
        (zipped(), "a zip file; unpack it, and send each picture by itself"),
        (base64.b64encode(file_of(SMOOTH, "JPEG")), "base64 text; send the bytes themselves"),
        (b"data:image/png;base64,iVBORw0KGgo", "base64 text; send the bytes themselves"),
        (b"hello", "not an image of a supported format"),
    ],
)
def test_what_is_not_read_is_named(content: bytes, message: str) -> None:
    with pytest.raises(UnreadableImage, match=message):
        decode(content)


def test_a_camera_s_raw_file_is_named() -> None:
    content = file_of(SMOOTH, "TIFF", tiffinfo={254: 1})
    with pytest.raises(UnreadableImage, match="a camera's raw file; save it as JPEG or PNG"):
        decode(content)


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    formats.pillow_formats.cache_clear()
    yield
    formats.pillow_formats.cache_clear()


def heic(image: Image.Image, **options: Any) -> bytes:
    formats.pillow_formats(("JPEG",))
    return file_of(image, "HEIF", **options)


def test_heic_and_dicom_are_named_where_nothing_reads_them(nothing_installed: None) -> None:
    with pytest.raises(UnreadableImage, match=r"^this is HEIC; save it as JPEG or PNG \(or install pillow-heif where"):
        decode(b"\0\0\0\x18ftypheic" + bytes(50))
    with pytest.raises(
        UnreadableImage, match=r"^this is DICOM; save it as JPEG or PNG \(or install pydicom where the zoo"
    ):
        decode(dicom(PIXELS))


def test_heic_is_read() -> None:
    content = heic(SMOOTH, quality=-1)
    assert np.abs(np.asarray(decode(content)).astype(int) - np.asarray(SMOOTH)).max() <= 3
    swapped = heic(SMOOTH, quality=-1, icc_profile=icc.profile(icc.SWAPPED, 2.2))
    expected = icc.to_srgb(np.asarray(SMOOTH), icc.SWAPPED, 2.2)
    assert np.abs(np.asarray(decode(swapped)) - expected).max() <= 4
    with pytest.raises(UnreadableImage, match=r"HEIC; save it as JPEG or PNG|damaged or cut short"):
        decode(content[:300])


def dicom(pixels: np.ndarray[Any, Any], meaning: str = "RGB", bits: int = 8, **more: Any) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, UID("1.2.3")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    data.Rows, data.Columns = pixels.shape[:2]
    data.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    if pixels.ndim == 3:
        data.PlanarConfiguration = 0
    data.PhotometricInterpretation, data.PixelRepresentation = meaning, 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 8 * pixels.itemsize, bits, bits - 1
    data.PixelData = pixels.tobytes()
    for name, value in more.items():
        setattr(data, name, value)
    content = io.BytesIO()
    data.save_as(content, enforce_file_format=True)
    return content.getvalue()


def test_dicom_is_read() -> None:
    assert (np.asarray(decode(dicom(PIXELS))) == PIXELS).all()
    gray = np.linspace(0, 4095, 24 * 32).round().astype(np.uint16).reshape(24, 32)
    for meaning, expected in (("MONOCHROME2", gray / 4095), ("MONOCHROME1", 1 - gray / 4095)):
        assert np.abs(np.asarray(decode(dicom(gray, meaning, 12)))[..., 0] - 255 * expected).max() <= 1
    profile = icc.profile(icc.SWAPPED, 2.2)
    expected = icc.to_srgb(PIXELS, icc.SWAPPED, 2.2)
    assert np.abs(np.asarray(decode(dicom(PIXELS, ICCProfile=profile))) - expected).max() <= 2


def test_a_jpeg_in_dicom_is_read() -> None:
    jpeg = file_of(SMOOTH, "JPEG", quality=95, subsampling=0)
    data = pydicom.dcmread(io.BytesIO(dicom(np.asarray(SMOOTH), "YBR_FULL_422")))
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    data.PixelData = pydicom.encaps.encapsulate([jpeg])
    content = io.BytesIO()
    data.save_as(content, enforce_file_format=True)
    assert np.abs(np.asarray(decode(content.getvalue())).astype(int) - np.asarray(SMOOTH)).max() <= 6


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (dicom(PIXELS, "HSV"), "colors in HSV"),
        (dicom(PIXELS, NumberOfFrames=3), "more than one frame"),
        (dicom(PIXELS[:3, :2]), "2 x 3 pixels; each side must have at least 16"),
        (dicom(PIXELS, Rows=60_000, Columns=60_000), "60000 x 60000 pixels; at most 50,000,000 are decoded"),
        (dicom(PIXELS[..., 0], "MONOCHROME2", WindowCenter=1, WindowWidth=2), "gray values that need a window"),
        (dicom((PIXELS[..., 0] // 4).astype(np.uint16), "MONOCHROME2", 12), "the highest of which is not used"),
        (dicom(PIXELS)[:400], "a DICOM file that cannot be used"),
        (bytes(128) + b"DICMhello", "a DICOM file that cannot be used"),
    ],
)
def test_dicom_that_cannot_be_used_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(UnreadableImage, match=message):
        decode(content)
