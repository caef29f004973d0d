"""Export of results as DICOM, and of labels and points for other programs."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

from coralbay_core.errors import InputError
from coralbay_core.spatial import Grid, LabelVolume
from coralbay_core.util.arguments import checked

from ..jobs import Job, without_context
from ..model.palette import colored
from ..model.scan import Scan
from ..tasks.dicom_export import clusters_on, heat_region_on, write_dicom
from ..tasks.files import save_points
from .segmentation import SegmentationController
from .similarity import SimilarityController
from .workspace import Workspace, require

What = Literal["segmentation", "clusters", "heat"]
Points = Literal["clicks", "regions", "matches"]


class ExportsController:
    """Results as DICOM objects, label maps and lists of points.

    Parameters
    ----------
    workspace : Workspace
    similarity : SimilarityController
    segmentation : SegmentationController
    """

    def __init__(
        self, workspace: Workspace, similarity: SimilarityController, segmentation: SegmentationController
    ) -> None:
        self._workspace = workspace
        self._similarity = similarity
        self._segmentation = segmentation

    @checked
    def dicom(
        self,
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
            ``segmentation``, ``clusters``, or ``heat``: what the heat map shows, by the fraction of the body.
        as_ : str
            ``seg``, a DICOM-SEG, or ``rtstruct``.
        """
        path, scan = Path(path), self._workspace.require_scan()
        if path.suffix.lower() != ".dcm":
            raise InputError("not a DICOM name", where=path, expected="a name that ends in .dcm")
        if as_ not in ("seg", "rtstruct"):
            raise InputError("unknown kind of object", found=as_, expected="seg or rtstruct")
        folder = scan.volume.path if series_folder is None else Path(series_folder)
        folder = require(folder, "no DICOM series to refer to", "say where it is: series_folder=DIR")
        make = self._labels_to_export(scan, what)
        about = {"model": scan.model, "what": what}
        if scan.features is not None:
            about["fingerprint"] = scan.features.fingerprint
        series = scan.volume.series if series_folder is None else None
        colors = dict(scan.class_colors) if what == "segmentation" else {}
        work = partial(write_dicom, path, scan, make, folder, series, as_, about, colors)
        return self._workspace.write(path, without_context(work), torch=True)

    @checked
    def labels(self, path: str | Path, what: What = "segmentation") -> Job:
        """Write labels of the active scan with their names and colors.

        Parameters
        ----------
        path : str or Path
            ``.seg.nrrd`` for 3D Slicer, ``.ome.zarr``, or, without names and colors, ``.nii.gz`` or ``.nrrd``.
        what : str
            As of `dicom`.
        """
        scan = self._workspace.require_scan()
        colors = dict(scan.class_colors) if what == "segmentation" else {}
        make = self._labels_to_export(scan, what)
        return self._workspace.write_map(path, scan, lambda grid: colored(make(grid), colors), what=what)

    @checked
    def points(self, path: str | Path, what: Points = "clicks") -> Job:
        """Write positions of the active scan as a list.

        Parameters
        ----------
        path : str or Path
            ``.mrk.json`` for 3D Slicer, ``.csv`` or ``.json``.
        what : str
            ``clicks``, ``regions`` of the heat map, or ``matches`` that were found in it.
        """
        from coralbay_core.matching.landmarks import require_table_name

        path, scan = Path(path), self._workspace.require_scan()
        require_table_name(path)
        rows = _rows(scan, what)
        if not rows:
            raise InputError(f"no {what} to export", where=scan.name)
        return self._workspace.write(path, without_context(partial(save_points, path, rows)))

    def _labels_to_export(self, scan: Scan, what: What) -> Callable[[Grid], LabelVolume]:
        """Function that makes the labels, on the grid of the scan, from the present results."""
        if what == "segmentation":
            require(scan.segmentation, "no segmentation to export", "paint strokes and segment first")
            _, features = self._workspace.require_features(scan)
            return partial(self._segmentation.labeling(scan, features).labels, scan.probe)
        if what == "clusters":
            return partial(clusters_on, require(scan.clusters, "no clusters", "compute clusters first"))
        if what == "heat":
            heat = require(scan.heat, "no heat map to export", "click on the scan first")
            if heat.partial:
                raise InputError("heat map is not complete", where=scan.name, hint="wait for the features")
            return partial(heat_region_on, heat.heat, heat.scale.score_of(self._similarity.body_fraction))
        raise InputError("unknown result", found=what, expected="segmentation, clusters or heat")


def _rows(scan: Scan, what: str) -> list[dict[str, Any]]:
    """Rows of a list of positions: name, position in mm and what is known about it."""
    if what == "clicks":
        clicks = scan.clicks.now
        named = [(f"click {number}", place) for number, place in enumerate(clicks.positive, 1)]
        named += [(f"negative click {number}", place) for number, place in enumerate(clicks.negative, 1)]
        return [{"name": name, **_place(place)} for name, place in named]
    if what == "regions":
        regions = () if scan.heat is None else scan.heat.regions
        return [
            {"name": f"region {n}", **_place(r.position_mm), "score": float(r.score), "size_ml": float(r.size_ml)}
            for n, r in enumerate(regions, 1)
        ]
    if what == "matches":
        return [dict(row) for row in scan.follow_up_rows] if scan.follow_up is not None else []
    raise InputError("unknown positions", found=what, expected="clicks, regions or matches")


def _place(position_mm: Any) -> dict[str, float]:
    return {axis: float(value) for axis, value in zip(("x_mm", "y_mm", "z_mm"), position_mm, strict=True)}
