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
from coralbay_core.spatial import Grid, LabelVolume, Volume

from ..controllers.segmentation import known_kind
from ..model.clicks import Clicks
from ..model.pending_restore import PendingRestore
from ..model.scan import Scan
from ..model.stage_weights import checked_weights
from ..model.strokes import PaintedVoxels
from . import session_file
from .session_file import Arrays, ScanState, State, points

if TYPE_CHECKING:
    from coralbay_core.probe import Probe
    from coralbay_core.projection import Basis, UmapModel
    from coralbay_core.similarity import Query

    from ..session import Session

Content = dict[str, Any]
When = Literal["opened", "features", "restored"]
_MOST_COMPONENTS = 1024


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
    parse : callable
        The way back, from a file that may be hostile: a scan (with nothing but a volume), values and arrays to what
        `give` takes. It checks everything; ValueError, KeyError, TypeError, AttributeError and IndexError mean that the
        content is not what `take` gives. Whatever it refuses leaves the session as it was.
    give : callable
        Session, scan and what `parse` gave. It may start jobs.
    when : tuple of str
        ``opened``: as soon as the scan is there; ``restored``: when all scans are; ``features``: when its features are,
        which take earlier results away. What the user made is given at once.
    """

    name: str
    take: "Callable[[Session, Scan], tuple[Content, Arrays] | None]"
    parse: Callable[[Scan, Content, Arrays], Any]
    give: "Callable[[Session, Scan, Any], None]"
    when: tuple[When, ...] = ("opened",)


@dataclass(frozen=True)
class SessionPart:
    """Something that the session holds: as `ScanPart`, without a scan. It is given back before any scan is."""

    name: str
    take: "Callable[[Session], tuple[Content, Arrays] | None]"
    parse: Callable[[Content, Arrays], Any]
    give: "Callable[[Session, Any], None]"


def waiting(pending: PendingRestore, model: str) -> dict[str, tuple[Content, Arrays]]:
    """Saved parts that may still come back with this model."""
    names = {part.name for part in SCAN_PARTS if "features" in part.when} - pending.come
    if not pending.asked and model == pending.model:
        names.add("features")
    return {name: taken for name, taken in pending.raw.items() if name in names}


# --- parts of a scan ----------------------------------------------------------------------------------------------


def _take_clicks(session: "Session", scan: Scan) -> tuple[Content, Arrays] | None:
    now = scan.clicks.now
    return ({"positive": now.positive, "negative": now.negative}, {}) if now else None


def _parse_clicks(scan: Scan, content: Content, arrays: Arrays) -> Clicks:
    clicks = Clicks(points(content["positive"]), points(content["negative"]))
    scan.volume.grid.require_inside([*clicks.positive, *clicks.negative], where=scan.name)
    return clicks


def _give_clicks(session: "Session", scan: Scan, clicks: Clicks) -> None:
    scan.clicks.change(clicks)
    session.clicks_changed.emit(scan)


def _take_origin(session: "Session", scan: Scan) -> tuple[Content, Arrays] | None:
    scans = kept(session)
    return ({"scan": scans.index(scan.origin)}, {}) if scan.origin in scans else None


def _parse_origin(scan: Scan, content: Content, arrays: Arrays) -> int:
    if not isinstance(content["scan"], int) or not 0 <= content["scan"] < session_file.MOST_SCANS:
        raise ValueError(f"no scan {content['scan']}")
    return content["scan"]


def _give_origin(session: "Session", scan: Scan, number: int) -> None:
    if number < len(session.scans) and session.scans[number] is not scan:
        session.answer_in(scan, session.scans[number])


def _take_used(session: "Session", scan: Scan) -> tuple[Content, Arrays] | None:
    names = [query.name for query in scan.used if session.queries.get(query.name) is query]
    return ({"names": names}, {}) if names else None


def _parse_used(scan: Scan, content: Content, arrays: Arrays) -> tuple[str, ...]:
    return tuple(str(name) for name in content["names"])


def _give_used(session: "Session", scan: Scan, names: tuple[str, ...]) -> None:
    scan.used = tuple(session.queries[name] for name in names if name in session.queries)


def _take_strokes(session: "Session", scan: Scan) -> tuple[Content, Arrays] | None:
    painted = scan.probing.strokes.now
    return None if painted is None else painted_content(painted)


def _parse_strokes(scan: Scan, content: Content, arrays: Arrays) -> LabelVolume:
    return labels_from(content, arrays, like=(scan.volume.grid, scan.label_grid))


def _give_strokes(session: "Session", scan: Scan, strokes: LabelVolume) -> None:
    session.paint(strokes, scan)


def _take_probe(session: "Session", scan: Scan) -> tuple[Content, Arrays] | None:
    """Its numbers only where the scan's strokes do not give them again."""
    if scan.probe is None:
        return None
    return scan.probe.content() if scan.probe is scan.probing.given else ({}, {})


