"""What samples mean: bits, photometric interpretation, profiles, transparency; right, or refused with the reason."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, __version__

from lesions.images import UnreadableImage, decode
from tests import icc
from tests.images import file_of

SIDE = 16
WHITE_IS_ZERO, PHOTOMETRIC, MAX_SAMPLE = 0, 262, 281


def read(content: bytes) -> NDArray[np.int64]:
    return np.asarray(decode(content)).astype(int)


def ramp(top: int) -> NDArray[np.uint16]:
    """All values of 0 to `top`, as far as there is room."""
    return np.linspace(0, top, SIDE * SIDE).round().astype(np.uint16).reshape(SIDE, SIDE)


def with_chunk(png: bytes, kind: bytes, content: bytes) -> bytes:
    """The PNG with a chunk behind its header."""
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return png[:33] + chunk + png[33:]


@pytest.mark.parametrize("form", ["TIFF", "PNG"])
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_few_significant_bits_in_16_are_refused(form: str, bits: int) -> None:
    """grey12in16.tif: 12 bits in 16, which nothing says, were decoded to nearly black."""
    content = file_of(Image.fromarray(ramp(2**bits - 1)), form)
    with pytest.raises(UnreadableImage, match=f"16 bits a channel, of which {bits} are used: .* save it with 8 bits"):
        decode(content)


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_significant_bits_that_a_tag_names_are_scaled(bits: int) -> None:
    top = 2**bits - 1
    content = file_of(Image.fromarray(ramp(top)), "TIFF", tiffinfo={MAX_SAMPLE: top})
    assert np.abs(read(content)[..., 0] - ramp(top) * (255 / top)).max() <= 1


def test_white_is_zero_also_in_16_bits() -> None:
    content = file_of(Image.fromarray(ramp(65535)), "TIFF", tiffinfo={PHOTOMETRIC: WHITE_IS_ZERO})
    with Image.open(io.BytesIO(content)) as written:
        assert written.tag_v2[PHOTOMETRIC] == WHITE_IS_ZERO  # type: ignore[attr-defined]
    assert np.abs(read(content)[..., 0] - (255 - stored(content) / 257)).max() <= 1


def test_12_bits_packed() -> None:
    values = np.linspace(0, 4095, SIDE * SIDE).round().astype(int)
    packed = b"".join(
        bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in zip(values[::2], values[1::2], strict=True)
    )
    tags = [(256, 3, 1, SIDE), (257, 3, 1, SIDE), (258, 3, 1, 12), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    tags += [(277, 3, 1, 1), (278, 3, 1, SIDE), (279, 4, 1, len(packed))]
    page = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    content = b"II*\0" + struct.pack("<I", 8 + len(packed)) + packed + struct.pack("<H", len(tags)) + page + bytes(4)
    assert np.abs(read(content)[..., 0].ravel() - values * (255 / 4095)).max() <= 1


def png(bits: int, kind: int, rows: list[bytes], *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG that Pillow reads but does not write; `kind` is the color type: 0 for gray, 2 for RGB."""
    header = struct.pack(">IIBBBBB", SIDE, len(rows), bits, kind, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    for name, body in ((b"IHDR", header), *chunks, (b"IDAT", data), (b"IEND", b"")):
        content += struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return content


def png16(samples: NDArray[Any]) -> bytes:
    return png(16, 2, [row.astype(">u2").tobytes() for row in samples])


def stored(content: bytes) -> NDArray[np.int64]:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image).astype(int)


def test_16_bits_of_color() -> None:
    samples = np.dstack([ramp(65535), ramp(65535).T, ramp(40000)])
    assert np.abs(read(png16(samples)) - samples / 257).max() <= 1
    with pytest.raises(UnreadableImage, match="16 bits a channel, of which 12 are used"):
        decode(png16(samples >> 4))
    with pytest.raises(UnreadableImage, match="a transparent color of 16 bits"):
        decode(with_chunk(png16(samples), b"tRNS", bytes(6)))


NOISE = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("gamma", [1.8, 2.2])
@pytest.mark.parametrize("primaries", [icc.ADOBE, icc.SWAPPED])
def test_an_embedded_profile_is_converted(form: str, gamma: float, primaries: NDArray[np.float64]) -> None:
    """adobe.png is srgb.png with another profile: both look alike, and have to be decoded alike."""
    options = {"lossless": True} if form == "WEBP" else {}
    content = file_of(Image.fromarray(NOISE), form, icc_profile=icc.profile(primaries, gamma), **options)
    assert np.abs(read(content) - icc.to_srgb(NOISE, primaries, gamma)).max() <= 2
    assert np.abs(read(content) - NOISE).max() > 20


