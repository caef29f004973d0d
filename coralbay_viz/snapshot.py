"""The state of a session as plain values and arrays, and back.

A `Part` is one thing that a scan or the session holds. `SCAN_PARTS` and `SESSION_PARTS` are the one place where parts
are listed: what is to survive a restart gets a part there. Results are not kept; they follow from the scans, the model
and what was asked, and `give` asks again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from coralbay_core.errors import CoralBayError
from coralbay_core.volume import Grid, LabelVolume

from . import session_file
from .history import PaintedVoxels
from .probing import known_kind
from .session_file import Arrays, ScanState, State, points
from .state import Clicks, Scan

if TYPE_CHECKING:
    from .session import Session

Content = dict[str, Any]
When = Literal["opened", "features", "restored"]


@dataclass(frozen=True)
class ScanPart:
    """Something that a scan holds.

    Parameters
    ----------
    name : str
        Of letters; it names the part in files.
    take : callable
        Session and scan to plain values and arrays, or None where there is nothing to keep. It runs at each change, so
        it is quick.
    give : callable
        The way back: session, scan, values, arrays. It may start jobs. ValueError, KeyError or TypeError mean that the
        content is not what `take` gives.
    when : str
        ``opened``: as soon as the scan is there; ``restored``: when all scans are; ``features``: when its features are.
    """

    name: str
    take: "Callable[[Session, Scan], tuple[Content, Arrays] | None]"
    give: "Callable[[Session, Scan, Content, Arrays], None]"
    when: When = "opened"


@dataclass(frozen=True)
class SessionPart:
    """Something that the session holds: as `ScanPart`, without a scan. It is given back before any scan is opened."""

    name: str
    take: "Callable[[Session], tuple[Content, Arrays] | None]"
    give: "Callable[[Session, Content, Arrays], None]"


# --- parts of a scan ----------------------------------------------------------------------------------------------


def _take_clicks(session: "Session", scan: Scan) -> tuple[Content, Arrays] | None:
    now = scan.clicks.now
    return ({"positive": now.positive, "negative": now.negative}, {}) if now else None


def _give_clicks(session: "Session", scan: Scan, content: Content, arrays: Arrays) -> None:
    clicks = Clicks(points(content["positive"]), points(content["negative"]))
    scan.volume.grid.require_inside([*clicks.positive, *clicks.negative], where=scan.name)
    scan.clicks.change(clicks)
    session.clicks_changed.emit(scan)


def _take_origin(session: "Session", scan: Scan) -> tuple[Content, Arrays] | None:
    return ({"scan": session.scans.index(scan.origin)}, {}) if scan.origin in session.scans else None


def _give_origin(session: "Session", scan: Scan, content: Content, arrays: Arrays) -> None:
    number = content["scan"]
    if not isinstance(number, int) or not 0 <= number < len(session.scans):
        raise ValueError(f"no scan {number}")
    session.answer_in(scan, session.scans[number])


def _take_used(session: "Session", scan: Scan) -> tuple[Content, Arrays] | None:
    names = [query.name for query in scan.used if session.queries.get(query.name) is query]
    return ({"names": names}, {}) if names else None


def _give_used(session: "Session", scan: Scan, content: Content, arrays: Arrays) -> None:
    scan.used = tuple(session.queries[str(name)] for name in content["names"])


def _take_strokes(session: "Session", scan: Scan) -> tuple[Content, Arrays] | None:
    painted = scan.probing.strokes.now
    return None if painted is None else painted_content(painted)


def _give_strokes(session: "Session", scan: Scan, content: Content, arrays: Arrays) -> None:
    strokes = labels_from(content, arrays, like=(scan.volume.grid, scan.label_grid))
    active = session.scan
    session.activate(scan)
    session.segment(strokes)
    session.activate(active)


def _take_protected(session: "Session", scan: Scan) -> tuple[Content, Arrays] | None:
    kept = scan.probing.protected
    return None if kept is None else painted_content(PaintedVoxels.of(kept))


def _give_protected(session: "Session", scan: Scan, content: Content, arrays: Arrays) -> None:
    scan.probing.protected = labels_from(content, arrays, like=(scan.volume.grid, scan.label_grid))
    session.protection_changed.emit(scan)


def _take_skipped(session: "Session", scan: Scan) -> tuple[Content, Arrays] | None:
    return ({"at_mm": scan.probing.skipped}, {}) if scan.probing.skipped else None


def _give_skipped(session: "Session", scan: Scan, content: Content, arrays: Arrays) -> None:
    scan.probing.skipped = points(content["at_mm"])


def painted_content(painted: PaintedVoxels) -> tuple[Content, Arrays]:
    """Painted voxels as plain values and arrays."""
    names = {str(value): name for value, name in painted.names.items()}
    content = {"shape": painted.grid.shape, "affine": painted.grid.affine.tolist(), "names": names}
    arrays = {"index": painted.index.astype(np.int64), "value": painted.values.astype(np.int64)}
    return content | {"dtype": str(painted.values.dtype)}, arrays


def labels_from(content: Content, arrays: Arrays, like: tuple[Grid, ...]) -> LabelVolume:
    """The way back; the grid must be one of those that belong to the scan, so that no file chooses how large it is."""
    index, value, dtype = arrays["index"], arrays["value"], np.dtype(str(content["dtype"]))
    shape = tuple(content["shape"])
    grid = next((g for g in like if g.shape == shape and np.allclose(g.affine, content["affine"], atol=1e-3)), None)
    if grid is None or dtype.kind not in "iu" or index.dtype != np.int64 or value.dtype != np.int64:
        raise ValueError("strokes do not lie on the scan's grid")
    size, limits = int(np.prod(grid.shape)), np.iinfo(dtype)
    if index.shape != value.shape or index.ndim != 1 or (len(index) and not 0 <= index.min() <= index.max() < size):
        raise ValueError("strokes lie outside the scan")
    if len(value) and not limits.min <= value.min() <= value.max() <= limits.max:
        raise ValueError("strokes of impossible values")
    data = np.zeros(size, dtype)
    data[index] = value
    names = {int(key): str(name) for key, name in content["names"].items()}
    return LabelVolume(data.reshape(grid.shape), grid, "strokes", names=names)


def _take_pca(session: "Session", scan: Scan) -> tuple[Content, Arrays] | None:
    return ({}, {}) if scan.pca is not None else None


def _give_pca(session: "Session", scan: Scan, content: Content, arrays: Arrays) -> None:
    active = session.scan
    session.activate(scan)
    session.compute_pca()
    session.activate(active)


def _take_mirror(session: "Session", scan: Scan) -> tuple[Content, Arrays] | None:
    return None if scan.symmetry is None else ({"at_mm": scan.symmetry.position_mm.tolist()}, {})


def _give_mirror(session: "Session", scan: Scan, content: Content, arrays: Arrays) -> None:
    active = session.scan
    session.activate(scan)
    session.mirror(points([content["at_mm"]])[0])
    session.activate(active)


def _take_features(session: "Session", scan: Scan) -> tuple[Content, Arrays] | None:
    if scan.features is None:
        return None
    return {"fingerprint": scan.features.fingerprint}, {}


def _give_features(session: "Session", scan: Scan, content: Content, arrays: Arrays) -> None:
    active = session.scan
    session.activate(scan)
    session.compute()
    session.activate(active)


def _take_follow_up(session: "Session", scan: Scan) -> tuple[Content, Arrays] | None:
    """Kept as a result: it is a table, and took minutes."""
    return ({"rows": list(scan.follow_up_rows)}, {}) if scan.follow_up_rows else None


def _give_follow_up(session: "Session", scan: Scan, content: Content, arrays: Arrays) -> None:
    scan.follow_up_rows = tuple(dict(row) for row in content["rows"])
    session.follow_up_changed.emit(scan)


# Features come last among what is given when all scans are there: with an inline runner all that follows is done then.
SCAN_PARTS: tuple[ScanPart, ...] = (
    ScanPart("clicks", _take_clicks, _give_clicks),
    ScanPart("used", _take_used, _give_used),
    ScanPart("followup", _take_follow_up, _give_follow_up, "features"),
    ScanPart("pca", _take_pca, _give_pca, "features"),
    ScanPart("protected", _take_protected, _give_protected),
    ScanPart("skipped", _take_skipped, _give_skipped),
    ScanPart("strokes", _take_strokes, _give_strokes, "features"),
    ScanPart("mirror", _take_mirror, _give_mirror, "features"),
    ScanPart("origin", _take_origin, _give_origin, "restored"),
    ScanPart("features", _take_features, _give_features, "restored"),
)


# --- parts of the session -----------------------------------------------------------------------------------------


def _take_settings(session: "Session") -> tuple[Content, Arrays]:
    weights = session.weights
    mixer = weights if weights is None or isinstance(weights, str) else {str(s): w for s, w in weights.items()}
    active = None if session.scan is None else session.scans.index(session.scan)
    probe = {"kind": session.kind, "refine": session.refine, "train_on_all": session.train_on_all}
    return {"share": session.share, "weights": mixer, "prior_mm": session.prior_mm, "active": active} | probe, {}


def _give_settings(session: "Session", content: Content, arrays: Arrays) -> None:
    session.share = float(content["share"])
    session.weights = content["weights"]
    session.prior_mm = content["prior_mm"]
    session.kind = content["kind"] if content["kind"] is None else known_kind(content["kind"])
    session.refine, session.train_on_all = bool(content["refine"]), bool(content["train_on_all"])


def _take_queries(session: "Session") -> tuple[Content, Arrays] | None:
    arrays, about = {}, []
    for number, query in enumerate(session.queries.values()):
        for side in ("positive", "negative"):
            arrays |= {f"{number}.{side}.{s}": rows for s, rows in getattr(query, side).items()}
        weights = None if query.weights is None else {str(s): w for s, w in query.weights.items()}
        keys = ("name", "model", "fingerprint", "notice", "about")
        about.append({key: getattr(query, key) for key in keys} | {"weights": weights})
    return ({"queries": about}, arrays) if about else None


def _give_queries(session: "Session", content: Content, arrays: Arrays) -> None:
    from coralbay_core.similarity.query import query_from

    session.queries = {}
    for number, about in enumerate(content["queries"]):
        own = {key.split(".", 1)[1]: rows for key, rows in arrays.items() if key.split(".", 1)[0] == str(number)}
        query = query_from(own, about)
        session.queries[query.name] = query
    session.queries_changed.emit()


SESSION_PARTS: tuple[SessionPart, ...] = (
    SessionPart("settings", _take_settings, _give_settings),
    SessionPart("queries", _take_queries, _give_queries),
)


# --- all of it ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The state at one moment. Hashes of scans take a while, so they are added by `state`, in whatever thread."""

    about: dict[str, Content]
    arrays: dict[str, Arrays]
    scans: tuple[tuple[Scan, dict[str, Content], dict[str, Arrays]], ...]

    def state(self, folder: Any = None) -> State:
        """What a file in `folder` says; scans below it get a relative path."""
        return State(self.about, self.arrays, tuple(_scan_state(*entry, folder) for entry in self.scans))


