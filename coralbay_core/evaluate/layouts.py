"""Folder layouts of public datasets."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError, MissingFileError

# The numbering of "Multi-Atlas Labeling Beyond the Cranial Vault" (abdomen), and of AMOS 2022.
BTCV = (
    "spleen", "kidney_right", "kidney_left", "gallbladder", "esophagus", "liver", "stomach", "aorta",
    "inferior_vena_cava", "portal_vein_and_splenic_vein", "pancreas", "adrenal_gland_right", "adrenal_gland_left",
)  # fmt: skip
AMOS = (
    "spleen", "kidney_right", "kidney_left", "gallbladder", "esophagus", "liver", "stomach", "aorta",
    "inferior_vena_cava", "pancreas", "adrenal_gland_right", "adrenal_gland_left", "duodenum", "urinary_bladder",
    "prostate_uterus",
)  # fmt: skip
# From this number on AMOS holds MR images.
_AMOS_FIRST_MR = 507


@dataclass(frozen=True)
class CaseFiles:
    """Files of one labeled scan.

    Parameters
    ----------
    name : str
    ct : Path
    labels : dict of Path to dict of int to str
        Names of the values of each label map; several maps are laid over one another.
    """

    name: str
    ct: Path
    labels: dict[Path, dict[int, str]]


def find_cases(folder: str | Path, layout: str = "auto") -> list[CaseFiles]:
    """Find the labeled scans of a folder, by name.

    Parameters
    ----------
    folder : path
    layout : str
        One of `LAYOUTS`, or ``auto``: the first one that finds something.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise MissingFileError("no such folder", where=folder, hint="give a folder of labeled scans to --data")
    if layout != "auto" and layout not in LAYOUTS:
        raise InputError(
            "unknown layout", where="--layout", found=layout, expected=f"auto or one of {', '.join(LAYOUTS)}"
        )
    readers = LAYOUTS.values() if layout == "auto" else [LAYOUTS[layout]]
    for reader in readers:
        if found := sorted(reader(folder), key=lambda case: case.name):
            return found
    raise InputError(
        "no labeled scans",
        where=folder,
        expected="NAME/ct.nii.gz, labels.nii.gz and labels.json, or the layout of " + ", ".join(list(LAYOUTS)[1:]),
        hint="see docs/how-to/evaluate.md",
    )


def _folders(root: Path) -> list[Path]:
    """List a folder and its subfolders, so that the folder of a single case can be given, too."""
    return [root, *sorted(path for path in root.iterdir() if path.is_dir())]


def _plain(root: Path) -> Iterator[CaseFiles]:
    """``NAME/ct.nii.gz``, ``labels.nii.gz`` and ``labels.json`` (value to name)."""
    for folder in _folders(root):
        ct, labels, names = (folder / name for name in ("ct.nii.gz", "labels.nii.gz", "labels.json"))
        if ct.is_file() and labels.is_file() and names.is_file():
            yield CaseFiles(folder.name, ct, {labels: _names(names)})


def _names(path: Path) -> dict[int, str]:
    try:
        content = json.loads(path.read_text("utf-8"))
        return {int(value): str(name) for value, name in content.items() if int(value)}
    except (ValueError, AttributeError) as error:
        raise InputError("unreadable names", where=path, found=error, expected='e.g. {"1": "liver"}') from None


def _totalsegmentator(root: Path) -> Iterator[CaseFiles]:
    """``s0001/ct.nii.gz`` and ``s0001/segmentations/STRUCTURE.nii.gz``."""
    for folder in _folders(root):
        masks = sorted(path for path in (folder / "segmentations").glob("*.nii.gz") if not path.name.startswith("."))
        if (folder / "ct.nii.gz").is_file() and masks:
            yield CaseFiles(folder.name, folder / "ct.nii.gz", {m: {1: _stem(m)} for m in masks})


def _btcv(root: Path) -> Iterator[CaseFiles]:
    """``img/img0001.nii.gz`` and ``label/label0001.nii.gz``, also under ``Training`` or ``averaged-training``."""
    names = dict(enumerate(BTCV, start=1))
    for folder in [*_folders(root), root / "RawData" / "Training"]:
        for ct in sorted((folder / "img").glob("img*.nii*")):
            labels = folder / "label" / ct.name.replace("img", "label", 1)
            if labels.is_file():
                yield CaseFiles(_stem(ct), ct, {labels: names})


def _amos(root: Path) -> Iterator[CaseFiles]:
    """``imagesTr/amos_0001.nii.gz`` with ``labelsTr``, and the same for ``Va``; CT only."""
    names = dict(enumerate(AMOS, start=1))
    for part in ("Tr", "Va"):
        for ct in sorted((root / f"images{part}").glob("amos_*.nii.gz")):
            labels = root / f"labels{part}" / ct.name
            number = _stem(ct).removeprefix("amos_")
            if labels.is_file() and number.isdigit() and int(number) < _AMOS_FIRST_MR:
                yield CaseFiles(_stem(ct), ct, {labels: names})


def _msd(root: Path) -> Iterator[CaseFiles]:
    """Medical Segmentation Decathlon: ``dataset.json``, ``imagesTr`` and ``labelsTr``."""
    for folder in _folders(root):
        if not (folder / "dataset.json").is_file():
            continue
        names = _msd_names(folder / "dataset.json")
        for ct in sorted((folder / "imagesTr").glob("*.nii.gz")):
            labels = folder / "labelsTr" / ct.name.replace("_0000.nii.gz", ".nii.gz")
            if labels.is_file() and not ct.name.startswith("."):
                yield CaseFiles(_stem(labels), ct, {labels: names})


def _msd_names(path: Path) -> dict[int, str]:
    try:
        labels = json.loads(path.read_text("utf-8"))["labels"]
        # nnU-Net turned keys and values round.
        pairs = [(key, value) if str(key).isdigit() else (value, key) for key, value in labels.items()]
        return {int(value): str(name) for value, name in pairs if int(value)}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            "unreadable dataset.json", where=path, found=error, expected="`labels` of value to name"
        ) from None


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii")


# AMOS before MSD: its folder holds a dataset.json of the same form, but MR images too.
LAYOUTS: dict[str, Callable[[Path], Iterator[CaseFiles]]] = {
    "folders": _plain,
    "totalsegmentator": _totalsegmentator,
    "btcv": _btcv,
    "amos": _amos,
    "msd": _msd,
}
"""Readers by name."""
