"""Images: formats, orientation and transparency; what is refused, and why; the center square; normalization."""

import gc
import io
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from lesions.images import MAX_PIXELS, MAX_SCANS, UnreadableImage, center_square, decode

WIDTH, HEIGHT = 60, 40


@pytest.fixture
def pixels() -> NDArray[np.uint8]:
    """An image that differs from its mirror images and rotations."""
    return np.random.default_rng(7).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def file_of(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, form, **options)
    return content.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG whose header says `width` x `height`, with almost no data."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"\0" * 99))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


def read(content: bytes) -> NDArray[np.uint8]:
    image = decode(content)
    assert image.mode == "RGB"
    return np.asarray(image)


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "WEBP"])
def test_a_lossless_image_keeps_its_pixels(pixels: NDArray[np.uint8], form: str) -> None:
    options = {"lossless": True} if form == "WEBP" else {}
    assert (read(file_of(Image.fromarray(pixels), form, **options)) == pixels).all()


def test_of_a_jpeg_with_several_frames_the_first_is_read(pixels: NDArray[np.uint8]) -> None:
    # Phones store depth and gain maps after the image; Pillow calls such a JPEG an MPO.
    first = Image.fromarray(pixels)
    content = file_of(first, "MPO", save_all=True, append_images=[Image.new("RGB", first.size, "blue")])
    assert (read(content) == np.asarray(Image.open(io.BytesIO(file_of(first, "JPEG"))))).all()


def test_cmyk_is_converted(pixels: NDArray[np.uint8]) -> None:
    ink = np.dstack([255 - pixels, np.zeros((HEIGHT, WIDTH), np.uint8)])
    ink[0, 0] = (0, 0, 0, 255)
    expected = pixels.copy()
    expected[0, 0] = 0
    assert (read(file_of(Image.fromarray(ink, "CMYK"), "TIFF")) == expected).all()