def test_a_profile_beside_transparency_a_palette_or_gray() -> None:
    swapped = icc.profile(icc.SWAPPED, 2.2)
    expected = icc.to_srgb(NOISE, icc.SWAPPED, 2.2)
    alpha = np.full((SIDE, SIDE, 1), 255, np.uint8)
    alpha[:4] = 0
    expected[:4] = 255
    content = file_of(Image.fromarray(np.dstack([NOISE, alpha])), icc_profile=swapped)
    assert np.abs(read(content) - expected).max() <= 2
    palette = Image.new("P", (SIDE, SIDE), 1)
    palette.putpalette([0, 0, 0, 200, 100, 50])
    color = np.array([200, 100, 50], np.uint8)
    content = file_of(palette, icc_profile=swapped)
    assert np.abs(read(content)[0, 0] - icc.to_srgb(color, icc.SWAPPED, 2.2)).max() <= 2
    gray = ramp(255).astype(np.uint8)
    linear = icc.to_srgb(np.dstack([gray] * 3), icc.SRGB, 1.0)
    for profile in (icc.profile(None, 1.0), icc.profile(icc.SRGB, 1.0)):
        assert np.abs(read(file_of(Image.fromarray(gray), icc_profile=profile)) - linear).max() <= 2


@pytest.mark.parametrize(
    ("mode", "profile", "message"),
    [
        ("RGB", b"hello", "its color profile cannot be read"),
        ("RGB", icc.profile(icc.ADOBE, 2.2)[:200], "its color profile cannot be read"),
        ("RGB", icc.profile(None, 2.2), "a gray color profile with colors"),
        ("RGB", icc.profile(icc.ADOBE, 2.2).replace(b"RGB ", b"CMYK"), "a color profile of CMYK with colors in RGB"),
        ("CMYK", icc.profile(icc.ADOBE, 2.2), "a color profile of RGB with colors in CMYK"),
        ("RGB", icc.profile(icc.ADOBE, 2.2).replace(b"RGB ", b"Lab "), "a color profile of L"),
    ],
)
def test_a_profile_that_does_not_fit_is_refused(mode: str, profile: bytes, message: str) -> None:
    with pytest.raises(UnreadableImage, match=message):
        decode(file_of(Image.new(mode, (SIDE, SIDE)), "TIFF", icc_profile=profile))


def test_a_profile_cut_short_is_refused() -> None:
    content = file_of(Image.fromarray(NOISE), "JPEG", icc_profile=icc.profile(icc.ADOBE, 2.2))
    more_parts = content.replace(b"ICC_PROFILE\0\1\1", b"ICC_PROFILE\0\1\2")
    with pytest.raises(UnreadableImage, match="its color profile is damaged"):
        decode(more_parts)


def test_a_png_s_own_colors() -> None:
    plain = file_of(Image.fromarray(NOISE))
    srgb = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
    for kind, content in ((b"gAMA", struct.pack(">I", 45455)), (b"cHRM", srgb), (b"sRGB", b"\0")):
        assert (read(with_chunk(plain, kind, content)) == NOISE).all()
    linear = read(with_chunk(plain, b"gAMA", struct.pack(">I", 100_000)))
    assert np.abs(linear - icc.to_srgb(NOISE, icc.SRGB, 1.0)).max() <= 2
    for kind, content in ((b"cHRM", srgb[:8] + srgb[16:] + srgb[8:16]), (b"gAMA", struct.pack(">I", 1))):
        with pytest.raises(UnreadableImage, match="save it as sRGB"):
            decode(with_chunk(plain, kind, content))


def test_adobe_rgb_by_exif_alone_is_refused() -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 2
    with pytest.raises(UnreadableImage, match="EXIF says Adobe RGB, but the color profile is missing"):
        decode(file_of(Image.fromarray(NOISE), "JPEG", exif=exif))
    profile = icc.profile(icc.SRGB, 2.2)
    assert read(file_of(Image.fromarray(NOISE), "JPEG", exif=exif, icc_profile=profile)).shape == (SIDE, SIDE, 3)