def _parse_probe(scan: Scan, content: Content, arrays: Arrays) -> "Probe | None":
    if not content:
        return None
    from coralbay_core.probe.model import probe_from

    return probe_from(arrays, content)


def _give_probe(session: "Session", scan: Scan, probe: "Probe | None") -> None:
    painted = scan.probing.strokes.now
    if probe is not None:
        session._apply_to(scan, probe)
    elif painted is not None and len(painted.classes) > 1:
        session.fit(scan=scan)


def _nothing(scan: Scan, content: Content, arrays: Arrays) -> None:
    """That a part is there says all."""


def _take_protected(session: "Session", scan: Scan) -> tuple[Content, Arrays] | None:
    kept = scan.probing.protected
    return None if kept is None else painted_content(PaintedVoxels.of(kept))


def _give_protected(session: "Session", scan: Scan, protected: LabelVolume) -> None:
    scan.probing.protected = protected
    session.protection_changed.emit(scan)


def _take_skipped(session: "Session", scan: Scan) -> tuple[Content, Arrays] | None:
    return ({"at_mm": scan.probing.skipped}, {}) if scan.probing.skipped else None


def _parse_skipped(scan: Scan, content: Content, arrays: Arrays) -> Any:
    return points(content["at_mm"])


def _give_skipped(session: "Session", scan: Scan, skipped: Any) -> None:
    scan.probing.skipped = skipped


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


def _take_cursor(session: "Session", scan: Scan) -> tuple[Content, Arrays] | None:
    return None if scan.cursor_mm is None else ({"at_mm": scan.cursor_mm}, {})


def _parse_place(scan: Scan, content: Content, arrays: Arrays) -> tuple[float, float, float]:
    (place,) = points([content["at_mm"]])
    scan.volume.grid.require_inside(place, where=scan.name)
    return place


def _give_cursor(session: "Session", scan: Scan, place: tuple[float, float, float]) -> None:
    if scan is session.scan:
        session.cursor_mm = place
    else:
        scan.cursor_mm = place


def _take_linked(session: "Session", scan: Scan) -> tuple[Content, Arrays] | None:
    return ({}, {}) if session.linked is scan else None


def _give_linked(session: "Session", scan: Scan, parsed: None) -> None:
    session.link_cursor(scan)


def _take_pca(session: "Session", scan: Scan) -> tuple[Content, Arrays] | None:
    return ({"method": scan.pca.method}, {}) if scan.pca is not None else None


def _parse_pca(scan: Scan, content: Content, arrays: Arrays) -> str:
    method = content.get("method", "pca")
    if method not in ("pca", "umap"):
        raise ValueError("unknown colors")
    return method


def _give_pca(session: "Session", scan: Scan, method: str) -> None:
    if method == "umap":
        session.compute_umap(scan=scan)
    else:
        session.compute_pca(scan=scan)