def take(session: "Session", model: Content) -> Snapshot:
    """The state now.

    Parameters
    ----------
    session : Session
    model : dict
        What the file says of the model.
    """
    about, arrays = _taken(SESSION_PARTS, session)
    scans = tuple((scan, *_taken(SCAN_PARTS, session, scan)) for scan in session.scans)
    return Snapshot(about | {"model": model}, arrays, scans)


def _taken(parts: Any, *owners: Any) -> tuple[dict[str, Content], dict[str, Arrays]]:
    found = {part.name: part.take(*owners) for part in parts}
    kept = {name: taken for name, taken in found.items() if taken is not None}
    return {name: taken[0] for name, taken in kept.items()}, {n: taken[1] for n, taken in kept.items() if taken[1]}


def _scan_state(scan: Scan, parts: dict[str, Content], arrays: dict[str, Arrays], folder: Any) -> ScanState:
    path, relative = scan.volume.path, None
    if path is None:
        raise CoralBayError(
            "scan has no file", where=scan.name, hint="save it as NIfTI and open that before you save the session"
        )
    if folder is not None and path.resolve().is_relative_to(folder.resolve()):
        relative = path.resolve().relative_to(folder.resolve()).as_posix()
    return ScanState(scan.digest, scan.name, path.resolve().name, relative, scan.series, parts, arrays)


def give_session(session: "Session", state: State, where: object) -> None:
    """Restore what the session as a whole holds."""
    for part in SESSION_PARTS:
        if part.name in state.about:
            _given(where, part.give, session, state.about[part.name], state.arrays.get(part.name, {}))


def give_scan(session: "Session", scan: Scan, state: ScanState, when: When, where: object) -> None:
    """Restore what a scan holds, as far as its time has come."""
    for part in SCAN_PARTS:
        if part.when == when and part.name in state.parts:
            _given(where, part.give, session, scan, state.parts[part.name], state.arrays.get(part.name, {}))


def _given(where: object, give: Callable[..., None], *arguments: Any) -> None:
    try:
        give(*arguments)
    except CoralBayError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise session_file.damaged(where, error) from error
