"""Names of the structures of the label map, and of corresponding landmarks."""

import numpy as np
from numpy.typing import NDArray

from .abdomen import COLON, GALLBLADDER, KIDNEYS, LOWER_CAVAL, PANCREAS, PORTAL, STOMACH, kidney_axes
from .chest import (
    AORTA_ROOT,
    ATRIA,
    ESOPHAGUS,
    HEART_AXIS,
    LEFT_VENTRICLE,
    PULMONARY_TRUNK,
    TRACHEA,
    UPPER_CAVAL,
    descending_aorta,
)
from .frame import cavity_wall
from .skeleton import LEVELS, rib_point

_SIDES = ((1, "right"), (-1, "left"))

# Names follow TotalSegmentator where it has one.
_SINGLE = (
    "skin", "subcutaneous_fat", "torso_fat", "skeletal_muscle", "intervertebral_discs", "spinal_cord",
    "costal_cartilages", "sternum", "lung_upper_lobe_left", "lung_lower_lobe_left", "lung_upper_lobe_right",
    "lung_middle_lobe_right", "lung_lower_lobe_right", "trachea", "esophagus", "heart_myocardium", "heart_atrium_left",
    "heart_ventricle_left", "heart_atrium_right", "heart_ventricle_right", "aorta", "aortic_branches",
    "pulmonary_artery", "pulmonary_vein", "superior_vena_cava", "brachiocephalic_vein", "azygos_vein",
    "inferior_vena_cava", "portal_vein_and_splenic_vein", "renal_veins", "iliac_arteries", "iliac_veins", "liver",
    "gallbladder", "spleen", "pancreas", "stomach", "duodenum", "small_bowel", "colon",
)  # fmt: skip
_PAIRED = ("kidney", "adrenal_gland", "autochthon", "iliopsoas", "rib", "clavicula", "scapula", "humerus", "hip")

LABELS: dict[str, int] = {
    name: value
    for value, name in enumerate(
        (
            *_SINGLE,
            *(f"{name}_{side}" for name in _PAIRED for side in ("left", "right")),
            *("vertebrae_" + level.name for level in LEVELS),
        ),
        start=1,
    )
}
"""Value of each structure in the label map; 0 is outside the body."""

Landmark = tuple[str, NDArray[np.float64]]


def landmarks() -> dict[str, Landmark]:
    """Structure and canonical position (right, anterior, superior, mm) of each named point."""
    points = _midline() | _vessels() | _organs()
    for side, word in _SIDES:
        points |= _paired(side, word)
    for level in LEVELS[:-1]:
        points[level.name] = ("vertebrae_" + level.name, level.center)
    return {name: (structure, np.asarray(point, float)) for name, (structure, point) in points.items()}


def _midline() -> dict:
    def breastbone(z: float) -> NDArray[np.float64]:
        return cavity_wall(np.pi, z) + np.array((0, 5.5, 0))

    return {
        "manubrium": ("sternum", breastbone(334)),
        "sternum_body": ("sternum", breastbone(270)),
        "trachea_upper": ("trachea", TRACHEA[1][:3]),
        "carina": ("trachea", TRACHEA[-1][:3]),
        "esophagus_middle": ("esophagus", ESOPHAGUS[3][:3]),
    }


def _vessels() -> dict:
    descending = descending_aorta()[:, :3]
    return {
        "aorta_ascending": ("aorta", AORTA_ROOT[2][:3]),
        "aortic_arch": ("aorta", AORTA_ROOT[5][:3]),
        "aorta_descending": ("aorta", descending[len(descending) // 4]),
        "aorta_abdominal": ("aorta", descending[-15]),
        "pulmonary_trunk": ("pulmonary_artery", PULMONARY_TRUNK[1][:3]),
        "superior_vena_cava": ("superior_vena_cava", UPPER_CAVAL[1][:3]),
        "inferior_vena_cava_renal": ("inferior_vena_cava", LOWER_CAVAL[2][:3]),
        "inferior_vena_cava_hepatic": ("inferior_vena_cava", LOWER_CAVAL[4][:3]),
        "portal_confluence": ("portal_vein_and_splenic_vein", PORTAL[2][:3]),
    }


def _organs() -> dict:
    apex = np.asarray(LEFT_VENTRICLE[0]) + 46 * HEART_AXIS[0]
    return {
        "heart_apex": ("heart_myocardium", apex),
        "ventricle_left": ("heart_ventricle_left", LEFT_VENTRICLE[0] + 4 * HEART_AXIS[0]),
        "atrium_left": ("heart_atrium_left", ATRIA["heart_atrium_left"][1]),
        "atrium_right": ("heart_atrium_right", (36, 14, 242)),
        "liver_dome": ("liver", (62, 8, 208)),
        "liver_right_lobe": ("liver", (92, -10, 140)),
        "liver_left_lobe": ("liver", (-24, 56, 180)),
        "liver_tip": ("liver", (102, 20, 84)),
        "gallbladder": ("gallbladder", GALLBLADDER[2][:3]),
        "spleen": ("spleen", (-104, -22, 138)),
        "stomach_fundus": ("stomach", STOMACH[2][:3]),
        "stomach_body": ("stomach", STOMACH[3][:3]),
        "pancreas_body": ("pancreas", PANCREAS[3][:3]),
        "colon_ascending": ("colon", COLON[2][:3]),
        "colon_flexure": ("colon", COLON[9][:3]),
    }


def _paired(side: int, word: str) -> dict:
    kidney = "kidney_" + word
    axes, center = kidney_axes(side), np.asarray(KIDNEYS[kidney][1])
    points = {
        kidney: (kidney, center - 14 * axes[2]),
        kidney + "_upper_pole": (kidney, center + 46 * axes[0]),
        kidney + "_lower_pole": (kidney, center - 46 * axes[0]),
        "lung_apex_" + word: (f"lung_upper_lobe_{word}", (side * 38, -32, 370)),
        "lung_base_" + word: (f"lung_lower_lobe_{word}", (side * 86, -58, 228)),
        "psoas_" + word: ("iliopsoas_" + word, (side * 37, -30, 50)),
        "erector_spinae_" + word: ("autochthon_" + word, (side * 32, -72, 89)),
    }
    for number in (3, 6, 9):
        points[f"rib_{number}_{word}"] = ("rib_" + word, rib_point(number, 0.6, side))
    return points
