"""Skin, fat and muscles around the cavity."""

import numpy as np

from .canvas import Canvas
from .frame import Frame, along_z, spine_at
from .shapes import curve, ellipsoid, segments, smooth_max, smooth_step
from .skeleton import blade_plane, iliac_crest

# Rows: z, distance from the midline, depth behind the vertebral body's middle, half width, half depth.
ERECTOR = (
    (-20, 34, 52, 30, 22), (40, 36, 48, 33, 24), (90, 36, 44, 33, 23), (140, 33, 42, 29, 18), (190, 29, 42, 24, 14),
    (260, 26, 40, 21, 12), (330, 26, 38, 22, 12), (400, 26, 32, 22, 14),
)  # fmt: skip

PSOAS = ((25, -42, 126, 7), (31, -36, 90, 11), (37, -30, 50, 14.5), (45, -20, 8, 17.5), (52, -8, -24, 19))


def paint_wall(canvas: Canvas, frame: Frame) -> None:
    """Paint everything between skin and cavity except bone, and fill the cavity with fat."""
    whole = canvas.whole
    canvas.paint(whole, frame.skin, "skin", "skin")
    canvas.paint(whole, frame.skin + 2.2, "fat", "subcutaneous_fat")
    _gland(canvas, frame)
    canvas.paint(whole, frame.trunk, "inner_fat", "torso_fat")
    _chest_wall(canvas, frame)
    _belly_wall(canvas, frame)
    _pelvic_wall(canvas, frame)
    canvas.paint(whole, frame.cavity, "inner_fat", "torso_fat")
    canvas.paint(whole, np.maximum(frame.back, frame.cage - 6), "marbled_muscle", "skeletal_muscle")
    _back(canvas)
    _psoas(canvas)


def _gland(canvas: Canvas, frame: Frame) -> None:
    """Strands of glandular tissue in the fat of a breast."""
    block = canvas.block((-130, 60, 190), (130, 150, 310))
    lump = frame.breast[block.slices] + 13 + 9 * canvas.grain[block.slices]
    canvas.paint(block, np.maximum(lump, frame.trunk[block.slices] * -1 + 4), "gland")


def _chest_wall(canvas: Canvas, frame: Frame) -> None:
    """Intercostal layer, then pectorals, latissimus with trapezius, and the muscles of the shoulder blade."""
    x, _, z = canvas.points
    cavity, trunk, turn = frame.cage, frame.trunk, frame.turn
    layer = np.maximum(np.abs(cavity - 5) - 4.5, 96 - z)
    canvas.paint(canvas.whole, layer, "marbled_muscle", "skeletal_muscle")
    front = smooth_step(turn, 1.75, 2.1) * smooth_step(z, 232, 285)
    back = smooth_step(-turn, -1.85, -1.3) * smooth_step(z, 150, 235)
    flank = smooth_step(-z, -300, -210) * 5
    thick = 15 * front + 9.5 * back + flank
    sheet = np.maximum(smooth_max(-trunk - thick, trunk + 0.5, 2), 13 - cavity)
    canvas.paint(canvas.whole, np.maximum(sheet, 2.5 - np.abs(x)), "muscle", "skeletal_muscle")
    _shoulder_muscles(canvas, frame)
    for side in (1, -1):
        scalene = [(side * 24, -22, 408, 11), (side * 40, -16, 384, 10), (side * 54, -2, 364, 6)]
        sternal = [(side * 34, 22, 410, 8), (side * 22, 34, 380, 7), (side * 14, 36, 362, 5)]
        for knots in (scalene, sternal):
            canvas.paint_tube(segments(curve(knots)), "muscle", "skeletal_muscle")


def _shoulder_muscles(canvas: Canvas, frame: Frame) -> None:
    """On both faces of the shoulder blade, at the back of the armpit, over the shoulder."""
    for side in (1, -1):
        ends = sorted((side * 45, side * 175))
        block = canvas.block((ends[0], -115, 240), (ends[1], 30, 410))
        along, off, z = blade_plane(block.points)
        reach = 52 + 0.32 * (z - 270)
        lens = np.abs(off + 1) - 14 * np.sqrt(np.clip(1 - ((along - reach / 2) / (0.62 * reach)) ** 2, 0, 1))
        lens = smooth_max(lens, 250 - z, 8)
        cord = ellipsoid(block.points, (side * 133, -34, 300), (15, 21, 66))
        cap = ellipsoid(block.points, (side * 142, -26, 384), (24, 34, 36))
        for shape in (lens, cord, cap):
            shape = smooth_max(shape, frame.trunk[block.slices] + 1, 3)
            shape = np.maximum(shape, 12 - frame.cage[block.slices])
            canvas.paint(block, shape, "muscle", "skeletal_muscle")
        slope = [(side * 30, -74, 404, 18), (side * 70, -70, 386, 17), (side * 112, -56, 374, 15)]
        canvas.paint_tube(segments(curve(slope)), "muscle", "skeletal_muscle")


