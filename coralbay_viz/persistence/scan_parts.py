"""Parts of a scan that are saved, one class per part."""

from typing import TYPE_CHECKING, Any

from coralbay_core.spatial import LabelVolume

from ..controllers import Controllers
from ..model.clicks import Clicks, Point
from ..model.scan import Scan
from ..model.strokes import PaintedVoxels
from . import session_file
from .painted import labels_from, painted_content
from .parts import Captured, Content, ScanPart, saveable_scans
from .session_file import Arrays, points

if TYPE_CHECKING:
    from coralbay_core.probe import Probe


class ClicksPart(ScanPart):
    """Positive and negative clicks."""

    name = "clicks"

    def capture(self, controllers: Controllers, scan: Scan) -> Captured | None:
        now = scan.clicks.now
        return ({"positive": now.positive, "negative": now.negative}, {}) if now else None

    def validate(self, scan: Scan, content: Content, arrays: Arrays) -> Clicks:
        clicks = Clicks(points(content["positive"]), points(content["negative"]))
        scan.volume.grid.require_inside([*clicks.positive, *clicks.negative], where=scan.name)
        return clicks

    def restore(self, controllers: Controllers, scan: Scan, value: Clicks) -> None:
        controllers.similarity.set_clicks(scan, value)


class CursorPart(ScanPart):
    """Position of the cursor."""

    name = "cursor"

    def capture(self, controllers: Controllers, scan: Scan) -> Captured | None:
        return None if scan.cursor_mm is None else ({"at_mm": scan.cursor_mm}, {})

    def validate(self, scan: Scan, content: Content, arrays: Arrays) -> Point:
        return _position(scan, content)

    def restore(self, controllers: Controllers, scan: Scan, value: Point) -> None:
        if scan is controllers.workspace.scan:
            controllers.cursor.cursor_mm = value
        else:
            scan.cursor_mm = value


class QueriesInUsePart(ScanPart):
    """Saved queries that the heat map uses, by name."""

    name = "used"

    def capture(self, controllers: Controllers, scan: Scan) -> Captured | None:
        known = controllers.queries.queries
        names = [query.name for query in scan.queries_in_use if known.get(query.name) is query]
        return ({"names": names}, {}) if names else None

    def validate(self, scan: Scan, content: Content, arrays: Arrays) -> tuple[str, ...]:
        return tuple(str(name) for name in content["names"])

    def restore(self, controllers: Controllers, scan: Scan, value: tuple[str, ...]) -> None:
        known = controllers.queries.queries
        scan.queries_in_use = tuple(known[name] for name in value if name in known)


class FollowUpPart(ScanPart):
    """Table of a follow-up. It is saved as a result, since it takes minutes to compute."""

    name = "followup"
    when = ("opened", "features")

    def capture(self, controllers: Controllers, scan: Scan) -> Captured | None:
        return ({"rows": list(scan.follow_up_rows)}, {}) if scan.follow_up_rows else None

    def validate(self, scan: Scan, content: Content, arrays: Arrays) -> tuple[Content, ...]:
        rows = tuple(dict(row) for row in content["rows"])
        if not all(isinstance(v, str | int | float | bool) for row in rows for v in row.values()):
            raise ValueError("follow-up is not a table")
        points([[row[axis] for axis in ("x_mm", "y_mm", "z_mm")] for row in rows])
        return rows

    def restore(self, controllers: Controllers, scan: Scan, value: tuple[Content, ...]) -> None:
        controllers.comparisons.restore_follow_up(scan, value)


class ColorsPart(ScanPart):
    """Method of the PCA or UMAP colors."""

    name = "pca"
    when = ("features",)

    def capture(self, controllers: Controllers, scan: Scan) -> Captured | None:
        return ({"method": scan.pca.method}, {}) if scan.pca is not None else None

    def validate(self, scan: Scan, content: Content, arrays: Arrays) -> str:
        method = content.get("method", "pca")
        if method not in ("pca", "umap"):
            raise ValueError("unknown colors")
        return method

    def restore(self, controllers: Controllers, scan: Scan, value: str) -> None:
        projections = controllers.projections
        (projections.compute_umap if value == "umap" else projections.compute_pca)(scan=scan)


class ProtectedPart(ScanPart):
    """Labels that no probe may change."""

    name = "protected"

    def capture(self, controllers: Controllers, scan: Scan) -> Captured | None:
        return None if scan.protected is None else painted_content(PaintedVoxels.of(scan.protected))

    def validate(self, scan: Scan, content: Content, arrays: Arrays) -> LabelVolume:
        return labels_from(content, arrays, like=(scan.volume.grid, scan.label_grid))

    def restore(self, controllers: Controllers, scan: Scan, value: LabelVolume) -> None:
        controllers.segmentation.protect_labels(value, scan)
        controllers.segmentation.show_protected(scan)