def _take_mirror(session: "Session", scan: Scan) -> tuple[Content, Arrays] | None:
    return None if scan.symmetry is None else ({"at_mm": scan.symmetry.position_mm.tolist()}, {})


def _give_mirror(session: "Session", scan: Scan, place: tuple[float, float, float]) -> None:
    session.mirror(place, scan)


def _take_features(session: "Session", scan: Scan) -> tuple[Content, Arrays] | None:
    """Only of the chosen model: that is what `load` computes with."""
    if scan.features is None or scan.model != session.model:
        return None
    return {"fingerprint": scan.features.fingerprint}, {}


def _parse_features(scan: Scan, content: Content, arrays: Arrays) -> str:
    return str(content["fingerprint"])


def _give_features(session: "Session", scan: Scan, fingerprint: str) -> None:
    session.compute(scan=scan)


def _take_follow_up(session: "Session", scan: Scan) -> tuple[Content, Arrays] | None:
    """Kept as a result: it is a table, and took minutes."""
    return ({"rows": list(scan.follow_up_rows)}, {}) if scan.follow_up_rows else None


def _parse_follow_up(scan: Scan, content: Content, arrays: Arrays) -> tuple[Content, ...]:
    rows = tuple(dict(row) for row in content["rows"])
    if not all(isinstance(v, str | int | float | bool) for row in rows for v in row.values()):
        raise ValueError("follow-up is no table")
    points([[row[axis] for axis in ("x_mm", "y_mm", "z_mm")] for row in rows])
    return rows


def _give_follow_up(session: "Session", scan: Scan, rows: tuple[Content, ...]) -> None:
    scan.follow_up_rows = rows
    session.follow_up_changed.emit(scan)


# Features come last among what is given when all scans are there: with an inline runner all that follows is done then.
SCAN_PARTS: tuple[ScanPart, ...] = (
    ScanPart("clicks", _take_clicks, _parse_clicks, _give_clicks),
    ScanPart("cursor", _take_cursor, _parse_place, _give_cursor),
    ScanPart("used", _take_used, _parse_used, _give_used),
    ScanPart("followup", _take_follow_up, _parse_follow_up, _give_follow_up, ("opened", "features")),
    ScanPart("pca", _take_pca, _parse_pca, _give_pca, ("features",)),
    ScanPart("protected", _take_protected, _parse_strokes, _give_protected),
    ScanPart("skipped", _take_skipped, _parse_skipped, _give_skipped),
    ScanPart("strokes", _take_strokes, _parse_strokes, _give_strokes),
    ScanPart("probe", _take_probe, _parse_probe, _give_probe, ("features",)),
    ScanPart("mirror", _take_mirror, _parse_place, _give_mirror, ("features",)),
    ScanPart("linked", _take_linked, _nothing, _give_linked, ("restored",)),
    ScanPart("origin", _take_origin, _parse_origin, _give_origin, ("restored",)),
    ScanPart("features", _take_features, _parse_features, _give_features, ("restored",)),
)


# --- parts of the session -----------------------------------------------------------------------------------------


def _take_settings(session: "Session") -> tuple[Content, Arrays]:
    weights = session.weights
    mixer = weights if weights is None or isinstance(weights, str) else {str(s): w for s, w in weights.items()}
    # While a scan is removed it is active for a moment more.
    scans = kept(session)
    active = scans.index(session.scan) if session.scan in scans else None
    probe = {"kind": session.kind, "refine": session.refine, "train_on_all": session.train_on_all}
    colors = {"components": session.components, "umap_components": session.umap_components}
    asked = {"share": session.share, "weights": mixer, "prior_mm": session.prior_mm, "active": active}
    return asked | probe | colors, {}


