"""Provenance of results: enough to reproduce them, without patient data.

File names and paths are left out on purpose: they often contain names and dates of birth. A scan is identified by the
hash of its voxels and affine.
"""

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .extraction.cache import content_digest
from .spatial import LabelVolume, Volume
from .util.atomic_file import write_atomically
from .util.json_values import MILLIONTHS, plain

_PACKAGES = ("coralbay", "numpy", "scipy", "torch", "scikit-learn", "highdicom", "pydicom")


def provenance(
    *scans: Volume, model: str | None = None, fingerprint: str | None = None, **parameters: Any
) -> dict[str, Any]:
    """Collect everything that a result depends on, as JSON values.

    Parameters
    ----------
    *scans : Volume
        The scan of the result, then the scans of its query.
    model, fingerprint : str, optional
        Name and fingerprint of the encoder.
    **parameters
        Further parameters, e.g. clicks in world mm, weights, thresholds; None is left out.
    """
    content = {
        "software": {"python": platform.python_version(), **_versions()},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "scans": [scan_digest(scan) for scan in scans],
        "model": model,
        "fingerprint": fingerprint,
        "parameters": {key: plain(value, MILLIONTHS) for key, value in parameters.items() if value is not None},
    }
    return {key: value for key, value in content.items() if value is not None}


def in_few_words(content: Mapping[str, Any]) -> dict[str, str]:
    """Shorten a provenance for embedding in a file such as a DICOM object; scans are identified by hash."""
    summary = {
        "scan": content["scans"][0],
        "software": content["software"].get("coralbay", "unknown"),
        "created": content["created"],
    }
    return summary | {key: str(content[key]) for key in ("model", "fingerprint") if content.get(key)}


def scan_digest(scan: Volume | LabelVolume) -> str:
    """Hash of voxels and affine, which is also the key of cached features."""
    return content_digest(scan)  # type: ignore[arg-type]


def beside(path: Path) -> Path:
    """Path of the provenance file of a result."""
    name = path.name
    for suffix in (".nii.gz", ".nii", ".seg.nrrd", ".mrk.json", ".ome.zarr", path.suffix):
        if suffix and name.lower().endswith(suffix):
            name = name[: -len(suffix)]
            break
    return path.with_name(f"{name}.provenance.json")


def write_provenance(path: Path, content: Mapping[str, Any]) -> Path:
    """Write the provenance of a result next to it, atomically.

    Parameters
    ----------
    path : Path
        Path of the result.
    """
    return write_atomically(beside(path), json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
