"""Frame of the body: outlines and diaphragm as distance fields, the reference for ribs, muscles and organs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .canvas import Canvas
from .shapes import Floats, profile, smooth_max, smooth_min, smooth_step
from .subject import Subject

# Rows: z, half width, front (y), back (y). The cavity is bounded by pleura and peritoneum.
CAVITY = (
    (-20, 120, 74, -74), (30, 117, 78, -72), (60, 114, 80, -72), (100, 120, 82, -80), (130, 127, 84, -88),
    (165, 132, 86, -92), (200, 133, 86, -94), (240, 129, 83, -96), (280, 119, 73, -96), (310, 108, 61, -93),
    (335, 94, 45, -88), (355, 78, 28, -81), (370, 66, 14, -75), (385, 56, 2, -69), (400, 50, -4, -66),
)  # fmt: skip
# Muscle and bone of the trunk, without fat and skin.
TRUNK = (
    (-20, 156, 86, -104), (10, 149, 90, -104), (35, 139, 92, -103), (60, 135, 92, -102), (100, 138, 94, -104),
    (150, 146, 97, -106), (200, 149, 98, -108), (240, 149, 97, -110), (280, 150, 91, -112), (310, 154, 82, -112),
    (335, 158, 70, -109), (355, 161, 58, -103), (375, 163, 47, -96), (400, 160, 40, -90),
)  # fmt: skip
# Rows: z, fat at the front, side and back.
FAT = (
    (-20, 20, 22, 24), (20, 21, 20, 20), (60, 19, 15, 14), (120, 14, 10, 9), (200, 9, 9, 8), (260, 9, 10, 8),
    (320, 8, 9, 9), (400, 6, 7, 10),
)  # fmt: skip
# Rows: z, y of the middle of the vertebral bodies.
SPINE = (
    (-30, -24), (-6, -25), (26, -23), (58, -25), (89, -29), (119, -35), (148, -42), (174, -48), (198, -53),
    (221, -57), (244, -60), (265, -61), (286, -60), (306, -57), (326, -52), (345, -45), (363, -37), (381, -29),
    (400, -22),
)  # fmt: skip
CAVITY_POWER, TRUNK_POWER = 2.35, 2.25
BREASTS = ((72, 96, 252), (50, 36, 52))

spine_y = profile(SPINE)


@dataclass(frozen=True, eq=False)
class Frame:
    """Fields on the whole grid, float32, mm.

    Parameters
    ----------
    cage, trunk, skin : array
        Distance to the inside of the ribs and flanks, to the outside of the muscles, and to the skin; negative inside.
    cavity : array
        Distance to pleura and peritoneum: the cage less the spine and the muscles beside it, closed over the lungs.
    back : array
        Distance to that part of the cage that spine and muscles take; negative inside.
    turn : array
        Angle about the trunk's axis: 0 at the back, pi at the front, on either side.
    above_diaphragm : array
        Distance to the diaphragm, positive in the chest.
    breast : array
        Distance to the breasts; large in men.
    """

    cage: NDArray[np.float32]
    cavity: NDArray[np.float32]
    back: NDArray[np.float32]
    trunk: NDArray[np.float32]
    skin: NDArray[np.float32]
    turn: NDArray[np.float32]
    above_diaphragm: NDArray[np.float32]
    breast: NDArray[np.float32]


def make_frame(canvas: Canvas, subject: Subject) -> Frame:
    """Compute the fields for one subject."""
    x, y, z = canvas.points
    spacing = canvas.grid.spacing_mm
    level, turn = _ring(x, y, z, CAVITY, CAVITY_POWER)
    cage = _to_mm(level, spacing)
    back = _back(x, y, z)
    cavity = smooth_max(smooth_max(cage, -back, 8), _over_apices(x, y, z), 10)
    trunk = _to_mm(_ring(x, y, z, TRUNK, TRUNK_POWER)[0], spacing)
    trunk += (y < -60) * 5 * np.exp(-((x / 15) ** 2))
    skin = trunk - _fat(turn, z, subject.fat)
    breast = _breasts(x, y, z) if subject.female else np.full_like(x, 99)
    skin = smooth_min(skin, breast, 26) if subject.female else skin
    diaphragm = _diaphragm(x, y, level)
    return Frame(cage, cavity, back, trunk, skin, turn, _to_mm(z - diaphragm, spacing), breast)


def outline(fat: float, female: bool) -> NDArray[np.float64]:
    """Points on or just outside the canonical skin, shape (n, 3), to size an array by."""
    z = np.linspace(0, 392, 15)
    rows = profile(TRUNK)(z)
    layers = profile(FAT)(z) * fat + 3
    front = np.maximum(rows[:, 1] + layers[:, 0], np.where(female & (np.abs(z - 252) < 55), BREASTS[0][1] + 38, -99))
    sides = rows[:, 0] + layers[:, 1]
    ends = [(sides, 0 * z), (-sides, 0 * z), (0 * z, front), (0 * z, rows[:, 2] - layers[:, 2])]
    return np.concatenate([np.column_stack([x, y, z]) for x, y in ends])


def cavity_wall(turn: ArrayLike, z: ArrayLike) -> NDArray[np.float64]:
    """Points of the cavity's wall on the right side, shape (..., 3)."""
    turn, z = np.broadcast_arrays(np.asarray(turn, float), np.asarray(z, float))
    half, front, back = np.moveaxis(profile(CAVITY)(z), -1, 0)
    s, c = np.sin(turn), -np.cos(turn)
    size = (np.abs(s) ** CAVITY_POWER + np.abs(c) ** CAVITY_POWER) ** (-1 / CAVITY_POWER)
    return np.stack([half * s * size, (front + back) / 2 + (front - back) / 2 * c * size, z], -1)