class SkippedPart(ScanPart):
    """Suggestions that were declined."""

    name = "skipped"

    def capture(self, controllers: Controllers, scan: Scan) -> Captured | None:
        return ({"at_mm": scan.skipped}, {}) if scan.skipped else None

    def validate(self, scan: Scan, content: Content, arrays: Arrays) -> tuple[Point, ...]:
        return points(content["at_mm"])

    def restore(self, controllers: Controllers, scan: Scan, value: tuple[Point, ...]) -> None:
        scan.skipped = value


class StrokesPart(ScanPart):
    """Painted voxels."""

    name = "strokes"

    def capture(self, controllers: Controllers, scan: Scan) -> Captured | None:
        return None if scan.strokes.now is None else painted_content(scan.strokes.now)

    def validate(self, scan: Scan, content: Content, arrays: Arrays) -> LabelVolume:
        return labels_from(content, arrays, like=(scan.volume.grid, scan.label_grid))

    def restore(self, controllers: Controllers, scan: Scan, value: LabelVolume) -> None:
        controllers.segmentation.paint(value, scan)


class ProbePart(ScanPart):
    """The probe: its parameters only if it cannot be fitted again from this scan's strokes."""

    name = "probe"
    when = ("features",)

    def capture(self, controllers: Controllers, scan: Scan) -> Captured | None:
        if scan.probe is None:
            return None
        return scan.probe.content() if scan.probe is scan.given_probe else ({}, {})

    def validate(self, scan: Scan, content: Content, arrays: Arrays) -> "Probe | None":
        if not content:
            return None
        from coralbay_core.probe.model import probe_from

        return probe_from(arrays, content)

    def restore(self, controllers: Controllers, scan: Scan, value: "Probe | None") -> None:
        painted = scan.strokes.now
        if value is not None:
            controllers.segmentation.apply_to(scan, value)
        elif painted is not None and len(painted.classes) > 1:
            controllers.segmentation.fit(scan=scan)


class SymmetryPart(ScanPart):
    """Position that is compared with the other side of the body."""

    name = "mirror"
    when = ("features",)

    def capture(self, controllers: Controllers, scan: Scan) -> Captured | None:
        return None if scan.symmetry is None else ({"at_mm": scan.symmetry.position_mm.tolist()}, {})

    def validate(self, scan: Scan, content: Content, arrays: Arrays) -> Point:
        return _position(scan, content)

    def restore(self, controllers: Controllers, scan: Scan, value: Point) -> None:
        controllers.comparisons.mirror(value, scan)


class LinkedPart(ScanPart):
    """Mark of the scan in which the position under the cursor is searched; it has no content."""

    name = "linked"
    when = ("restored",)

    def capture(self, controllers: Controllers, scan: Scan) -> Captured | None:
        return ({}, {}) if controllers.cursor.linked is scan else None

    def validate(self, scan: Scan, content: Content, arrays: Arrays) -> None:
        return None

    def restore(self, controllers: Controllers, scan: Scan, value: None) -> None:
        controllers.cursor.link_cursor(scan)


class OriginPart(ScanPart):
    """Index of the scan whose clicks the heat map follows."""

    name = "origin"
    when = ("restored",)

    def capture(self, controllers: Controllers, scan: Scan) -> Captured | None:
        scans = saveable_scans(controllers)
        return ({"scan": scans.index(scan.origin)}, {}) if scan.origin in scans else None

    def validate(self, scan: Scan, content: Content, arrays: Arrays) -> int:
        number = content["scan"]
        if not isinstance(number, int) or not 0 <= number < session_file.MOST_SCANS:
            raise ValueError(f"no scan {number}")
        return number

    def restore(self, controllers: Controllers, scan: Scan, value: int) -> None:
        scans = controllers.workspace.scans
        if value < len(scans) and scans[value] is not scan:
            controllers.similarity.link_heat(scan, scans[value])


class FeaturesPart(ScanPart):
    """Fingerprint of the features, if they are of the chosen model: `load` computes with that."""

    name = "features"
    when = ("restored",)

    def capture(self, controllers: Controllers, scan: Scan) -> Captured | None:
        if scan.features is None or scan.model != controllers.features.model:
            return None
        return {"fingerprint": scan.features.fingerprint}, {}

    def validate(self, scan: Scan, content: Content, arrays: Arrays) -> str:
        return str(content["fingerprint"])

    def restore(self, controllers: Controllers, scan: Scan, value: Any) -> None:
        controllers.features.compute(scan=scan)


def _position(scan: Scan, content: Content) -> Point:
    (position,) = points([content["at_mm"]])
    scan.volume.grid.require_inside(position, where=scan.name)
    return position


# Features come last among the parts that are restored when all scans are there: with an inline runner, everything that
# depends on them is restored in the same call.
SCAN_PARTS: tuple[ScanPart, ...] = (
    ClicksPart(),
    CursorPart(),
    QueriesInUsePart(),
    FollowUpPart(),
    ColorsPart(),
    ProtectedPart(),
    SkippedPart(),
    StrokesPart(),
    ProbePart(),
    SymmetryPart(),
    LinkedPart(),
    OriginPart(),
    FeaturesPart(),
)
