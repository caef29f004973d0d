"""Canonical names of structures, so that scans with labels of different origin can be compared.

Names follow TotalSegmentator.
"""

import re
from collections.abc import Iterable

SYNONYMS = {
    "arota": "aorta",  # AMOS spells it so
    "bladder": "urinary_bladder",
    "brain_stem": "brainstem",
    "cord": "spinal_cord",
    "gall_bladder": "gallbladder",
    "heart_total": "heart",
    "ivc": "inferior_vena_cava",
    "left_ad": "adrenal_gland_left",
    "myelum": "spinal_cord",
    "oesophagus": "esophagus",
    "portal_and_splenic_vein": "portal_vein_and_splenic_vein",
    "portal_vein_and_splenic": "portal_vein_and_splenic_vein",
    "postcava": "inferior_vena_cava",
    "prostate_or_uterus": "prostate_uterus",
    "right_ad": "adrenal_gland_right",
    "spinalcord": "spinal_cord",
    "trachea_main": "trachea",
    "vena_cava_inferior": "inferior_vena_cava",
}
"""Other names of a structure, without its side."""

_STEMS = {"adrenal": "adrenal_gland", "parotid": "parotid_gland", "suprarenal_gland": "adrenal_gland"}
_SIDES = {"l": "left", "lt": "left", "left": "left", "r": "right", "rt": "right", "right": "right"}

WHOLES = {
    "lung_left": ("lung_upper_lobe_left", "lung_lower_lobe_left"),
    "lung_right": ("lung_upper_lobe_right", "lung_middle_lobe_right", "lung_lower_lobe_right"),
    "heart": (
        "heart_myocardium",
        "heart_atrium_left",
        "heart_atrium_right",
        "heart_ventricle_left",
        "heart_ventricle_right",
    ),
}
"""Structures that one data set labels as a whole and another one in parts."""

# They have no place or look of their own, and no counterpart in another patient.
_LESION = re.compile(r"tumou?r|gtv|ctv|ptv|cancer|lesion|nodule|metasta|cyst", re.IGNORECASE)


def is_lesion(name: str) -> bool:
    """Whether a label is of a lesion or of a treatment target rather than of normal anatomy."""
    return bool(_LESION.search(name))


def canonical(name: str) -> str:
    """Return the canonical name of a structure: ``Lung R``, ``right lung`` and ``lung_right`` are the same."""
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]
    plain = "_".join(words)
    if plain in SYNONYMS:
        return SYNONYMS[plain]
    # A side at either end belongs at the end; inside (rib_left_7) it stays.
    side = ""
    if len(words) > 1 and words[-1] in _SIDES:
        side = _SIDES[words.pop()]
    elif len(words) > 1 and words[0] in _SIDES and words[0] not in ("l", "r"):
        side = _SIDES[words.pop(0)]
    stem = "_".join(words)
    stem = SYNONYMS.get(stem, _STEMS.get(stem, stem))
    return f"{stem}_{side}" if side else stem


def shared(first: Iterable[str], second: Iterable[str]) -> list[str]:
    """Structures that two scans have in common, sorted.

    A whole counts where at least one scan labels it as such and the other one has a part of it: lobes are compared
    with lobes, and with the lung of a scan without labeled lobes.
    """
    first, second = set(first), set(second)
    common = first & second
    for whole, parts in WHOLES.items():
        for mine, other in ((first, second), (second, first)):
            if whole in mine and whole not in other and other & set(parts):
                common.add(whole)
    return sorted(common)
