"""Metadata of an image file: which way up it is, and the file without them. Copied into archives."""

import re

from PIL import Image

ORIENTATION = 0x0112
"""EXIF's tag."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture upright, by its orientation (EXIF 2.32, table 4)."""
PNG = b"\x89PNG\r\n\x1a\n"
PNG_PIXELS = re.compile(rb"[A-Z]...|tRNS|iCCP|gAMA|cHRM|sRGB|acTL|fcTL|fdAT", re.DOTALL)
"""A PNG's chunks that the pixels need: critical ones, transparency, colors, animation."""
JPEG_METADATA = frozenset({*range(0xE1, 0xF0), 0xFE}) - {0xEE}
"""Markers of a JPEG's segments that its pixels do not need: APP1 to APP15 but Adobe's, and comments."""
PROFILE = b"ICC_PROFILE\0"
"""What a segment APP2 with a color profile begins with."""


def without_metadata(content: bytes) -> bytes:
    """A JPEG or PNG without EXIF, text and the like; what else it is, and what has no such structure, as it is."""
    if content.startswith(PNG):
        return _png(content)
    return _jpeg(content) if content.startswith(b"\xff\xd8") else content


def _png(content: bytes) -> bytes:
    kept, position = [PNG], len(PNG)
    while position + 12 <= len(content):
        end = position + 12 + int.from_bytes(content[position : position + 4], "big")
        if PNG_PIXELS.match(content[position + 4 : position + 8]):
            kept.append(content[position:end])
        position = end
    return b"".join(kept)


def _jpeg(content: bytes) -> bytes:
    kept, position = [content[:2]], 2
    while position + 4 <= len(content) and content[position] == 0xFF and content[position + 1] != 0xDA:
        end = position + 2 + int.from_bytes(content[position + 2 : position + 4], "big")
        is_profile = content[position + 4 : end].startswith(PROFILE)
        if content[position + 1] not in JPEG_METADATA or is_profile:
            kept.append(content[position:end])
        if end >= len(content):
            return content
        position = end
    return b"".join([*kept, content[position:]])
