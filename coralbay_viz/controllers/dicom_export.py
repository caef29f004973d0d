"""Export of results as DICOM."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

from coralbay_core.errors import InputError
from coralbay_core.spatial import Grid, LabelVolume

from ..jobs import Job
from ..model.scan import Scan
from ..tasks.dicom_export import _clusters, _lit, _segmentation, write_dicom

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
