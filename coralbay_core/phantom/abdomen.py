"""Organs and vessels below the diaphragm."""

import numpy as np

from .canvas import Block, Canvas, Tube
from .chest import descending_aorta
from .frame import Frame
from .shapes import (
    Floats,
    Knots,
    curve,
    ellipsoid,
    frame_along,
    grow_tree,
    segments,
    smooth_max,
    smooth_min,
    smooth_step,
    thicker,
    to_frame,
    wander,
)
from .subject import Subject

LOWER_CAVAL: Knots = (
    (20, 8, 22, 10), (21, 4, 60, 10.5), (21, 0, 100, 11), (22, -6, 140, 11.5), (24, -10, 180, 12), (28, 0, 216, 12),
    (30, 8, 236, 12),
)  # fmt: skip
PORTAL: Knots = ((12, 26, 56, 5), (12, 20, 90, 6), (12, 14, 112, 7.5), (24, 12, 132, 7.5), (36, 10, 148, 7))
SPLENIC: Knots = ((12, 14, 113, 5.5), (-24, 4, 126, 5), (-52, -16, 138, 4.6), (-74, -34, 152, 4))
# Tissue, structure and curves, in the order of painting.
VESSELS: tuple[tuple[str, str, tuple[Knots, ...]], ...] = (
    ("iliac_vein", "iliac_veins", (
        ((20, 8, 26, 8), (34, -2, 6, 7), (44, -4, -14, 7)), ((18, 8, 26, 8), (-12, -4, 6, 7), (-38, -4, -14, 7)))),
    ("artery", "iliac_arteries", (
        ((-4, 4, 34, 6.5), (20, 10, 12, 5.5), (40, 10, -12, 5.5)),
        ((-5, 4, 34, 6.5), (-26, 10, 12, 5.5), (-44, 10, -12, 5.5)))),
    ("vein", "renal_veins", (
        ((21, 2, 104, 5.5), (36, -14, 102, 5), (50, -30, 98, 4)),
        ((20, 4, 112, 5), (-8, 10, 112, 4.5), (-30, -10, 114, 5), (-50, -30, 112, 4)))),
    ("artery", "aortic_branches", (
        ((-8, -4, 106, 3.2), (28, -18, 102, 2.8), (48, -30, 100, 2.6)),
        ((-8, -4, 108, 3.2), (-30, -18, 112, 2.8), (-48, -30, 112, 2.6)),
        ((-8, 0, 136, 4), (-6, 16, 140, 3.6), (-26, 10, 140, 3)),
        ((-6, 16, 140, 3.4), (14, 22, 140, 3), (32, 16, 144, 2.6)))),
    ("vein", "inferior_vena_cava", (LOWER_CAVAL,)),
    ("portal", "portal_vein_and_splenic_vein", (PORTAL, SPLENIC)),
    ("artery", "aortic_branches", (((-7, 2, 122, 4.2), (-4, 18, 112, 4), (0, 26, 88, 3.6), (6, 32, 50, 3)),)),
)  # fmt: skip
STOMACH: Knots = (
    (-22, -18, 204, 10), (-46, -20, 190, 28), (-60, -6, 172, 33), (-62, 26, 150, 28), (-48, 50, 126, 22),
    (-22, 60, 112, 18), (6, 58, 108, 13), (24, 48, 110, 9),
)  # fmt: skip
DUODENUM: Knots = (
    (24, 48, 110, 9), (38, 34, 112, 11), (46, 18, 98, 11), (46, 8, 72, 11), (32, 6, 54, 11), (4, 14, 54, 10),
    (-22, 14, 66, 10), (-30, 24, 84, 10),
)  # fmt: skip
COLON: Knots = (
    (82, 22, -26, 20), (88, 20, 6, 25), (93, 12, 40, 23), (92, 16, 70, 22), (74, 46, 84, 20), (44, 62, 72, 19),
    (8, 66, 64, 18), (-34, 62, 76, 18), (-74, 46, 104, 19), (-98, 14, 136, 19), (-102, -16, 124, 17),
    (-102, -22, 92, 15), (-98, -14, 52, 14), (-92, 4, 16, 14), (-80, 22, -26, 15),
)  # fmt: skip
PANCREAS: Knots = (
    (34, 20, 84, 11), (28, 24, 102, 15), (12, 28, 116, 12), (-14, 22, 124, 11.5), (-40, 6, 132, 12),
    (-66, -18, 146, 9.5),
)  # fmt: skip
GALLBLADDER: Knots = ((44, 40, 126, 4), (50, 46, 110, 12), (56, 58, 94, 13.5), (58, 64, 86, 11))
ADRENALS: dict[str, tuple[Knots, ...]] = {
    "adrenal_gland_right": (((24, -22, 166, 4), (36, -38, 148, 3)), ((24, -22, 166, 4), (24, -40, 146, 2.8))),
    "adrenal_gland_left": (((-28, -14, 160, 4), (-42, -34, 144, 3)), ((-28, -14, 160, 4), (-28, -36, 142, 2.8))),
}
CRURA: tuple[Knots, ...] = (
    ((12, -22, 168, 5), (16, -16, 130, 6), (14, -10, 96, 4)),
    ((-20, -22, 168, 5), (-20, -18, 130, 5), (-16, -10, 100, 4)),
)
KIDNEYS = {"kidney_right": (1, (62.0, -38.0, 98.0)), "kidney_left": (-1, (-62.0, -40.0, 112.0))}
# Root, number of tips, tissue.
LIVER_TREES = (((36, 10, 148), 330, "portal"), ((25, -4, 204), 260, "hepatic_vein"))
# Root, box of the targets, number of tips.
MESENTERY = (((4, 28, 80), (-90, 8, -14), (85, 66, 110), 320), ((-36, 6, 132), (-100, -30, 110), (-10, 60, 200), 120))


