"""Tiny data sets in the layouts that eva reads, painted from phantoms."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel import orientations

from coralbay_core.phantom import make_phantom

# BTCV's numbers of what the phantom has.
BTCV = {
    "spleen": 1, "kidney_right": 2, "kidney_left": 3, "gallbladder": 4, "esophagus": 5, "liver": 6, "stomach": 7,
    "aorta": 8, "inferior_vena_cava": 9, "portal_vein_and_splenic_vein": 10, "pancreas": 11,
    "adrenal_gland_right": 12, "adrenal_gland_left": 13,
}  # fmt: skip
SCANS = 30
"""eva's BTCV asks for as many."""

ORIENTATIONS = ("LAS", "RAS", "LPS", "PIR")


def save(path: Path, data: np.ndarray, affine: np.ndarray, codes: str) -> None:
    """Write an (z, y, x) array of axis codes S, P, L as NIfTI with its axes in another order."""
    image = nib.Nifti1Image(data, affine)
    wanted = orientations.ornt_transform(
        orientations.io_orientation(affine), orientations.axcodes2ornt(codes)
    )
    nib.save(image.as_reoriented(wanted), path)


def write_btcv(root: Path) -> Path:
    """Thirty scans with labels in BTCV's layout, in orientations that take turns."""
    images, labels = root / "imagesTr", root / "labelsTr"
    images.mkdir(parents=True)
    labels.mkdir()
    number = 0
    for seed in range(3):
        phantom = make_phantom(seed, 4.5)
        named = {name: value for value, name in phantom.labels.names.items()}
        mapped = np.zeros(max(phantom.labels.names) + 1, np.uint8)
        for name, value in BTCV.items():
            if name in named:
                mapped[named[name]] = value
        middle = int(phantom.volume.grid.to_index(phantom.landmarks["liver_right_lobe"])[0])
        for shift in range(SCANS // 3):
            low = max(0, middle - 14 + shift % 4)
            part = slice(low, low + 24)
            affine = phantom.volume.affine.copy()
            affine[:3, 3] = phantom.volume.grid.to_world((low, 0, 0))
            codes = ORIENTATIONS[number % len(ORIENTATIONS)]
            save(images / f"img{number:04d}.nii.gz", phantom.volume.data[part].astype(np.int16), affine, codes)
            save(labels / f"label{number:04d}.nii.gz", mapped[phantom.labels.data[part]], affine, codes)
            number += 1
    return root