def _belly_wall(canvas: Canvas, frame: Frame) -> None:
    """Three flat muscles at the flank with fat between them, two straight ones in front, none in the midline."""
    x, _, z = canvas.points
    depth = np.clip(frame.cage / np.maximum(frame.cage - frame.trunk, 1), -1, 2)
    top = 118 + 48 * smooth_step(frame.turn, 1.2, 2.4) + 34 * smooth_step(frame.turn, 2.4, 3.1)
    inside = np.maximum(np.maximum(frame.trunk, 2.5 - frame.cage), z - top)
    flank = np.maximum(np.maximum(inside, 66 - np.abs(x)), (0.9 - frame.turn) * 70)
    straight = smooth_max(np.maximum(inside, np.abs(x) - 64), 1.2 - np.abs(x), 3)
    straight = smooth_max(straight, 0.13 * np.abs(np.abs(x) - 34) - 1 + frame.trunk, 3)
    straight = np.maximum(straight, (2.2 - frame.turn) * 70)
    canvas.paint(canvas.whole, flank, "muscle", "skeletal_muscle")
    for plane in (0.36, 0.66):
        seam = np.abs(depth - plane) * (frame.cage - frame.trunk) - 0.5
        canvas.paint(canvas.whole, np.maximum(seam, flank + 4), "inner_fat")
    canvas.paint(canvas.whole, straight, "muscle", "skeletal_muscle")


def _pelvic_wall(canvas: Canvas, frame: Frame) -> None:
    """Gluteal muscle outside, iliacus inside the iliac wing."""
    block = canvas.block((-170, -120, -30), (170, 80, 45))
    z = block.points[2]
    turn, cavity, trunk = (f[block.slices] for f in (frame.turn, frame.cage, frame.trunk))
    crest = iliac_crest(turn)
    wing = smooth_max(np.maximum(trunk + 2, 3 - cavity), z - crest + 4, 6)
    canvas.paint(block, wing, "muscle", "skeletal_muscle")


def _back(canvas: Canvas) -> None:
    """Erector spinae next to the spinous processes, quadratus lumborum at the lumbar spine."""
    block = canvas.block((-75, -125, -30), (75, 0, 410))
    x, y, z = block.points
    aside, behind, half, deep = along_z(ERECTOR, z)
    middle = spine_at(z)
    u, v = (np.abs(x) - aside) / half, (y - middle + behind) / deep
    distance = (np.sqrt(np.sqrt(u**4 + 1.2 * u * u * v * v + v**4)) - 1) * np.minimum(half, deep)
    distance = np.maximum(distance, 2.5 - np.abs(x))
    for name, other in (("autochthon_right", x < 0), ("autochthon_left", x > 0)):
        canvas.paint(block, np.where(other, 99, distance), "marbled_muscle", name)
    seam = np.abs(u + 0.12 * np.sin(0.05 * z) - 0.05) * half - 0.5
    canvas.paint(block, np.maximum(seam, distance + 3), "inner_fat")
    for side in (1, -1):
        for shift, slim in ((-7, 1), (7, 0)):
            knots = [
                (side * 50, -60, 122, 5),
                (side * (58 + shift), -59, 80, 10 - slim),
                (side * (66 + shift), -59, 30, 11 - slim),
            ]
            canvas.paint_tube(segments(curve(knots)), "muscle", "skeletal_muscle")


def _psoas(canvas: Canvas) -> None:
    """From the side of L1 down and outwards, thicker on the way."""
    for side, label in ((1, "iliopsoas_right"), (-1, "iliopsoas_left")):
        for shift in (-0.35, 0.35):
            rows = [(side * (x + 0.6 * shift * r), y + 0.8 * shift * r, z, r) for x, y, z, r in PSOAS]
            canvas.paint_tube(segments(curve(rows)), "muscle", label)


def paint_table(canvas: Canvas, frame: Frame) -> None:
    """Paint a hollow shell below the back, the patient table, which is not labeled."""
    x, y = canvas.world_axes[2], canvas.world_axes[1]
    inside = np.nonzero((frame.skin < 0).any(0))
    back, middle = y[inside[0]].min(), (x[inside[1]].min() + x[inside[1]].max()) / 2
    surface = back - 1 + (x - middle) ** 2 / 1500
    depth = (surface[None, :] - y[:, None]).astype(np.float32)
    aside = (np.abs(x - middle) - 195)[None, :]
    for thick, tissue in ((12.0, "table"), (9.0, "foam")):
        slab = np.maximum(np.abs(depth - 6) - thick / 2, aside).astype(np.float32)
        canvas.paint(canvas.whole, np.broadcast_to(slab, canvas.grid.shape), tissue)