def paint_abdomen(canvas: Canvas, frame: Frame, subject: Subject) -> None:
    """Paint the bowel, then solid organs over it, then vessels."""
    belly = _Belly(canvas, frame)
    _diaphragm(canvas, frame)
    _small_bowel(canvas, belly, subject)
    _colon(canvas, belly, subject)
    _duodenum(canvas, belly, subject)
    _pancreas(canvas, belly)
    _stomach(canvas, belly, subject)
    _spleen(canvas, belly)
    _liver(canvas, belly, subject)
    for name in KIDNEYS:
        _kidney(canvas, belly, name)
    _vessels(canvas)
    for name, limbs in ADRENALS.items():
        for limb in limbs:
            canvas.paint_tube(segments(curve(limb)), "adrenal", name)
    _gallbladder(canvas)
    _mesentery(canvas, belly, subject.rng("mesentery"))


class _Belly:
    """Space of the organs: inside the wall and below the diaphragm."""

    def __init__(self, canvas: Canvas, frame: Frame):
        self.canvas = canvas
        self.distance = smooth_max(frame.cavity + 2.0, frame.above_diaphragm + 3.0, 4)

    def fit(self, block: Block, distance: Floats, blend_mm: float = 6) -> Floats:
        """Deform an organ to fit into the space."""
        return smooth_max(distance, self.distance[block.slices], blend_mm)

    def share(self, block: Block) -> Floats:
        return self.canvas.cover(self.distance[block.slices])

    def paint(self, block: Block, distance: Floats, tissue: str, label: str, gap_mm: float = 1.6) -> None:
        """Paint an organ in a thin coat of fat, which separates it from its neighbors."""
        self.canvas.paint(block, distance - gap_mm, "inner_fat", "torso_fat", self.share(block))
        self.canvas.paint(block, distance, tissue, label)


def _diaphragm(canvas: Canvas, frame: Frame) -> None:
    block = canvas.block((-145, -105, 90), (145, 95, 245))
    sheet = np.maximum(np.abs(frame.above_diaphragm[block.slices] + 1.8) - 1.6, frame.cavity[block.slices])
    canvas.paint(block, sheet, "muscle", "skeletal_muscle")
    for knots in CRURA:
        canvas.paint_tube(segments(curve(knots)), "muscle", "skeletal_muscle")


def _liver_surface(block: Block) -> Floats:
    """Distance to the lower and left surfaces of the liver, before the liver is fitted under the diaphragm."""
    x, y, z = block.points
    edge = 62 + 74 * smooth_step(-x, -112, 28) + 44 * smooth_step(-x, -20, 72)
    lower = edge - z + 0.36 * np.clip(10 - y, -60, 60) * smooth_step(-x, -120, -40)
    behind = 6 - y + 0.8 * np.clip(-x, -40, 80) - 60 * smooth_step(x, -8, 26)
    left = smooth_max(-66 - x + 0.18 * (z - 180) + 0.004 * (y - 60) ** 2, behind * 0.8, 12)
    return smooth_max(lower * 0.8, left * 0.9, 16)


def _liver(canvas: Canvas, belly: _Belly, subject: Subject) -> None:
    block = canvas.block((-84, -96, 56), (138, 92, 236))
    x, y, z = block.points
    surface = belly.fit(block, _liver_surface(block), 8)
    kidney = ellipsoid(to_frame(block.points, KIDNEYS["kidney_right"][1], kidney_axes(1)), (0, 0, 0), (59, 29, 33))
    surface = smooth_max(surface, -kidney, 5)
    bend = x + 2 + 0.25 * (y - 60) + 3 * np.sin(z / 9)
    cleft = np.maximum(np.abs(bend) - 3 + 0.05 * (z - 110), np.maximum(56 - y, z - 140))
    surface = smooth_max(surface, -cleft, 3)
    belly.paint(block, surface, "liver", "liver")
    _liver_vessels(canvas, block, surface, subject.rng("liver"))


