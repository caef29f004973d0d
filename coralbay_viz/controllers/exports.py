"""Export of results as DICOM."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

from coralbay_core.errors import InputError
from coralbay_core.spatial import Grid, LabelVolume
from coralbay_core.util.arguments import checked

from ..jobs import Job, without_context
from ..model.scan import Scan
from ..tasks.dicom_export import clusters_on, heat_region_on, write_dicom
from .segmentation import SegmentationController
from .similarity import SimilarityController
from .workspace import Workspace, require

What = Literal["segmentation", "clusters", "heat"]


class ExportsController:
    """Results as DICOM objects.

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
