"""Tiny data sets in the layouts that eva reads, painted from phantoms."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel import orientations

from coralbay_core.phantom import Phantom, make_phantom
from coralbay_core.spatial import Grid, Volume

# BTCV's numbers of what the phantom has.
BTCV = {
    "spleen": 1, "kidney_right": 2, "kidney_left": 3, "gallbladder": 4, "esophagus": 5, "liver": 6, "stomach": 7,
    "aorta": 8, "inferior_vena_cava": 9, "portal_vein_and_splenic_vein": 10, "pancreas": 11,
    "adrenal_gland_right": 12, "adrenal_gland_left": 13,
}  # fmt: skip
SCANS = 30
"""eva's BTCV asks for as many."""

ORIENTATIONS = ("LAS", "RAS", "LPS", "PIR")
SPACING_MM = 3.0
SIDE = 32


def save(path: Path, data: np.ndarray, affine: np.ndarray, codes: str) -> None:
    """Write a (z, y, x) array of axis codes S, P, L as NIfTI with its axes in another order."""
    wanted = orientations.axcodes2ornt(codes)
    turn = orientations.ornt_transform(orientations.io_orientation(affine), wanted)
    nib.save(nib.Nifti1Image(data, affine).as_reoriented(turn), path)


def cube(phantom: Phantom, center_mm: np.ndarray, side: int = SIDE) -> tuple[Volume, np.ndarray]:
    """A cube of a phantom, with BTCV's labels."""
    low = np.maximum(np.rint(phantom.volume.grid.to_index(center_mm)).astype(int) - side // 2, 0)
    part = tuple(slice(a, a + side) for a in low)
    affine = phantom.volume.affine.copy()
    affine[:3, 3] = phantom.volume.grid.to_world(low)
    values = np.zeros(max(phantom.labels.names) + 1, np.uint8)
    for value, name in phantom.labels.names.items():
        values[value] = BTCV.get(name, 0)
    data = np.ascontiguousarray(phantom.volume.data[part])
    return Volume(data, Grid(data.shape, affine), name="cube"), values[phantom.labels.data[part]]


def write_btcv(root: Path, scans: int = SCANS) -> Path:
    """Cubes of the upper abdomen with labels in BTCV's layout, in orientations that take turns."""
    (root / "imagesTr").mkdir(parents=True)
    (root / "labelsTr").mkdir()
    phantoms = [make_phantom(seed, SPACING_MM) for seed in range(2)]
    rng = np.random.default_rng(0)
    for number in range(scans):
        phantom = phantoms[number % 2]
        volume, labels = cube(phantom, phantom.landmarks["liver_right_lobe"] + [-30, 0, 0] + rng.uniform(-20, 20, 3))
        codes = ORIENTATIONS[number % len(ORIENTATIONS)]
        save(root / "imagesTr" / f"img{number:04d}.nii.gz", volume.data, volume.affine, codes)
        save(root / "labelsTr" / f"label{number:04d}.nii.gz", labels, volume.affine, codes)
    return root


def write_organ_mnist(root: Path, items: int = 6) -> Path:
    """Small cubes around organs, and which of three it is, in the file that MedMNIST reads."""
    phantom = make_phantom(0, SPACING_MM)
    named = {name: value for value, name in phantom.labels.names.items()}
    gray, classes, rng = [], [], np.random.default_rng(0)
    for number in range(3 * items):
        name = ("liver", "spleen", "kidney_left")[number % 3]
        inside = np.argwhere(phantom.labels.data == named[name])
        center = phantom.volume.grid.to_world(inside[rng.integers(len(inside))])
        data = cube(phantom, center, 64)[0].data
        padded = np.pad(data, [(0, 64 - n) for n in data.shape], constant_values=-1024)
        gray.append(np.clip((padded + 160) / 400 * 255, 0, 255).astype(np.uint8))
        classes.append([number % 3])
    root.mkdir(parents=True)
    arrays = {}
    for index, split in enumerate(("train", "val", "test")):
        part = slice(index * items, (index + 1) * items)
        arrays |= {f"{split}_images": np.stack(gray[part]), f"{split}_labels": np.array(classes[part], np.uint8)}
    np.savez(root / "organmnist3d_64.npz", **arrays)
    return root


def write_luna25(root: Path, patients: int = 10) -> Path:
    """Random blocks in LUNA25's layout."""
    blocks = root / "luna25_nodule_blocks"
    for part in ("image", "metadata"):
        (blocks / part).mkdir(parents=True)
    lines, rng = ["PatientID,AnnotationID,label"], np.random.default_rng(0)
    for number in range(patients):
        name = f"{number}_1"
        np.save(blocks / "image" / f"{name}.npy", rng.integers(-1000, 400, (64, 128, 128)).astype(np.int16))
        about = {"origin": np.zeros(3), "transform": np.eye(3), "spacing": np.array([0.8, 0.8, 0.8])}
        np.save(blocks / "metadata" / f"{name}.npy", about, allow_pickle=True)
        lines.append(f"{number},{name},{number % 2}")
    (root / "LUNA25_Public_Training_Development_Data.csv").write_text("\n".join(lines))
    return root


def write_cc_ccii(root: Path, scans: int = 2) -> Path:
    """Random pictures in CC-CCII's layout."""
    data = root / "CC-CCII_public" / "data"
    data.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index, split in enumerate(("train", "valid")):
        lines = ["patient_id,scan_id,target"]
        for number in range(index * scans, (index + 1) * scans):
            np.save(data / f"p{number}-s1.npy", rng.integers(0, 256, (20 + number, 40, 40)).astype(np.uint8))
            lines.append(f"{number},1,{number % 3}")
        (root / f"CC_CCII_fold0_{split}.csv").write_text("\n".join(lines))
    return root


def scores(results: Path) -> dict[str, dict]:
    """Metrics of the validation set in eva's results file."""
    return json.loads(results.read_text())["metrics"]["val"][0]