def _parse_settings(content: Content, arrays: Arrays) -> Content:
    share, prior, active = float(content["share"]), content["prior_mm"], content["active"]
    if not 0 < share <= 1 or not (prior is None or 0 < float(prior) < float("inf")):
        raise ValueError("settings out of range")
    if not (active is None or isinstance(active, int)):
        raise TypeError("no scan is active")
    kind = None if content["kind"] is None else known_kind(content["kind"])
    flags = {name: content[name] is True for name in ("refine", "train_on_all")}
    weights = checked_weights(content["weights"])
    colors = {name: _components(content.get(name, (0, 1, 2))) for name in ("components", "umap_components")}
    return {"share": share, "weights": weights, "prior_mm": prior, "active": active, "kind": kind} | flags | colors


def _components(numbers: Any) -> tuple[int, int, int]:
    red, green, blue = numbers
    if not all(type(number) is int and 0 <= number < _MOST_COMPONENTS for number in (red, green, blue)):
        raise ValueError("no such components")
    return red, green, blue


def _give_settings(session: "Session", settings: Content) -> None:
    session.share, session.weights = settings["share"], settings["weights"]
    session.prior_mm, session.kind = settings["prior_mm"], settings["kind"]
    session.refine, session.train_on_all = settings["refine"], settings["train_on_all"]
    session.components, session.umap_components = settings["components"], settings["umap_components"]


def _take_basis(session: "Session") -> tuple[Content, Arrays]:
    if session.basis is None:
        return {}, {}
    about, arrays = session.basis.content()
    umap = session.umap
    return about, arrays if umap is None else arrays | {"umap.sample": umap.sample, "umap.embedded": umap.embedded}


def _parse_basis(content: Content, arrays: Arrays) -> "tuple[Basis | None, UmapModel | None]":
    if not content:
        return None, None
    from coralbay_core.projection.basis import basis_from
    from coralbay_core.projection.embedding import UmapModel

    basis = basis_from(arrays, content)
    if "umap.sample" not in arrays:
        return basis, None
    sample, embedded = (np.asarray(arrays[f"umap.{name}"], np.float32) for name in ("sample", "embedded"))
    if not len(sample) or sample.shape[1:] != (basis.size,) or embedded.shape != (len(sample), 3):
        raise ValueError("shapes of a UMAP do not belong together")
    return basis, UmapModel(basis, sample, embedded, "neighbours", reducer=None)


def _give_basis(session: "Session", locked: "tuple[Basis | None, UmapModel | None]") -> None:
    session._set_basis(*locked)


def _take_queries(session: "Session") -> tuple[Content, Arrays] | None:
    arrays, about = {}, []
    for number, query in enumerate(session.queries.values()):
        for side in ("positive", "negative"):
            arrays |= {f"{number}.{side}.{s}": rows for s, rows in getattr(query, side).items()}
        weights = None if query.weights is None else {str(s): w for s, w in query.weights.items()}
        keys = ("name", "model", "fingerprint", "notice", "about")
        about.append({key: getattr(query, key) for key in keys} | {"weights": weights})
    return ({"queries": about}, arrays) if about else None


def _parse_queries(content: Content, arrays: Arrays) -> "dict[str, Query]":
    from coralbay_core.similarity.query import query_from

    found = {}
    for number, about in enumerate(content["queries"]):
        own = {key.split(".", 1)[1]: rows for key, rows in arrays.items() if key.split(".", 1)[0] == str(number)}
        query = query_from(own, about)
        found[query.name] = query
    return found


def _give_queries(session: "Session", queries: "dict[str, Query]") -> None:
    session.queries = queries
    session.queries_changed.emit()


