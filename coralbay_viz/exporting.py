"""Results of a session as DICOM objects. Knows no GUI toolkit."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from coralbay_core.errors import InputError
from coralbay_core.volume import Grid, LabelVolume

from .jobs import Job, Report
from .labelling import labels_of
from .state import Scan
from .work import Cancelled

What = Literal["segmentation", "clusters", "heat"]


class Exporting:
    """Commands of a `Session` that write for others. The session brings jobs, scans and results."""

    def export_dicom(
        self: Any,
        path: str | Path,
        series_folder: str | Path | None = None,
        what: What = "segmentation",
        as_: Literal["seg", "rtstruct"] = "seg",
    ) -> Job:
        """Write labels of the active scan as a DICOM object that refers to the images, as `coralbay export` does.

        Parameters
        ----------
        path : str or Path
            Ends in ``.dcm``.
        series_folder : str or Path, optional
            Of the DICOM series on whose grid the scan lies; by default what the scan was read from.
        what : str
            ``segmentation``, ``clusters``, or ``heat``: what the heat map shows, by `share`.
        as_ : str
            ``seg``, a DICOM-SEG, or ``rtstruct``.
        """
        path, scan = Path(path), self._require_scan()
        if path.suffix.lower() != ".dcm":
            raise InputError("not a DICOM name", where=path, expected="a name that ends in .dcm")
        if as_ not in ("seg", "rtstruct"):
            raise InputError("unknown kind of object", found=as_, expected="seg or rtstruct")
        folder = scan.volume.path if series_folder is None else Path(series_folder)
        folder = self._require(folder, "no DICOM series to refer to", "say where it is: series_folder=DIR")
        make = self._labels_to_export(scan, what)
        about = {"model": scan.model, "what": what}
        if scan.features is not None:
            about["fingerprint"] = scan.features.fingerprint
        series = scan.series if series_folder is None else None
        work = partial(write_dicom, path, scan, make, folder, series, as_, about)
        return self.run(f"save {path}", work, self.saved.emit, torch=True)

    def _labels_to_export(self: Any, scan: Scan, what: What) -> Callable[[Grid], LabelVolume]:
        """What makes the labels, on the grid of the scan, of what is there now."""
        if what == "segmentation":
            probe = self._require(scan.probe, "no segmentation to export", "paint strokes and segment first")
            guide = self._guide(scan)
            return partial(_segmentation, probe, scan.features, guide, scan.probing.protected)
        if what == "clusters":
            return partial(_clusters, self._require(scan.projecting.clusters, "no clusters", "compute clusters first"))
        if what == "heat":
            heat = self._require(scan.heat, "no heat map to export", "click on the scan first")
            if heat.partial:
                raise InputError("heat map is not complete", where=scan.name, hint="wait for the features")
            return partial(_lit, heat.heat, heat.scale.score_of(self.share))
        raise InputError("unknown result", found=what, expected="segmentation, clusters or heat")


def _segmentation(probe: Any, features: Any, guide: Any, protected: LabelVolume | None, grid: Grid) -> LabelVolume:
    return labels_of(probe, features, grid, guide, protected)


def _clusters(clusters: LabelVolume, grid: Grid) -> LabelVolume:
    from coralbay_core.preprocess import resample

    data = clusters.data if clusters.grid == grid else resample(clusters.data, clusters.grid, grid, order=0, fill=0)
    return LabelVolume(data, grid, "clusters", names=dict(clusters.names))


def _lit(heat: Any, threshold: float, grid: Grid) -> LabelVolume:
    return LabelVolume(heat.mask(grid, threshold).astype(np.uint8), grid, "similar", names={1: "similar"})


def write_dicom(
    path: Path,
    scan: Scan,
    make: Callable[[Grid], LabelVolume],
    folder: Path,
    series: str | None,
    kind: Any,
    about: dict[str, Any],
    report: Report,
    cancelled: Cancelled,
) -> Path:
    from coralbay_core.provenance import in_few_words, provenance, write_provenance
    from coralbay_core.volume_io import save_dicom

    told = provenance(scan.volume, **about)
    labels = make(scan.volume.grid)
    written = save_dicom(path, labels, folder, kind=kind, series=series, about=in_few_words(told))
    write_provenance(written, told)
    return written
