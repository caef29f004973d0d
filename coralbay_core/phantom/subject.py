"""Subjects: variation of size, posture, fat, contrast phase and noise."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from .warp import Ripple, Warp

FIELD_MM = (0.0, 392.0)
"""Canonical z of the lowest and highest slice: middle of L5 to above the lungs."""

# HU in the late arterial and in the portal venous phase, and grain (HU).
TISSUES: dict[str, tuple[float, float, float]] = {
    "air": (-1000, -1000, 0),
    "skin": (10, 10, 0),
    "fat": (-106, -104, 9),
    "inner_fat": (-98, -96, 14),
    "muscle": (54, 58, 12),
    "marbled_muscle": (42, 46, 24),
    "gland": (20, 24, 22),
    "cortical": (880, 880, 90),
    "shell": (480, 480, 100),
    "cancellous": (165, 178, 44),
    "marrow": (125, 135, 40),
    "cartilage": (105, 105, 22),
    "disc": (92, 94, 9),
    "epidural": (-50, -50, 10),
    "sac": (16, 16, 4),
    "cord": (38, 40, 4),
    "lung": (-868, -862, 20),
    "fissure": (-760, -760, 0),
    "airway": (-990, -990, 3),
    "airway_wall": (-30, -20, 10),
    "artery": (265, 178, 5),
    "vein": (125, 160, 7),
    "arm_vein": (170, 165, 9),
    "portal": (150, 180, 5),
    "iliac_vein": (80, 125, 8),
    "blood_left": (255, 172, 5),
    "blood_right": (190, 164, 7),
    "lung_vessel": (225, 168, 6),
    "myocardium": (118, 112, 8),
    "esophagus": (52, 58, 8),
    "liver": (92, 112, 6),
    "hepatic_vein": (92, 158, 5),
    "spleen": (138, 125, 5),
    "cortex": (205, 186, 10),
    "medulla": (105, 152, 11),
    "urine": (8, 14, 4),
    "bile": (8, 9, 3),
    "gut_wall": (92, 84, 8),
    "gut_fluid": (22, 24, 12),
    "chyme": (34, 36, 14),
    "stool": (42, 42, 0),
    "gas": (-960, -960, 4),
    "pancreas": (108, 96, 12),
    "adrenal": (72, 70, 6),
    "table": (-220, -220, 0),
    "foam": (-940, -940, 6),
}


@dataclass(frozen=True, eq=False)
class Subject:
    """One person on one scanner.

    Parameters
    ----------
    warp : Warp
        Canonical body to this one.
    fat : float
        Thickness of subcutaneous fat relative to the canonical body.
    female : bool
        Has breasts.
    phase : float
        Contrast phase: 0 late arterial, 1 portal venous.
    noise_hu : float
        Standard deviation of the noise in the middle of the body.
    tissues : dict of str to (float, float)
        HU and grain of each material.
    detail : int
        Seed of what has no counterpart in other subjects: vessel trees, bowel content, texture, noise.
    """

    warp: Warp
    fat: float
    female: bool
    phase: float
    noise_hu: float
    tissues: dict[str, tuple[float, float]]
    detail: int

    def rng(self, part: str) -> np.random.Generator:
        """Random generator of one part, independent of other parts."""
        return np.random.default_rng([self.detail, *part.encode()])


def make_subject(seed: int) -> Subject:
    """Draw a subject; equal seeds give equal subjects."""
    rng = np.random.default_rng([20260, seed])
    phase = float(rng.uniform(0.72, 1.0))
    return Subject(
        warp=_make_warp(rng),
        fat=float(rng.uniform(0.65, 1.5)),
        female=bool(rng.random() < 0.5),
        phase=phase,
        noise_hu=float(rng.uniform(8, 14)),
        tissues=_make_tissues(phase, rng),
        detail=int(rng.integers(2**31)),
    )


def _make_warp(rng: np.random.Generator) -> Warp:
    girth = rng.normal(1, 0.035)
    sizes = np.clip([girth * rng.normal(1, 0.02), girth * rng.normal(1, 0.03), rng.normal(1, 0.02)], 0.92, 1.07)
    turn = Rotation.from_euler("xyz", rng.normal(0, (1.2, 1.2, 2.0)), degrees=True).as_matrix()
    ripples = tuple(Ripple.random(axis, size, rng) for axis, size in ((2, 4.2), (0, 3.6), (1, 3.4)))
    # Scanners put the origin near the table's center and count z from wherever the topogram began.
    offset = np.array([rng.normal(0, 6), rng.normal(0, 10) - 20, rng.uniform(-600, 200)])
    return Warp(ripples, turn @ np.diag(sizes), offset)


def _make_tissues(phase: float, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    enhanced = rng.normal(1, 0.04)
    made = {}
    for name, (early, late, grain) in TISSUES.items():
        mean = early + phase * (late - early)
        # Blood and organs enhance together; bone, fat and air do not depend on the dose of contrast medium.
        gain = enhanced if 60 < mean < 400 else 1.0
        made[name] = (float(mean * gain), float(grain))
    # One in three has drunk contrast medium.
    if rng.random() < 0.33:
        made["gut_fluid"] = (float(rng.uniform(120, 260)), 20.0)
    return made