def along_z(table: ArrayLike, z: Floats) -> list[NDArray[np.float32]]:
    """Columns of a table of rows ``(z, ...)`` at every voxel."""
    half_mm = profile(table)(np.arange(-60, 480, 0.5)).astype(np.float32)
    index = np.clip((z + 60) * 2 + 0.5, 0, len(half_mm) - 1).astype(np.int16)
    return [np.ascontiguousarray(column)[index] for column in half_mm.T]


def _ring(x: Floats, y: Floats, z: Floats, table: ArrayLike, power: float) -> tuple[Floats, Floats]:
    half, front, back = along_z(table, z)
    u = np.abs(x) / half
    v = (y - (front + back) / 2) / ((front - back) / 2)
    turn = np.arctan2(u, -v)
    return (u**power + np.abs(v) ** power) ** np.float32(1 / power) - 1, turn


def _to_mm(level: Floats, spacing: Floats) -> NDArray[np.float32]:
    """Distance from a function whose zero is the surface, by its slope."""
    slope = sum(g * g for g in np.gradient(level, *(np.float32(s) for s in spacing)))
    return (level / np.sqrt(np.maximum(slope, 1e-8))).astype(np.float32)


def _fat(turn: Floats, z: Floats, amount: float) -> NDArray[np.float32]:
    front, side, back = along_z(FAT, z)
    c = np.cos(turn)
    return (amount * (side + np.where(c < 0, front - side, back - side) * c * c) + 2.5).astype(np.float32)


def _breasts(x: Floats, y: Floats, z: Floats) -> NDArray[np.float32]:
    center, radii = BREASTS
    first = [(np.abs(x) - center[0]) / radii[0], (y - center[1]) / radii[1], (z - center[2]) / radii[2]]
    return ((np.sqrt(sum(p * p for p in first)) - 1) * 36).astype(np.float32)


def spine_at(z: Floats) -> NDArray[np.float32]:
    """`spine_y` at every voxel."""
    return along_z(np.column_stack([np.arange(-60, 480, 4), spine_y(np.arange(-60, 480, 4))]), z)[0]


def _back(x: Floats, y: Floats, z: Floats) -> NDArray[np.float32]:
    behind = spine_at(z) - y
    gutter = smooth_max(np.abs(x) - 25 - 0.30 * behind, 12 - behind, 12)
    body = np.sqrt((x / 1.15) ** 2 + behind**2) - 18
    return smooth_min(gutter, body, 8).astype(np.float32)


def _over_apices(x: Floats, y: Floats, z: Floats) -> NDArray[np.float32]:
    """Height over the two domes that close the chest."""
    top = 387 - 0.016 * (np.abs(x) - 36) ** 2 - 0.013 * (y + 30) ** 2
    return ((z - top) * 0.75).astype(np.float32)


def _diaphragm(x: Floats, y: Floats, level: Floats) -> NDArray[np.float32]:
    """Height of the diaphragm: two domes, the right one higher, that fall off to the ribs, most at the back."""
    right = smooth_step(x, -30, 40)
    top = 213 + 13 * right - 9 * np.exp(-((x + 8) ** 2) / 700) - 6 * smooth_step(np.abs(x), 60, 110)
    radius = np.minimum(level + 1, 1.15)
    fall = 62 - 0.62 * y + 12 * smooth_step(np.abs(x), 70, 120)
    return (top - np.maximum(fall, 18) * radius**8).astype(np.float32)