def _liver_vessels(canvas: Canvas, block: Block, surface: Floats, rng: np.random.Generator) -> None:
    share = canvas.share(block, surface + 2)
    inside = np.flatnonzero(surface < -5)
    points = np.column_stack([p.ravel()[inside] for p in block.points])
    for root, count, tissue in LIVER_TREES:
        targets = points[rng.choice(len(points), count)]
        tree = grow_tree(root, targets, tip_mm=0.72, root_mm=5.5, detour=0.6)
        canvas.paint_tube(wander(tree, rng), tissue, None, share)


def _spleen(canvas: Canvas, belly: _Belly) -> None:
    block = canvas.block((-138, -96, 96), (-30, 40, 226))
    axes = frame_along((0.15, -0.45, 0.88), (-1, 0, 0))
    shape = ellipsoid(block.points, (-95, -44, 160), (60, 50, 42), axes)
    hollow = ellipsoid(block.points, (-52, -8, 148), (38, 42, 60))
    shape = smooth_max(belly.fit(block, shape, 8), -hollow, 10)
    belly.paint(block, shape, "spleen", "spleen")


def kidney_axes(side: int) -> Floats:
    """Rows: towards the upper pole, across, towards the hilum."""
    return frame_along((-0.16 * side, -0.2, 1), (-side * 0.8, 0.6, 0))


def _kidney(canvas: Canvas, belly: _Belly, name: str) -> None:
    """Bean with cortex, pyramids between columns of cortex, and a sinus of fat round the pelvis."""
    side, center = KIDNEYS[name]
    reach = np.array((48, 48, 66))
    block = canvas.block(center - reach, center + reach)
    along, across, inwards = local = to_frame(block.points, center, kidney_axes(side))
    bean = ellipsoid(local, (0, 0, 0), (56, 26, 30))
    notch = ellipsoid(local, (0, 0, 33), (20, 9, 17))
    bean = smooth_max(bean, -notch, 9)
    belly.paint(block, bean, "cortex", name, gap_mm=3)
    angle = np.arctan2(along * 0.62, -inwards + 14)
    row = np.arctan2(across, 14 - inwards)
    pyramid = np.cos(7.5 * angle) * 2.4 - 1.0 + 0.8 * np.cos(4 * row)
    canvas.paint(block, np.maximum(bean + 6.5, -1.8 * pyramid - 1.0), "medulla", name)
    sinus = ellipsoid(local, (0, 0, 14), (22, 7, 13))
    sinus = smooth_min(sinus, notch, 6)
    canvas.paint(block, np.maximum(sinus, bean - 6), "inner_fat", "torso_fat")
    pelvis = smooth_min(ellipsoid(local, (0, 0, 18), (11, 4.5, 11)), ellipsoid(local, (11, 0, 9), (12, 3, 4)), 4)
    pelvis = smooth_min(pelvis, ellipsoid(local, (-12, 0, 9), (12, 3, 4)), 4)
    canvas.paint(block, pelvis, "urine", name)


def _wavy(path: Floats, rng: np.random.Generator, depth: float, every_mm: float, step_mm: float = 4.0) -> Floats:
    """Folds in the wall of a bowel."""
    phase = np.cumsum(np.full(len(path), 2 * np.pi * step_mm / every_mm) * rng.uniform(0.8, 1.25, len(path)))
    path = path.copy()
    path[:, 3] *= 1 - depth + depth * np.abs(np.sin(phase / 2)) ** 0.7 * 1.3
    return path


def _slow(count: int, rng: np.random.Generator, every: float) -> Floats:
    """Slowly varying random value along a bowel, of about unit size."""
    knots = rng.standard_normal(int(count / every) + 3)
    return np.interp(np.arange(count), np.arange(len(knots)) * every, knots)


def _bowel(
    canvas: Canvas, belly: _Belly, path: Floats, label: str, content: Floats, wall_mm: float, gas: Floats | None
) -> Tube:
    """Wall, content (HU by segment) and gas above a level (in radii, by segment)."""
    tube = canvas.tube(segments(path))
    distance = belly.fit(tube.block, tube.distance, 4)
    belly.paint(tube.block, distance, "gut_wall", label, 1.5)
    view = canvas.hu[tube.block.slices]
    lumen = canvas.cover(distance + wall_mm)
    view += lumen * (content.astype(np.float32)[tube.along] + 10 * canvas.grain[tube.block.slices] - view)
    if gas is not None:
        level = gas.astype(np.float32)[tube.along]
        canvas.paint(tube.block, np.maximum(distance + wall_mm, (level - tube.above) * 14), "gas", label)
    return tube


