"""Bones: spine, ribs and their cartilages, sternum, shoulder girdle, iliac wings."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .canvas import Block, Canvas
from .frame import Frame, cavity_wall, spine_y
from .shapes import Floats, Points, curve, ellipsoid, segments, smooth_max, smooth_min, smooth_step, thicker, to_frame

CORTEX_MM = 1.2
RIB_DEPTH_MM = 5.5
"""From the inside of the chest wall to the middle of a rib."""


@dataclass(frozen=True)
class Level:
    """A vertebra: canonical z of its middle, and the height of the body with one disc."""

    name: str
    z: float
    height: float

    @property
    def lumbar(self) -> float:
        """0 for the thoracic form of the processes, 1 for the lumbar one."""
        return float(self.name[0] == "L")

    @property
    def center(self) -> tuple[float, float, float]:
        """Canonical position of the middle of the vertebra."""
        return 0.0, float(spine_y(self.z)[0]), self.z


LEVELS = tuple(
    Level(name, z, height)
    for name, z, height in (
        ("T1", 381, 17.7), ("T2", 363, 18.1), ("T3", 345, 18.6), ("T4", 326, 19.5), ("T5", 306, 20), ("T6", 286, 20.5),
        ("T7", 265, 21), ("T8", 244, 22), ("T9", 221, 22.8), ("T10", 198, 23.8), ("T11", 174, 25.2), ("T12", 148, 27.2),
        ("L1", 119, 29.8), ("L2", 89, 30.8), ("L3", 58, 31.6), ("L4", 26, 32.2), ("L5", -6, 31.6),
    )
)  # fmt: skip

# Rib: angle (of pi) where bone ends, fall to that end, z where its cartilage reaches the sternum (0: it floats).
RIBS = (
    (0.86, 34, 346), (0.84, 52, 320), (0.82, 62, 300), (0.81, 70, 281), (0.80, 76, 264), (0.79, 82, 249),
    (0.77, 86, 237), (0.71, 88, 231), (0.65, 88, 226), (0.59, 82, 221), (0.43, 52, 0), (0.28, 34, 0),
)  # fmt: skip


def paint_bone(
    canvas: Canvas, block: Block, distance: Floats, label: str, core: str = "cancellous", shell: str = "shell",
    cortex_mm: float = CORTEX_MM,
) -> None:  # fmt: skip
    """Paint a bone: a dense shell around a spongy core."""
    canvas.paint(block, distance, shell, label)
    canvas.paint(block, distance + cortex_mm, core)


def paint_skeleton(canvas: Canvas, frame: Frame) -> None:
    """Paint all bones, over the body wall."""
    _shoulders(canvas, frame)
    _iliac_wings(canvas, frame)
    _ribs(canvas, frame)
    _sternum(canvas, frame)
    _discs(canvas)
    for level in LEVELS:
        _vertebra(canvas, frame, level)
    _canal(canvas)


def _frame_of(level: Level) -> Floats:
    """Rows right, anterior, up of a vertebra, tilted with the curve of the spine."""
    slope = float(spine_y.derivative()(level.z)[0])
    up = np.array([0, slope, 1]) / np.hypot(slope, 1)
    return np.stack([[1, 0, 0], np.cross(up, [1, 0, 0]), up])


def _body_size(level: Level) -> tuple[float, float]:
    """Half width and half depth of a vertebral body."""
    rise = np.clip((381 - level.z) / 387, 0, 1)
    return 15.0 + 11.5 * rise**1.2, 10.0 + 9.5 * rise**0.8


def _column(local: Points, half_width: float, half_depth: float, waist: Floats | float) -> Floats:
    """Kidney-shaped cross-section of a vertebral body: flat or hollow at the back."""
    x, y, _ = local
    hollow = 2.5 * np.exp(-((x / (0.5 * half_width)) ** 2)) * (y < 0)
    u, v = np.abs(x) / (half_width - waist), np.abs(y) / (half_depth - hollow - waist)
    return (np.sqrt(np.sqrt(u**4 * 0.35 + 1.3 * u * u * v * v + v**4 + 0.65 * u**6)) - 1) * half_depth


def _discs(canvas: Canvas) -> None:
    for lower, upper in zip(LEVELS[1:], LEVELS[:-1], strict=True):
        z = (lower.z + lower.height / 2 + upper.z - upper.height / 2) / 2
        disc = Level(lower.name, z, 0)
        half_width, half_depth = _body_size(disc)
        block = canvas.block((-32, disc.center[1] - 28, z - 14), (32, disc.center[1] + 28, z + 14))
        local = to_frame(block.points, disc.center, _frame_of(disc))
        distance = np.maximum(_column(local, half_width, half_depth, 0.0), np.abs(local[2]) - 7)
        canvas.paint(block, distance, "disc", "intervertebral_discs")


def _vertebra(canvas: Canvas, frame: Frame, level: Level) -> None:
    _, y, z = level.center
    block = canvas.block((-52, y - 82, z - 42), (52, y + 26, z + 26))
    local = to_frame(block.points, level.center, _frame_of(level))
    name = "vertebrae_" + level.name
    half_width, half_depth = _body_size(level)
    arch = np.maximum(_arch(local, level, half_width, half_depth), frame.trunk[block.slices] + 3)
    paint_bone(canvas, block, arch, name, cortex_mm=1.3)
    disc = 3.0 + 4.5 * np.clip((330 - level.z) / 300, 0, 1)
    half = (level.height - disc) / 2
    waist = 1.8 * (1 - (local[2] / half) ** 2).clip(0, 1)
    body = smooth_max(_column(local, half_width, half_depth, waist), np.abs(local[2]) - half, 3)
    paint_bone(canvas, block, body, name, cortex_mm=1.0)


def _arch(local: Points, level: Level, half_width: float, half_depth: float) -> Floats:
    """Pedicles, laminae and processes behind the body."""
    x, y, z = local
    side = np.abs(x)
    height, lumbar = level.height, level.lumbar
    canal_y = -half_depth - 8.5
    pedicle = _bar(
        (side, y, z),
        (0.62 * half_width, -half_depth + 4, 0.2 * height),
        (12.5 + 3 * lumbar, canal_y - 3, 0.14 * height),
        4.4 + 1.2 * lumbar,
    )
    pedicle = smooth_max(pedicle, np.abs(z - 0.17 * height) - 0.24 * height, 2)
    lamina = _bar((side, y, z), (12.5 + 3 * lumbar, canal_y - 4, 0.05 * height), (0, canal_y - 13, -0.2 * height), 3.4)
    lamina = np.minimum(
        lamina,
        _bar((side, y, z), (13 + 2 * lumbar, canal_y - 5, -0.2 * height), (0, canal_y - 13, -0.32 * height), 3.2),
    )
    joint = _bar(
        (side, y, z),
        (14 + 3 * lumbar, canal_y - 6, 0.42 * height),
        (15 + 2 * lumbar, canal_y - 9, -0.5 * height),
        4.3 + 1.2 * lumbar,
    )
    reach = 24 + 14 * lumbar + (6 if level.name in ("T1", "T2", "T3", "T4", "T5", "T6", "T7") else 0)
    tip = (reach, canal_y - 13 + 9 * lumbar, 0.12 * height)
    transverse = _bar((side, y, z), (13 + 3 * lumbar, canal_y - 3, 0.08 * height), tip, 4.4)
    spinous = _spinous((side, y, z), canal_y, height, lumbar)
    arch = smooth_min(smooth_min(pedicle, lamina, 3), smooth_min(joint, transverse, 3), 3)
    return smooth_min(arch, spinous, 3)


def _spinous(local: Points, canal_y: float, height: float, lumbar: float) -> Floats:
    """Spinous process: horizontal and deep in the lumbar spine, thin and steep in the thoracic spine."""
    side, y, z = local
    back = canal_y - 13 - y
    drop = (0.10 if lumbar else 0.75) * back + (0.1 if lumbar else 0.25) * height
    tall = (0.33 if lumbar else 0.2) * height
    thick = 2.2 + 0.04 * back
    blade = smooth_max(side - thick, np.abs(z + drop) - tall, 2)
    return smooth_max(blade, np.abs(back - 12) - (15 + 1.5 * lumbar), 4)


def _bar(local: Points, start: tuple[float, float, float], end: tuple[float, float, float], radius: float) -> Floats:
    """Rod with round ends."""
    a, b = np.asarray(start, np.float32), np.asarray(end, np.float32)
    along = b - a
    p = [c - s for c, s in zip(local, a, strict=True)]
    t = np.clip(sum(c * d for c, d in zip(p, along, strict=True)) / (along @ along), 0, 1)
    return np.sqrt(sum((c - t * d) ** 2 for c, d in zip(p, along, strict=True))) - radius


def _canal(canvas: Canvas) -> None:
    """Epidural fat, dural sac and cord, one tube each; the cord ends at L1."""
    z = np.arange(-24.0, 408, 8)
    depth = np.array([_body_size(Level("", float(v), 0))[1] for v in z])
    y = spine_y(z)[:, 0] - depth - 8.5
    path = np.column_stack([0 * z, y, z, 8.2 + 0 * z])
    canvas.paint_tube(segments(path), "epidural", "spinal_cord")
    canvas.paint_tube(segments(thicker(path, -1.3)), "sac", "spinal_cord")
    cord = thicker(path[z > 116], -3.4)
    cord[0, 3] = 2.0
    canvas.paint_tube(segments(cord), "cord", "spinal_cord")
    tail = thicker(path[z <= 124] - np.array((0, 1.5, 0, 0)), -4.0)
    canvas.paint_tube(segments(tail), "cord", "spinal_cord", np.full(canvas.grid.shape, 0.5, np.float32))


@dataclass(frozen=True, eq=False)
class _Shell:
    """The voxels near the wall of the chest, flat, on which ribs are drawn."""

    where: tuple[NDArray, ...]
    turn: Floats
    side: Floats
    z: Floats
    depth: Floats

    @classmethod
    def of(cls, canvas: Canvas, frame: Frame) -> "_Shell":
        x, _, z = canvas.points
        where = np.nonzero((np.abs(frame.cage - RIB_DEPTH_MM) < 10) & (z > 84) & (z < 392))
        return cls(where, frame.turn[where], x[where], z[where], frame.cage[where] - RIB_DEPTH_MM)


def rib_height(number: int, turn: Floats | float) -> Floats:
    """Canonical z of rib `number` (from 1), bone and cartilage, at angles about the trunk."""
    end_share, fall, sternum = RIBS[number - 1]
    turn, end = np.asarray(turn), end_share * np.pi
    start = LEVELS[number - 1].z + 5
    bone = start - fall * np.clip((turn - 0.1) / (end - 0.1), 0, None) ** 1.08
    if not sternum:
        return bone
    t = smooth_step(turn, end - 0.05, np.pi)
    return np.where(turn < end, bone, (start - fall) + (sternum - start + fall) * t)


def rib_point(number: int, share: float, side: int) -> NDArray[np.float64]:
    """Middle of a rib at a share of its bony length, `side` +1 right, -1 left."""
    return _on_rib(number, share * RIBS[number - 1][0] * np.pi, side)


def _on_rib(number: int, turn: float, side: int) -> NDArray[np.float64]:
    z = float(rib_height(number, turn))
    return (cavity_wall(turn, z) + RIB_DEPTH_MM * _wall_normal(turn, z)) * np.array((side, 1, 1))


def _wall_normal(turn: float, z: float) -> NDArray[np.float64]:
    step = 1e-3
    around = cavity_wall(turn + step, z) - cavity_wall(turn - step, z)
    up = cavity_wall(turn, z + 1) - cavity_wall(turn, z - 1)
    normal = np.cross(around, up)
    normal *= np.sign(normal[0] * np.sin(turn) - normal[1] * np.cos(turn))
    return normal / np.linalg.norm(normal)


def _ribs(canvas: Canvas, frame: Frame) -> None:
    shell = _Shell.of(canvas, frame)
    bone = np.full(shell.z.shape, 99, np.float32)
    gristle = bone.copy()
    for number, (end_share, _, sternum) in enumerate(RIBS, start=1):
        end = np.float32(end_share * np.pi)
        height = shell.z - rib_height(number, shell.turn).astype(np.float32)
        section = (np.sqrt((height / 6.4) ** 2 + (shell.depth / 3.4) ** 2) - 1) * 4.0
        bone = np.minimum(bone, smooth_max(section, (shell.turn - end) * 95, 3))
        if sternum:
            gristle = np.minimum(gristle, np.maximum(section, (end - shell.turn) * 95))
    bone = np.maximum(bone, 24 - np.abs(shell.side))
    _paint_shell(canvas, shell, gristle, ("costal_cartilages", "costal_cartilages"), ((0, "cartilage"),))
    _paint_shell(canvas, shell, bone, ("rib_right", "rib_left"), ((0, "cortical"), (0.9, "marrow")))
    for side, label in ((1, "rib_right"), (-1, "rib_left")):
        _rib_necks(canvas, side, label)


def _paint_shell(
    canvas: Canvas, shell: _Shell, distance: Floats, labels: tuple[str, str], layers: tuple[tuple[float, str], ...]
) -> None:
    """Paint on the flat list of voxels near the chest wall; `layers` are insets and tissues, from outside in."""
    grain, hu, value = (field[shell.where] for field in (canvas.grain, canvas.hu, canvas.labels))
    for inset, tissue in layers:
        mean, texture = canvas.tissues[tissue]
        hu += canvas.cover(distance + inset) * (mean + texture * grain - hu)
    right, left = (np.uint8(canvas.label_values[name]) for name in labels)
    inside = canvas.cover(distance) > 0.5
    canvas.hu[shell.where] = hu
    canvas.labels[shell.where] = np.where(inside, np.where(shell.side > 0, right, left), value)


def _rib_necks(canvas: Canvas, side: int, label: str) -> None:
    """Head and neck, from the side of the vertebral body to where the arc begins."""
    for number in range(1, 13):
        level = LEVELS[number - 1]
        half_width, half_depth = _body_size(level)
        head = (side * (half_width + 1), level.center[1] - half_depth + 3, level.z + 6, 3.6)
        start = _on_rib(number, 0.32 if number > 2 else 0.6, side)
        tube = canvas.tube(segments(curve([head, (*start, 3.8)])))
        paint_bone(canvas, tube.block, tube.distance, label, core="marrow", shell="cortical", cortex_mm=1.3)


def _sternum(canvas: Canvas, frame: Frame) -> None:
    block = canvas.block((-46, -10, 196), (46, 110, 372))
    x, _, z = block.points
    depth = frame.cage[block.slices] - RIB_DEPTH_MM
    half = 15 + 9 * smooth_step(z, 312, 345) - 9 * smooth_step(-z, -232, -206) - 3.5 * np.exp(-(((z - 318) / 8) ** 2))
    plate = smooth_max(np.abs(x) - half, np.abs(depth) - 5.2, 4)
    plate = smooth_max(plate, np.abs(z - 279) - 73, 4)
    plate = np.where(frame.turn[block.slices] > 1.9, plate, 99)
    paint_bone(canvas, block, plate.astype(np.float32), "sternum", core="marrow")


def _shoulders(canvas: Canvas, frame: Frame) -> None:
    for side, word in ((1, "right"), (-1, "left")):
        collar = [
            (side * 20, 36, 352, 6.5),
            (side * 60, 40, 366, 5.5),
            (side * 105, 12, 381, 6),
            (side * 140, -8, 388, 7),
        ]
        tube = canvas.tube(segments(curve(collar)))
        paint_bone(canvas, tube.block, tube.distance, "clavicula_" + word, cortex_mm=1.6)
        block = canvas.block(*_box(side, (56, -110, 248), (150, 10, 396)))
        paint_bone(canvas, block, _shoulder_blade(block), "scapula_" + word)
        block = canvas.block(*_box(side, (118, -52, 366), (168, 2, 410)))
        paint_bone(canvas, block, ellipsoid(block.points, (side * 143, -25, 392), (21, 21, 23)), "humerus_" + word)


def _box(side: int, low: tuple, high: tuple) -> tuple[tuple, tuple]:
    """Box on either side, given for the right side."""
    ends = sorted((side * low[0], side * high[0]))
    return (ends[0], *low[1:]), (ends[1], *high[1:])


def blade_plane(points: Points) -> Points:
    """Coordinates of a shoulder blade: along it from its inner border outwards, off it away from the ribs, and z."""
    x, y, z = points
    u, v = np.abs(x) - 70, y + 99
    along, off = 0.76 * u + 0.65 * v, 0.65 * u - 0.76 * v
    return along, off + 0.0035 * (along - 38) ** 2 - 0.05 * (z - 310), z


def _shoulder_blade(block: Block) -> Floats:
    """Thin triangle over the posterior ribs, its spine, and the thick part with the glenoid."""
    along, off, z = local = blade_plane(block.points)
    sides = smooth_max(0.10 * (335 - z) - along, along - 26 - 0.52 * (z - 256), 4)
    plate = smooth_max(np.abs(off) - 2.2, smooth_max(sides, np.abs(z - 306) - 54, 4), 2)
    rim = _bar(local, (28, 0, 262), (72, -2, 352), 4.2)
    spine = _bar(local, (6, 3, 336), (66, 17, 372), 3.6)
    spine = smooth_min(spine, _bar(local, (8, 1, 336), (60, 6, 362), 2.6), 5)
    neck = ellipsoid(local, (74, -1, 362), (12, 9, 17))
    return smooth_min(smooth_min(plate, rim, 4), smooth_min(spine, neck, 5), 4)


def iliac_crest(turn: Floats) -> Floats:
    """Canonical z of the upper rim of the iliac wings."""
    return 33 - 34 * ((turn - 1.12) / 0.85) ** 2


def _iliac_wings(canvas: Canvas, frame: Frame) -> None:
    for side, word in ((1, "right"), (-1, "left")):
        block = canvas.block(*_box(side, (30, -115, -30), (160, 80, 50)))
        turn = frame.turn[block.slices]
        z = block.points[2]
        cavity, trunk = frame.cage[block.slices], frame.trunk[block.slices]
        middle = (cavity + trunk) / 2 - 1 - 7 * np.cos(turn)
        crest = iliac_crest(turn)
        thick = 2.6 + 3.0 * np.exp(-(((z - crest) / 9) ** 2))
        wing = smooth_max(np.abs(middle) - thick, z - crest, 4)
        paint_bone(canvas, block, wing.astype(np.float32), "hip_" + word, core="marrow")