def test_a_cmyk_jpeg_is_converted() -> None:
    content = file_of(Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "JPEG", quality=95)
    assert np.abs(read(content).astype(int) - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_16_bit_gray_is_scaled_and_not_clipped(pixels: NDArray[np.uint8], form: str) -> None:
    gray = pixels[..., 0]
    content = file_of(Image.fromarray(gray.astype(np.uint16) * 257), form)
    assert (read(content) == gray[..., None]).all()


def test_transparent_is_white(pixels: NDArray[np.uint8]) -> None:
    alpha = np.full((HEIGHT, WIDTH, 1), 255, np.uint8)
    alpha[:10] = 0
    expected = pixels.copy()
    expected[:10] = 255
    assert (read(file_of(Image.fromarray(np.dstack([pixels, alpha])))) == expected).all()


def test_half_transparent_is_half_white() -> None:
    assert abs(int(read(file_of(Image.new("RGBA", (20, 20), (0, 0, 0, 128))))[0, 0, 0]) - 127) <= 1


def test_gray_with_alpha_is_white_where_transparent() -> None:
    assert (read(file_of(Image.new("LA", (20, 20), (30, 0)))) == 255).all()


@pytest.mark.parametrize("form", ["PNG", "GIF", "TIFF"])
def test_a_palette_is_looked_up(form: str) -> None:
    image = Image.new("P", (20, 20), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    assert (read(file_of(image, form)) == [200, 100, 50]).all()


def test_a_transparent_palette_entry_is_white() -> None:
    image = Image.new("P", (20, 20), 1)
    image.putpalette([0, 0, 0, 200, 100, 50])
    assert (read(file_of(image, transparency=1)) == 255).all()


@pytest.mark.parametrize(
    ("orientation", "rotated"),
    [
        (1, lambda x: x),
        (2, lambda x: x[:, ::-1]),
        (3, lambda x: x[::-1, ::-1]),
        (4, lambda x: x[::-1]),
        (5, lambda x: x.transpose(1, 0, 2)),
        (6, lambda x: np.rot90(x, -1)),
        (7, lambda x: x[::-1, ::-1].transpose(1, 0, 2)),
        (8, np.rot90),
    ],
)
def test_exif_orientation_is_applied(pixels: NDArray[np.uint8], orientation: int, rotated: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = file_of(Image.fromarray(pixels), "JPEG", exif=exif)
    stored = np.asarray(Image.open(io.BytesIO(content)))
    assert (read(content) == rotated(stored)).all()


def test_a_still_gif_is_read_and_an_animation_refused(pixels: NDArray[np.uint8]) -> None:
    frames = [Image.fromarray(pixels), Image.fromarray(pixels[::-1].copy())]
    assert read(file_of(frames[0], "GIF")).shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(UnreadableImage, match="more than one frame or page; send one still picture"):
        decode(file_of(frames[0], "GIF", save_all=True, append_images=frames[1:]))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_a_truncated_image_is_refused(pixels: NDArray[np.uint8], form: str, kept: float) -> None:
    content = file_of(Image.fromarray(pixels), form)
    with pytest.raises(UnreadableImage, match=r"damaged or cut short|not an image") as caught:
        decode(content[: int(len(content) * kept)])
    assert not caught.value.too_large


@pytest.mark.parametrize("side", [20_000, 8_000, 60_000])
def test_a_huge_image_is_refused_by_its_header(side: int) -> None:
    with pytest.raises(UnreadableImage, match=r"50,000,000") as caught:
        decode(png_header(side, side))
    assert caught.value.too_large
    assert side * side > MAX_PIXELS


def test_a_jpeg_of_many_scans_is_refused(pixels: NDArray[np.uint8]) -> None:
    # Each may pass over all pixels: ten megabytes of them would take an hour at 50 million pixels.
    whole = file_of(Image.fromarray(pixels), "JPEG", progressive=True)
    first, last = whole.count(b"\xff\xda"), whole[whole.rindex(b"\xff\xda") : -2]
    most = whole[:-2] + last * (MAX_SCANS - first) + b"\xff\xd9"
    assert read(most).shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(UnreadableImage, match="more than 64 scans"):
        decode(most[:-2] + last + b"\xff\xd9")
    # These are no scans: in a comment, and after the end of the image.
    hidden = b"\xff\xfe" + struct.pack(">H", 402) + b"\xff\xda\0\0" * 100
    assert read(whole[:2] + hidden + whole[2:] + b"\xff\xda" * 100).shape == (HEIGHT, WIDTH, 3)


def tiff(tags: list[tuple[int, int, int, int]], data: bytes, behind: int = 0) -> bytes:
    """A TIFF with rows of 16 gray pixels, further `tags` (number, type, count, value), and `data` from byte 8 on."""
    plain = [(256, 4, 1, 16), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1)]
    page = b"".join(struct.pack("<HHII", *tag) for tag in sorted([*plain, *tags]))
    header = b"II*\0" + struct.pack("<I", 8 + len(data)) + data
    return header + struct.pack("<H", len(plain) + len(tags)) + page + struct.pack("<I", behind)


def strips(rows: int) -> bytes:
    """A TIFF that stores each row in a strip of its own."""
    counts = 24 + 4 * rows
    data = bytes(16) + struct.pack("<I", 8) * rows + struct.pack("<H", 16) * rows
    return tiff([(257, 4, 1, rows), (273, 4, rows, 24), (278, 3, 1, 1), (279, 3, rows, counts)], data)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the first exception, in a finalizer
def test_decoding_stops_at_the_time_limit() -> None:
    assert decode(strips(100), 0.2).size == (16, 100)
    slow = strips(400_000)  # which takes some seconds without a limit
    gc.collect()
    gc.freeze()  # what other tests left is not to be looked through meanwhile, which takes a second
    began = time.thread_time()
    try:
        with pytest.raises(UnreadableImage, match=r"not decoded in 0\.2 seconds; save it anew") as caught:
            decode(slow, 0.2)
    finally:
        gc.unfreeze()
    assert time.thread_time() - began < 1
    assert not caught.value.too_large
    end = time.process_time() + 0.5
    while time.process_time() < end:  # a limit that still holds would raise here
        pass


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_in_four_threads_only_the_slow_picture_is_refused() -> None:
    def answer(content: bytes) -> str:
        try:
            return str(decode(content, 0.2).size)
        except UnreadableImage as error:
            return str(error)

    slow = "not decoded in 0.2 seconds; save it anew, as a plain JPEG or PNG"
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(answer, [strips(100), strips(400_000), strips(100), b"hello"])) == [
            "(16, 100)",
            slow,
            "(16, 100)",
            "not an image of a supported format (JPEG, PNG, WEBP, TIFF, BMP, GIF)",
        ]


def test_pages_are_not_counted() -> None:
    tags = [(257, 4, 1, 16), (273, 4, 1, 8), (279, 4, 1, 256)]
    first = len(tiff(tags, bytes(256)))
    pages = b"".join(struct.pack("<HI", 0, first + 6 * (k + 1) if k < 99_999 else 0) for k in range(100_000))
    began = time.process_time()
    with pytest.raises(UnreadableImage, match="more than one frame or page"):
        decode(tiff(tags, bytes(256), behind=first) + pages)
    assert time.process_time() - began < 1


def test_a_tile_far_larger_than_its_image_is_refused() -> None:
    tile = [(257, 4, 1, 16), (322, 4, 1, 43_584), (323, 4, 1, 43_584), (324, 4, 1, 8), (325, 4, 1, 256)]
    with pytest.raises(UnreadableImage, match="tiles of more than 50,000,000 pixels") as caught:
        decode(tiff(tile, bytes(256)))
    assert caught.value.too_large


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the image is empty"),
        (b"hello", "not an image of a supported format"),
        (file_of(Image.new("RGB", (1, 1))), "1 x 1 pixels; each side must have at least 16"),
        (file_of(Image.new("RGB", (400, 15))), "400 x 15 pixels"),
        (file_of(Image.new("F", (20, 20)), "TIFF"), "floating-point"),
        (file_of(Image.fromarray(np.full((20, 20), np.nan, np.float32)), "TIFF"), "floating-point"),
        (file_of(Image.new("RGB", (1, 10_000))), "1 x 10000 pixels; each side must have at least 16"),
        (file_of(Image.new("I", (20, 20)), "TIFF"), "32-bit"),
        (file_of(Image.new("LAB", (20, 20)), "TIFF"), "send RGB"),
        (file_of(Image.new("RGB", (20, 20)), "PPM"), "not an image of a supported format"),
    ],
)
def test_unreadable_content_is_refused_with_the_reason(content: bytes, message: str) -> None:
    with pytest.raises(UnreadableImage, match=message) as caught:
        decode(content)
    assert not caught.value.too_large


@settings(deadline=None)
@given(st.data())
def test_a_damaged_image_is_decoded_or_refused(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP"]))
    noise = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    content = bytearray(file_of(Image.fromarray(noise), form))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert decode(bytes(content)).mode == "RGB"
    except UnreadableImage as error:
        assert str(error)


def test_square_is_the_center() -> None:
    # Thesis section 2.2: a 600 x 450 image loses 75 px left and right.
    pixels = np.random.default_rng(0).integers(0, 256, (450, 600, 3), dtype=np.uint8)
    expected = Image.fromarray(pixels[:, 75:525].copy()).resize((64, 64), Image.Resampling.BILINEAR)
    output = center_square(Image.fromarray(pixels), 64)
    assert (output[:, 1:-1] == np.asarray(expected)[:, 1:-1]).all()  # at the sides the filter reads pixels beyond
    assert (center_square(Image.fromarray(pixels), 450) == pixels[:, 75:525]).all()
    assert output.dtype == np.uint8


def test_square_of_an_upright_image_is_its_center(pixels: NDArray[np.uint8]) -> None:
    upright = pixels.transpose(1, 0, 2).copy()
    assert (center_square(Image.fromarray(upright), HEIGHT) == upright[10:50]).all()
