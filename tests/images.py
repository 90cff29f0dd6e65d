"""Images as the bytes of files, for tests in many rooms."""

import io
from typing import Any

from PIL import Image


def file_of(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    """The bytes of a file that holds `image`; `options` are those of Pillow's `save`."""
    content = io.BytesIO()
    image.save(content, form, **options)
    return content.getvalue()
