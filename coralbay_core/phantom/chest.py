"""Heart, great vessels, airways, esophagus and lungs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .canvas import Block, Canvas
from .frame import Frame, along_z, spine_at, spine_y
from .shapes import (
    Floats,
    Knots,
    Points,
    curve,
    ellipsoid,
    frame_along,
    grow_tree,
    segments,
    smooth_max,
    smooth_min,
    smooth_step,
    thicker,
    wander,
)
from .subject import Subject

# Long axis of the heart: from the base to the apex, which points left, forwards and down.
HEART_AXIS = frame_along((-0.68, 0.55, -0.48))
# Center and radii along that frame; the chambers that lie before it are given straight.
PERICARDIUM = ((-14, 23, 252), (65, 47, 49))
LEFT_VENTRICLE = ((-39, 22, 241), (51, 33, 33))
LEFT_CAVITY = ((-36, 21, 243), (42, 23, 23))
RIGHT_VENTRICLE = ((-20, 48, 237), (50, 33, 34))
ATRIA = {
    "heart_atrium_left": ("blood_left", (-4, -9, 268), (34, 22, 28)),
    "heart_atrium_right": ("blood_right", (24, 19, 250), (26, 28, 38)),
}
PAPILLARY_MUSCLES = ((-36, 15, 241), (-48, 31, 238))

AORTA_ROOT: Knots = (
    (-8, 14, 264, 13), (2, 18, 276, 16), (12, 20, 296, 16), (12, 18, 318, 15.5), (2, 8, 333, 15),
    (-12, -8, 337, 14), (-22, -26, 328, 13), (-24, -38, 312, 12.5),
)  # fmt: skip
ARCH_BRANCHES: tuple[Knots, ...] = (
    ((8, 12, 336, 7.5), (13, 12, 356, 6.5), (22, 8, 376, 5.5), (28, 2, 396, 4.5)),
    ((20, 8, 372, 5.5), (42, 0, 384, 5), (76, 4, 384, 4.5), (124, -8, 378, 4)),
    ((-4, 2, 342, 5), (-10, 4, 366, 4), (-16, 0, 396, 3.6)),
    ((-16, -12, 342, 6), (-22, -16, 364, 5.5), (-38, -12, 381, 5), (-76, 4, 384, 4.5), (-124, -8, 378, 4)),
)
PULMONARY_TRUNK: Knots = ((-22, 48, 270, 14), (-26, 38, 290, 14.5), (-24, 20, 304, 14), (-22, 6, 308, 13))
UPPER_CAVAL: Knots = ((30, 13, 350, 8.5), (32, 12, 325, 9.5), (31, 11, 300, 10.5), (30, 14, 274, 11))
UPPER_CAVAL_ROOTS: tuple[Knots, ...] = (
    ((30, 13, 350, 8), (38, 12, 372, 7.5), (56, 14, 382, 6.5), (122, 4, 374, 5)),
    ((29, 15, 346, 8), (4, 34, 352, 7.5), (-26, 34, 362, 7), (-56, 16, 382, 6.5), (-122, 4, 374, 5)),
)
TRACHEA: Knots = ((1, -4, 402, 8.6), (1, -10, 370, 8.6), (2, -18, 340, 8.6), (3, -23, 318, 9))
ESOPHAGUS: Knots = (
    (-2, -22, 402, 6), (-5, -34, 350, 6.5), (-5, -37, 310, 6.5), (-3, -37, 270, 7), (-8, -34, 236, 7.5),
    (-20, -22, 208, 8.5),
)  # fmt: skip


@dataclass(frozen=True)
class _Side:
    """Vessels and airways of one lung, and its lobes from top to bottom."""

    sign: int
    artery: Knots
    veins: tuple[Knots, Knots]
    bronchus: Knots
    lobes: tuple[str, ...]


SIDES = (
    _Side(
        1,
        ((-22, 6, 306, 12), (0, -1, 302, 11.5), (26, -4, 300, 11), (46, -10, 294, 9)),
        (((14, -12, 276, 7.5), (34, -14, 282, 6.5), (46, -8, 290, 5)),
         ((14, -14, 266, 7), (34, -26, 262, 6), (48, -34, 254, 5))),
        ((4, -23, 318, 7.5), (18, -27, 306, 6.8), (32, -28, 294, 6), (40, -34, 276, 4.5)),
        ("lung_upper_lobe_right", "lung_middle_lobe_right", "lung_lower_lobe_right"),
    ),
    _Side(
        -1,
        ((-22, 6, 308, 12), (-34, -8, 310, 11.5), (-48, -20, 304, 9)),
        (((-26, -10, 278, 7), (-40, -10, 286, 6), (-50, -4, 292, 5)),
         ((-26, -16, 268, 7), (-42, -30, 262, 6), (-52, -38, 254, 5))),
        ((1, -23, 318, 7.2), (-18, -28, 304, 6.2), (-38, -30, 294, 5.6), (-46, -38, 276, 4.3)),
        ("lung_upper_lobe_left", "lung_lower_lobe_left"),
    ),
)  # fmt: skip
# Tissue, structure and curves, in the order of painting.
VESSELS: tuple[tuple[str, str, tuple[Knots, ...]], ...] = (
    ("blood_left", "pulmonary_vein", SIDES[0].veins + SIDES[1].veins),
    ("blood_right", "pulmonary_artery", (PULMONARY_TRUNK, SIDES[0].artery, SIDES[1].artery)),
    ("arm_vein", "brachiocephalic_vein", UPPER_CAVAL_ROOTS),
    ("arm_vein", "superior_vena_cava", (UPPER_CAVAL,)),
    ("artery", "aortic_branches", ARCH_BRANCHES),
)
# Rows: z, middle, half width, front, back of the space between the lungs.
MEDIASTINUM = (
    (200, -2, 13, 20, -62), (240, -6, 12, 24, -60), (270, -4, 17, 24, -52), (300, 1, 33, 30, -44),
    (325, 1, 32, 32, -42), (345, 1, 32, 40, -40), (365, 0, 30, 40, -40), (390, 0, 34, 40, -40),
)  # fmt: skip
# Rows: z, x, distance before the middle of the vertebral bodies, radius.
DESCENDING = (
    (280, -25, 14, 12.2), (240, -22, 18, 12), (200, -16, 24, 11.6), (160, -9, 29, 11), (120, -8, 30, 10),
    (80, -7, 30, 9.2), (50, -5, 29, 8.8), (32, -4, 29, 8.6),
)  # fmt: skip
AZYGOS = ((130, 7, 27, 3.4), (180, 7, 27, 3.4), (240, 7, 23, 3.4), (300, 7, 18, 3.4), (318, 7, 20, 3.4))


def _before_spine(rows: Knots) -> list[tuple[float, float, float, float]]:
    return [(x, float(spine_y(z)[0]) + ahead, z, radius) for z, x, ahead, radius in rows]


def descending_aorta() -> NDArray[np.float64]:
    """From the arch to the bifurcation at L4, just left of and before the spine."""
    return curve([AORTA_ROOT[-1], *_before_spine(DESCENDING)])


def paint_chest(canvas: Canvas, frame: Frame, subject: Subject) -> None:
    """Paint the lungs, then the organs between them."""
    lung = _lung_space(canvas, frame)
    _paint_lungs(canvas, lung)
    _paint_heart(canvas)
    _paint_vessels(canvas)
    _paint_gullet(canvas)
    _paint_airways(canvas)
    _lung_trees(canvas, lung, subject.rng("lung"))


def _mediastinum(block: Block) -> Floats:
    """Distance to the space between the lungs: heart, great vessels and spine, joined by a web of fat."""
    x, y, z = block.points
    heart = ellipsoid(block.points, *PERICARDIUM, HEART_AXIS) - 2.5
    heart = smooth_min(heart, ellipsoid(block.points, (25, 18, 252), (28, 30, 40)) - 1, 12)
    apron = ellipsoid(block.points, (-10, 50, 220), (50, 28, 13))
    middle, half, front, back = along_z(MEDIASTINUM, z)
    u, v = (x - middle) / half, (y - (front + back) / 2) / ((front - back) / 2)
    core = (np.sqrt(np.sqrt(u**4 + v**4 + u * u * v * v)) - 1) * half
    core = np.maximum(core, 190 - z)
    web = np.maximum(np.abs(x - 4) - 2 - 16 * smooth_step(z, 325, 375), -y)
    bone = np.sqrt(x * x + (y - spine_at(z) + 4) ** 2) - 23
    space = smooth_min(smooth_min(heart, apron, 12), smooth_min(core, web, 10), 14)
    return smooth_min(space, bone, 10)


def _lung_space(canvas: Canvas, frame: Frame) -> tuple[Block, Floats]:
    block = canvas.block((-140, -104, 96), (140, 90, 392))
    cavity, dome = frame.cavity[block.slices], frame.above_diaphragm[block.slices]
    space = smooth_max(cavity + 0.5, 0.5 - dome, 5)
    return block, smooth_max(space, -_mediastinum(block), 5).astype(np.float32)


def oblique_fissure(points: Points, side: int) -> Floats:
    """Height above the fissure between the lower lobe and the others."""
    x, y, z = points
    bulge = 5 * np.sin((np.abs(x) - 40) / 26)
    return (z - 268 + 0.78 * y + bulge + (4 if side < 0 else 0)) / 1.27


def horizontal_fissure(points: Points) -> Floats:
    """Height above the fissure over the middle lobe, right side only."""
    _, y, z = points
    return z - 270 - 0.05 * y


def _paint_lungs(canvas: Canvas, lung: tuple[Block, Floats]) -> None:
    block, space = lung
    x, y, _ = block.points
    view = canvas.labels[block.slices]
    for side in SIDES:
        upper, *middle, lower = side.lobes
        half = np.where(side.sign * x > 0, space, 99)
        canvas.paint(block, half, "lung", upper)
        inside = view == canvas.label_values[upper]
        oblique = oblique_fissure(block.points, side.sign)
        for lobe in middle:
            level = horizontal_fissure(block.points)
            view[inside & (level < 0)] = canvas.label_values[lobe]
            canvas.paint(block, np.maximum(np.maximum(np.abs(level) - 0.25, half + 1), -oblique), "fissure")
        view[inside & (oblique < 0)] = canvas.label_values[lower]
        canvas.paint(block, np.maximum(np.abs(oblique) - 0.3, half + 1), "fissure")
    # Blood and tissue sink: in a patient on the back the dependent lung is denser.
    canvas.hu[block.slices] += canvas.cover(space + 1) * (-0.38 * (y + 10)).astype(np.float32)


def _paint_heart(canvas: Canvas) -> None:
    block = canvas.block((-84, -46, 196), (68, 86, 312))
    points = block.points
    for name, (tissue, center, radii) in ATRIA.items():
        atrium = ellipsoid(points, center, radii)
        canvas.paint(block, atrium - 1.5, "myocardium", "heart_myocardium")
        canvas.paint(block, atrium, tissue, name)
    left = ellipsoid(points, *LEFT_VENTRICLE, HEART_AXIS)
    sac = ellipsoid(points, *PERICARDIUM, HEART_AXIS) - 1.5
    right = smooth_max(ellipsoid(points, *RIGHT_VENTRICLE, HEART_AXIS), -left - 0.5, 5)
    right = smooth_max(right, sac + 5, 4)
    canvas.paint(block, right - 3, "myocardium", "heart_myocardium")
    canvas.paint(block, right, "blood_right", "heart_ventricle_right")
    canvas.paint(block, left, "myocardium", "heart_myocardium")
    # The inner wall is rough with muscle strands.
    cavity = ellipsoid(points, *LEFT_CAVITY, HEART_AXIS) + 1.6 * canvas.grain[block.slices]
    canvas.paint(block, cavity, "blood_left", "heart_ventricle_left")
    for center in PAPILLARY_MUSCLES:
        muscle = ellipsoid(points, center, (12, 3.6, 3.6), HEART_AXIS)
        canvas.paint(block, muscle, "myocardium", "heart_myocardium")


def _paint_vessels(canvas: Canvas) -> None:
    rise = _before_spine(AZYGOS)
    arch = [rise[-1], (14, -24, 330, 4), (26, -6, 330, 4.4), (30, 8, 327, 4.5)]
    for route in (curve(rise), curve(arch)):
        canvas.paint_tube(segments(route), "vein", "azygos_vein")
    for tissue, label, paths in VESSELS:
        for knots in paths:
            canvas.paint_tube(segments(curve(knots)), tissue, label)
    for route in (curve(AORTA_ROOT), descending_aorta()):
        canvas.paint_tube(segments(thicker(route, 1.2)), "muscle", "aorta")
        canvas.paint_tube(segments(route), "artery", "aorta")


def _paint_gullet(canvas: Canvas) -> None:
    path = curve(ESOPHAGUS)
    canvas.paint_tube(segments(path), "esophagus", "esophagus")
    canvas.paint_tube(segments(thicker(path[8:16] + np.array((0, 1.5, 0, 0)), -4.6)), "gas")


def _paint_airways(canvas: Canvas) -> None:
    paths = [curve(knots) for knots in (TRACHEA, *(side.bronchus for side in SIDES))]
    for path in paths:
        canvas.paint_tube(segments(thicker(path, 1.4)), "airway_wall", "trachea")
    for path in paths:
        canvas.paint_tube(segments(path), "airway", "trachea")


def _lung_trees(canvas: Canvas, lung: tuple[Block, Floats], rng: np.random.Generator) -> None:
    """Arteries, veins and airways on each side."""
    block, space = lung
    lobes = [canvas.label_values[lobe] for side in SIDES for lobe in side.lobes]
    share = canvas.share(block, space + 0.5) * np.isin(canvas.labels, lobes)
    inside = np.flatnonzero(space < -3)
    points = np.column_stack([p.ravel()[inside] for p in block.points])
    for side in SIDES:
        here = points[side.sign * points[:, 0] > 0]
        # Each vein drains the part of the lung on its own side of the fissure.
        above = oblique_fissure((here[:, 0], here[:, 1], here[:, 2]), side.sign) > 0
        parts = ((side.artery, here, 900), (side.veins[0], here[above], 420), (side.veins[1], here[~above], 380))
        for knots, part, count in parts:
            *root, radius = knots[-1]
            targets = part[rng.choice(len(part), count)]
            tree = grow_tree(root, targets, tip_mm=0.68, root_mm=0.9 * radius, detour=0.5)
            canvas.paint_tube(wander(tree, rng), "lung_vessel", None, share)
        targets = here[rng.choice(len(here), 70)]
        tree = grow_tree(side.bronchus[-1][:3], targets, tip_mm=0.75, root_mm=3.4, detour=0.6)
        canvas.paint_tube(thicker(tree, 0.9), "airway_wall", None, share * np.float32(0.5))
        canvas.paint_tube(thicker(tree, -0.2), "airway", None, share)
