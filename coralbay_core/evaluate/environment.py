"""Environment of a result: versions, machine, hashes."""

import hashlib
import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from .. import __version__
from ..extraction.cache import content_digest
from .cases import Case
from .methods import Method

_PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "monai", "nibabel")


def describe_environment() -> dict[str, Any]:
    """Collect versions and properties of the machine."""
    import torch

    return {
        "coralbay": __version__,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def describe_cases(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """Collect hashes of voxels and labels, and counts."""
    return [
        {
            "name": case.name,
            "domain": case.domain,
            "shape": case.volume.shape,
            "spacing_mm": case.volume.grid.spacing_mm,
            "volume_hash": content_digest(case.volume),
            "labels_hash": hashlib.blake2b(case.labels.tobytes(), digest_size=16).hexdigest(),
            "structures": case.structures,
            "left_out": case.lesions,
            "lattice_mm": case.lattice.spacing_mm,
            "body_voxels": int(case.body.sum()),
        }
        for case in cases
    ]


def describe_methods(methods: Sequence[Method]) -> list[dict[str, Any]]:
    """List the evaluated methods."""
    return [{"name": method.name, "baseline": method.is_baseline, **method.about} for method in methods]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