def _colon(canvas: Canvas, belly: _Belly, subject: Subject) -> None:
    rng = subject.rng("colon")
    path = _wavy(curve(COLON), rng, 0.2, 24)
    gas = 0.45 + 1.0 * _slow(len(path), rng, 9)
    tube = _bowel(canvas, belly, path, "colon", np.full(len(path), canvas.tissues["stool"][0]), 2.4, gas)
    # Stool is a sponge: bubbles of gas in a matrix, denser on the right.
    block = tube.block
    lumen = belly.fit(block, tube.distance, 4) + 3.5
    froth = (1.15 - canvas.grain[block.slices]) * 2.2
    canvas.paint(block, np.maximum(lumen, froth), "gas", None, np.full_like(froth, 0.7))


def _small_bowel(canvas: Canvas, belly: _Belly, subject: Subject) -> None:
    """Loops that fill the middle of the abdomen: parallel rows, bent by a random smooth map."""
    rng = subject.rng("jejunum")
    rows = []
    for k, (y, z) in enumerate((y, z) for z in np.arange(-16, 92, 20.5) for y in (18, 40, 62)):
        ends = np.linspace(-66, 62, 6) if k % 2 else np.linspace(62, -66, 6)
        rows += [(x, y + rng.normal(0, 3), z + 9 * np.sin(x / 13 + 2.4 * k) + rng.normal(0, 3), 0.0) for x in ends]
    knots = np.asarray(rows)
    knots[:, 3] = rng.uniform(8.5, 12.5, len(knots))
    bend = [rng.uniform(0.03, 0.065, 3) * rng.choice((-1, 1), 3) for _ in range(3)]
    shift = np.column_stack([10 * np.sin(knots[:, :3] @ b + rng.uniform(0, 6)) for b in bend])
    knots[:, :3] += shift
    path = _wavy(curve(knots), rng, 0.1, 14)
    content = canvas.tissues["gut_fluid"][0] * (1 + 0.5 * _slow(len(path), rng, 14))
    gas = 1.6 + 1.1 * _slow(len(path), rng, 10)
    _bowel(canvas, belly, path, "small_bowel", content, 2.2, gas)


def _duodenum(canvas: Canvas, belly: _Belly, subject: Subject) -> None:
    path = _wavy(curve(DUODENUM), subject.rng("duodenum"), 0.1, 12)
    _bowel(canvas, belly, path, "duodenum", np.full(len(path), 28.0), 2.6, None)


def _stomach(canvas: Canvas, belly: _Belly, subject: Subject) -> None:
    rng = subject.rng("stomach")
    path = curve(STOMACH)
    path[:, 3] *= rng.uniform(0.85, 1.05)
    tube = canvas.tube(segments(path))
    block = tube.block
    distance = belly.fit(block, tube.distance, 8)
    belly.paint(block, distance, "gut_wall", "stomach", 2.0)
    folds = 4.2 + 1.0 * canvas.grain[block.slices]
    lumen = distance + folds
    canvas.paint(block, lumen, "chyme", "stomach")
    # One air-fluid level for the whole stomach: level in the room, not in the body.
    up = canvas.world_axes[1][block.slices[1]].astype(np.float32)[None, :, None]
    surface = canvas.warp.from_canonical((-60, rng.uniform(28, 46), 150))[1]
    canvas.paint(block, np.maximum(lumen, np.float32(surface) - up), "gas", "stomach")


def _pancreas(canvas: Canvas, belly: _Belly) -> None:
    tube = canvas.tube(segments(curve(PANCREAS)))
    distance = belly.fit(tube.block, tube.distance) + 1.8 * canvas.grain[tube.block.slices]
    belly.paint(tube.block, distance, "pancreas", "pancreas", 2.0)


def _gallbladder(canvas: Canvas) -> None:
    path = curve(GALLBLADDER)
    canvas.paint_tube(segments(thicker(path, 1.3)), "gut_wall", "gallbladder")
    canvas.paint_tube(segments(path), "bile", "gallbladder")


def _vessels(canvas: Canvas) -> None:
    for tissue, label, paths in VESSELS:
        for knots in paths:
            canvas.paint_tube(segments(curve(knots)), tissue, label)
    canvas.paint_tube(segments(descending_aorta()[40:]), "artery", "aorta")


def _mesentery(canvas: Canvas, belly: _Belly, rng: np.random.Generator) -> None:
    """Small vessels that run through fat to the bowel."""
    fat = canvas.labels == canvas.label_values["torso_fat"]
    share = belly.share(canvas.whole) * fat
    for root, low, high, count in MESENTERY:
        targets = rng.uniform(low, high, (count, 3))
        tree = grow_tree(root, targets, tip_mm=0.6, root_mm=2.6, detour=0.55)
        canvas.paint_tube(wander(tree, rng), "portal", None, share)
