"""Labels and heat maps as DICOM-SEG and RTSTRUCT."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from coralbay_core.spatial import Grid, LabelVolume

from ..model.palette import colored
from ..model.scan import Scan


def clusters_on(clusters: LabelVolume, grid: Grid) -> LabelVolume:
    """Resample clusters to a grid."""
    from coralbay_core.spatial.resampling import labels_on

    return LabelVolume(labels_on(clusters, grid), grid, "clusters", names=dict(clusters.names))


def heat_region_on(heat: Any, threshold: float, grid: Grid) -> LabelVolume:
    """Mask where a heat map reaches a threshold."""
    return LabelVolume(heat.mask(grid, threshold).astype(np.uint8), grid, "similar", names={1: "similar"})


def write_dicom(
    path: Path,
    scan: Scan,
    make: Callable[[Grid], LabelVolume],
    folder: Path,
    series: str | None,
    kind: Any,
    about: dict[str, Any],
    colors: Mapping[int, str],
) -> Path:
    """Write labels as a DICOM object, and its provenance beside it."""
    from coralbay_core.io import save_dicom
    from coralbay_core.provenance import in_few_words, provenance, write_provenance

    record = provenance(scan.volume, **about)
    labels = colored(make(scan.volume.grid), colors)
    written = save_dicom(path, labels, folder, kind=kind, series=series, about=in_few_words(record))
    write_provenance(written, record)
    return written
