"""Color profiles made by hand (ICC.1:2001-04): three primaries or gray, and one power for the tone curves."""

import struct

import numpy as np
from numpy.typing import NDArray

SRGB = np.array(
    [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
)
"""Light of sRGB's red, green and blue (columns) as XYZ, adapted to D50."""
ADOBE = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
"""The same of Adobe RGB (1998)."""
SWAPPED = SRGB[:, [2, 0, 1]]
"""sRGB with the channels in another order: no mere shift of shades."""
WHITE = (0.9642, 1.0, 0.8249)


def profile(primaries: NDArray[np.float64] | None, gamma: float) -> bytes:
    """A display profile of RGB with `primaries` (XYZ in columns), or of gray; samples are light to 1 / `gamma`."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    text = b"test\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(79),
        b"wtpt": _xyz(WHITE),
    }
    if primaries is None:
        tags[b"kTRC"] = curve
    else:
        for name, column in zip((b"r", b"g", b"b"), primaries.T, strict=True):
            tags |= {name + b"XYZ": _xyz(column), name + b"TRC": curve}
    table, data = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        table += name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(data), len(content))
        data += padded
    space = b"GRAY" if primaries is None else b"RGB "
    header = struct.pack(">I4xI4s4s4s", 128 + len(table) + len(data), 0x02400000, b"mntr", space, b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + _s15(WHITE) + bytes(48)
    return header + table + data


def to_srgb(samples: NDArray[np.uint8], primaries: NDArray[np.float64], gamma: float) -> NDArray[np.float64]:
    """What samples [..., 3] of such a profile are in sRGB, 0 to 255."""
    light = (samples / 255) ** gamma @ primaries.T @ np.linalg.inv(SRGB).T
    light = light.clip(0, 1)
    result: NDArray[np.float64] = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return result


def _s15(values: tuple[float, ...] | NDArray[np.float64]) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def _xyz(values: tuple[float, ...] | NDArray[np.float64]) -> bytes:
    return b"XYZ " + bytes(4) + _s15(values)
