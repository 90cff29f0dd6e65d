"""Every form of a picture, sent to a real server of each runtime, is read as it should be."""

import io
import struct
import time
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.handlers.real_server import Served, assert_refused, assert_says, png
from tests.images import file_of

pytestmark = pytest.mark.server


def test_served_and_offline_agree(served: Served) -> None:
    random = np.random.default_rng(0)
    for version in ("baseline", "transfer"):
        for _ in range(5):
            picture = random.integers(0, 256, (90, 90, 3), dtype=np.uint8)
            answer = served.post(png(picture), "image/png", f"/predictions/lesion_classifier/{version}")
            assert_says(answer, served.expected(picture, version))
            assert answer.json()["entry"] == version


def test_a_wrong_reading_would_show(served: Served, pixels: NDArray[np.uint8]) -> None:
    right = np.array(list(served.expected(pixels).values()))
    for wrong in (np.rot90(pixels), pixels[:, ::-1], 255 - pixels, pixels[..., ::-1], pixels // 2):
        assert np.abs(np.array(list(served.expected(wrong.copy()).values())) - right).max() > 1e-3


def test_a_picture_of_a_camera_is_cropped(served: Served) -> None:
    wide = np.zeros((64, 100, 3), np.uint8)
    wide[:, 18:82] = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert_says(served.post(png(wide)), served.expected(wide[:, 18:82]))


def test_text(served: Served) -> None:
    assert_refused(served.post(b"hello", "text/plain"), 400, "not an image of a supported format (JPEG, PNG, ")


def test_an_empty_body(served: Served) -> None:
    assert_refused(served.post(b""), 400, "the image is empty (0 bytes)")


def test_a_truncated_jpeg(served: Served, pixels: NDArray[np.uint8]) -> None:
    content = file_of(Image.fromarray(pixels), "JPEG")
    assert_refused(served.post(content[: len(content) // 2]), 400, "the image is damaged or cut short")


def test_a_png_of_20000_by_20000(served: Served) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compress(b"\0" * (2501 * 20_000), 9)
    content = chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 1, 0, 0, 0, 0)) + chunk(b"IDAT", rows)
    began = time.monotonic()
    answer = served.post(b"\x89PNG\r\n\x1a\n" + content + chunk(b"IEND", b""), "image/png")
    assert_refused(answer, 413, "larger than 50,000,000 pixels")
    assert time.monotonic() - began < 5  # judged by the header


def test_a_gif(served: Served, pixels: NDArray[np.uint8]) -> None:
    image = Image.fromarray(pixels).quantize(64, dither=Image.Dither.NONE)
    colors = np.array(image.getpalette(), np.uint8).reshape(-1, 3)
    assert_says(served.post(file_of(image, "GIF"), "image/gif"), served.expected(colors[np.asarray(image)]))


def test_an_animated_gif(served: Served, pixels: NDArray[np.uint8]) -> None:
    frames = [Image.fromarray(pixels), Image.fromarray(pixels[::-1].copy())]
    content = file_of(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert_refused(served.post(content, "image/gif"), 400, "more than one frame or page; send one still picture")


def test_cmyk(served: Served, pixels: NDArray[np.uint8]) -> None:
    ink = np.dstack([255 - pixels, np.zeros(pixels.shape[:2], np.uint8)])
    content = file_of(Image.fromarray(ink, "CMYK"), "TIFF")
    assert_says(served.post(content, "image/tiff"), served.expected(pixels))


def test_16_bit_gray(served: Served, pixels: NDArray[np.uint8]) -> None:
    gray = pixels[..., 0]
    content = png(gray.astype(np.uint16) * 257)  # type: ignore[arg-type]
    assert_says(served.post(content, "image/png"), served.expected(np.dstack([gray] * 3)))


def test_alpha(served: Served, pixels: NDArray[np.uint8]) -> None:
    alpha = np.full((*pixels.shape[:2], 1), 255, np.uint8)
    alpha[:40, :50] = 0
    white = pixels.copy()
    white[:40, :50] = 255
    assert_says(served.post(png(np.concatenate([pixels, alpha], axis=2)), "image/png"), served.expected(white))


@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, -1), (8, 1)])
def test_exif_rotation(served: Served, pixels: NDArray[np.uint8], orientation: int, turns: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = file_of(Image.fromarray(pixels), "JPEG", exif=exif)
    stored = np.asarray(Image.open(io.BytesIO(content)))
    assert_says(served.post(content), served.expected(np.rot90(stored, turns).copy()))
