"""What the manifest points at: reader, sample data and the dock widget."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..layers import ct_spec
from .layer_data import layer_data

LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]] | None:
    """Reader of NIfTI files, DICOM files and DICOM folders; None for anything else."""
    paths = [path] if isinstance(path, str) else list(path)
    return read if paths and all(_is_ours(Path(p)) for p in paths) else None


def read(path: str | Sequence[str]) -> list[LayerData]:
    """Read one scan, or each of several files; files of one DICOM series are one scan."""
    from coralbay_core.volume_io import load_volume

    paths = [Path(path)] if isinstance(path, str) else [Path(p) for p in path]
    if len(paths) > 1 and all(p.suffix.lower() == ".dcm" for p in paths):
        paths = paths[:1]
    return [layer_data(ct_spec(load_volume(p))) for p in paths]


def _is_ours(path: Path) -> bool:
    if path.is_dir():
        # Other plugins open folders too: take only what holds at least one file that says it is DICOM.
        return any(_says_dicom(file) for file in sorted(path.iterdir())[:8] if file.is_file())
    return path.name.lower().endswith((".nii", ".nii.gz", ".dcm"))


def _says_dicom(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def sample_phantom() -> list[LayerData]:
    """The synthetic torso, as a scan."""
    from coralbay_core.phantom import make_phantom

    return [layer_data(ct_spec(make_phantom().volume))]