SESSION_PARTS: tuple[SessionPart, ...] = (
    SessionPart("settings", _take_settings, _parse_settings, _give_settings),
    SessionPart("basis", _take_basis, _parse_basis, _give_basis),
    SessionPart("queries", _take_queries, _parse_queries, _give_queries),
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
    """The state now, of the scans that a file can name.

    Parameters
    ----------
    session : Session
    model : dict
        What the file says of the model.
    """
    about, arrays = _split(_taken(SESSION_PARTS, session))
    scans = tuple((scan, *_split(_taken_of(session, scan))) for scan in kept(session))
    return Snapshot(about | {"model": model}, arrays, scans)


def kept(session: "Session") -> list[Scan]:
    """Scans that can be found again. One without a file, such as a sample that was made, cannot."""
    return [scan for scan in session.scans if scan.volume.path is not None]


def _taken_of(session: "Session", scan: Scan) -> dict[str, tuple[Content, Arrays]]:
    pending = {} if scan.restoring is None else waiting(scan.restoring, session.model)
    return pending | _taken(SCAN_PARTS, session, scan)


def _taken(parts: Any, *owners: Any) -> dict[str, tuple[Content, Arrays]]:
    found = {part.name: part.take(*owners) for part in parts}
    return {name: taken for name, taken in found.items() if taken is not None}


def _split(taken: dict[str, tuple[Content, Arrays]]) -> tuple[dict[str, Content], dict[str, Arrays]]:
    return {name: about for name, (about, _) in taken.items()}, {name: own for name, (_, own) in taken.items() if own}


def _scan_state(scan: Scan, parts: dict[str, Content], arrays: dict[str, Arrays], folder: Any) -> ScanState:
    path, relative = scan.volume.path, None
    if folder is not None and path.resolve().is_relative_to(folder.resolve()):
        relative = path.resolve().relative_to(folder.resolve()).as_posix()
    return ScanState(scan.digest, scan.name, path.resolve().name, relative, scan.series, parts, arrays)


@dataclass(frozen=True, eq=False)
class Parsed:
    """What a file says, checked against the scans that it is about: nothing of it can fail for what it is."""

    session: dict[str, Any]
    scans: tuple[tuple[Volume, str | None, PendingRestore], ...]

    @property
    def active(self) -> int | None:
        return self.session.get("settings", {}).get("active")


def parse(state: State, volumes: list[Volume], model: str, where: object) -> Parsed:
    """Check all that a file says.

    Parameters
    ----------
    state : State
    volumes : list of Volume
        Of its scans.
    model : str
        To compute features with.
    where : object
        The file, for messages.

    Raises
    ------
    CoralBayError
    """
    about = {
        part.name: _checked(where, part.parse, state.about[part.name], state.arrays.get(part.name, {}))
        for part in SESSION_PARTS
        if part.name in state.about
    }
    scans = []
    for volume, entry in zip(volumes, state.scans, strict=True):
        bare = Scan(volume)
        raw = {
            part.name: (entry.parts[part.name], entry.arrays.get(part.name, {}))
            for part in SCAN_PARTS
            if part.name in entry.parts
        }
        parts = {
            part.name: _checked(where, part.parse, bare, *raw[part.name]) for part in SCAN_PARTS if part.name in raw
        }
        if "strokes" in parts:
            parts.setdefault("probe", None)  # files say of a probe since it may come from elsewhere
        scans.append((volume, entry.series, PendingRestore(parts, raw, model)))
    return Parsed(about, tuple(scans))


def _checked(where: object, parse: Callable[..., Any], *content: Any) -> Any:
    try:
        return parse(*content)
    except CoralBayError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise session_file.damaged(where, error) from error


def give_session(session: "Session", parsed: Parsed) -> None:
    """Restore what the session as a whole holds."""
    for part in SESSION_PARTS:
        if part.name in parsed.session:
            part.give(session, parsed.session[part.name])


def give_scan(session: "Session", scan: Scan, parts: dict[str, Any], when: When) -> None:
    """Restore what a scan holds, as far as its time has come."""
    for part in SCAN_PARTS:
        if when in part.when and part.name in parts:
            try:
                part.give(session, scan, parts[part.name])
            except CoralBayError as error:
                if when != "features":  # what comes with features has no caller to be told
                    raise
                session.failed.emit(error)