def test_a_transparent_shade_of_gray() -> None:
    gray = ramp(255).astype(np.uint8)
    expected = np.where(gray == gray[3, 3], 255, gray)
    assert (read(file_of(Image.fromarray(gray), transparency=int(gray[3, 3])))[..., 0] == expected).all()
    deep = ramp(65535)
    expected = np.where(deep == deep[3, 3], 255, np.rint(deep / 257))
    assert (read(file_of(Image.fromarray(deep), transparency=int(deep[3, 3])))[..., 0] == expected).all()
    black = Image.fromarray(gray > 100)
    assert (read(file_of(black, transparency=0)) == 255).all()
    assert (read(file_of(black, transparency=1))[..., 0] == np.asarray(black) * 255).all()
    packed = bytes(range(0, 256, 17))  # four bits a pixel: a row of 16 has 8 bytes
    content = png(4, 0, [packed[:8]] * SIDE, (b"tRNS", b"\0\x08"))
    assert (read(content)[..., 0] == np.where(stored(content) == 8 * 17, 255, stored(content))).all()


OLD_PILLOW = int(__version__.partition(".")[0]) < 13
MODES = ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "I", "I;16", "F"]
PROFILES: dict[str, tuple[NDArray[np.float64], float]] = {
    "adobe": (icc.ADOBE, 2.2),
    "swapped": (icc.SWAPPED, 1.8),
    "srgb": (icc.SRGB, 2.4),
}


def as_sent(image: Image.Image) -> NDArray[np.float64] | None:
    """What a picture of Pillow's looks like, [side, side, 3] of 0 to 255 on white; none where that is not known."""
    if image.mode in ("I", "F", "LAB"):
        return None
    if image.mode == "I;16":
        gray = np.asarray(image) / 257
        return np.dstack([gray] * 3)
    if image.mode == "La":
        image = image.convert("LA")
    if image.mode in ("LA", "PA", "RGBA", "RGBa"):
        rgba = np.asarray(image.convert("RGBA")).astype(float)
        opaque = rgba[..., 3:] / 255
        return rgba[..., :3] * opaque + 255 * (1 - opaque)
    return np.asarray(image.convert("RGB")).astype(float)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_pillow_writes_is_right_or_refused(data: st.DataObject) -> None:
    mode, form = data.draw(st.sampled_from(MODES)), data.draw(st.sampled_from(["TIFF", "PNG", "BMP", "WEBP", "GIF"]))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    darkest, brightest = sorted(data.draw(st.tuples(st.integers(0, 255), st.integers(0, 255))))
    noise = rng.integers(darkest, brightest + 1, (SIDE, SIDE, 4), dtype=np.uint8)
    if mode == "I;16":
        image = Image.fromarray(noise[..., 0].astype(np.uint16) << data.draw(st.integers(0, 8)))
    elif mode in ("I", "F"):
        image = Image.fromarray(noise[..., 0]).convert(mode)
    elif mode == "P":
        image = Image.fromarray(noise[..., 0])
        image.putpalette(rng.integers(0, 256, 768, dtype=np.uint8).tobytes())
    else:
        channels = len(Image.new(mode, (1, 1)).getbands())
        raw = "L" if mode == "1" else mode
        pixels = noise[..., 0] if channels == 1 else np.ascontiguousarray(noise[..., :channels])
        image = Image.frombytes(raw, (SIDE, SIDE), pixels.tobytes()).convert(mode)
    options: dict[str, Any] = {"lossless": True} if form == "WEBP" else {}
    white_is_zero = form == "TIFF" and mode in ("1", "L", "I;16") and data.draw(st.booleans())
    if white_is_zero:
        options["tiffinfo"] = {PHOTOMETRIC: WHITE_IS_ZERO}
    name = data.draw(st.none() | st.sampled_from(sorted(PROFILES)))
    if name:
        options["icc_profile"] = icc.profile(*PROFILES[name])
    try:
        content = file_of(image, form, **options)
    except (OSError, KeyError, ValueError):  # Pillow does not write this
        return
    try:
        decoded = read(content)
    except UnreadableImage as error:
        # Pillow 13 reads this one of its own, and Pillow 12 takes it for a short one.
        assert "damaged" not in str(error) or (OLD_PILLOW and (mode, form) == ("YCbCr", "TIFF"))
        return
    if form == "GIF" or (form == "WEBP" and mode not in ("RGB", "RGBA", "RGBX")) or (form == "BMP" and mode == "RGBA"):
        return  # colors are reduced to 256, or changed on the way; alpha in a BMP means nothing
    expected = as_sent(image)
    assert expected is not None, "what is not known was decoded"
    if white_is_zero and mode == "I;16":  # Pillow turns samples of up to 8 bits around as it writes them
        expected = 255 - expected
    has_profile = name and form != "BMP"
    if has_profile and mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        return  # colors are converted before they are laid on white: see the test above
    if has_profile and name:
        expected = icc.to_srgb(np.rint(expected).astype(np.uint8), *PROFILES[name])
    assert np.abs(decoded - expected).max() <= 2
