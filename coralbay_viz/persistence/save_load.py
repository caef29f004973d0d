"""Saving and loading a session, and recovering one after a crash."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coralbay_core.errors import CoralBayError, InputError, MissingFileError
from coralbay_core.spatial import Volume

from ..jobs import Job
from ..model.scan import Scan
from ..tasks import encoders as encoders_tasks
from ..tasks import files as files_tasks
from . import scan_parts, session_file
from .autosave import Autosave, RecoverableSession, lost_sessions
from .locations import ScanLocations, candidates
from .session_file import ScanState, State

if TYPE_CHECKING:
    from .scan_parts import Parsed, Snapshot

AUTOSAVE_LANE = "autosave"
REST_S = 1.0
"""Changes within so long are saved together, so a crash costs no more than that."""


class MissingModelError(InputError):
    """A session needs a model that is not known here: `load` takes the path of its weights."""


class Keeping:
    """Commands of a `Session` that keep it: `save`, `load`, `recover`."""

    def _start_keeping(self: Any, autosave: bool) -> None:
        self._places = ScanLocations()
        self._changes = 0
        self._wants_autosave = autosave
        self._autosave: Autosave | None = None
        self._resting = False
        self._end_rest: Callable[[], None] = lambda: None
        self._recovered: tuple[RecoverableSession, ...] = ()
        self._told_left_out = False
        for signal, part, result in (
            (self.segmentation_changed, "probe", "probe"),
            (self.pca_changed, "pca", "pca"),
            (self.symmetry_changed, "mirror", "symmetry"),
        ):
            signal.connect(partial(_note_result, part, result))
        if autosave:
            for signal in self._changes_of_state():
                signal.connect(self._state_changed)

    def _changes_of_state(self: Any) -> tuple[Any, ...]:
        """Signals after which the state is worth a copy. The cursor moves too often; it goes with the next change."""
        return (
            self.scan_added, self.scan_removed, self.scan_changed, self.features_changed, self.clicks_changed,
            self.heat_changed, self.share_changed, self.pca_changed, self.segmentation_changed, self.model_changed,
            self.weights_changed, self.queries_changed, self.symmetry_changed, self.follow_up_changed,
            self.strokes_changed, self.protection_changed, self.suggestions_changed, self.basis_changed,
        )  # fmt: skip

    def _stop_keeping(self: Any) -> None:
        self._wants_autosave = False
        self._end_rest()
        if self._autosave is not None:
            self._autosave.close()
        self._forget_recovered(self._recovered)

    # Saving

    def save(self: Any, path: str | Path) -> Job:
        """Write all that was opened, clicked, painted and set as one file.

        Results are not in it: they follow from the scans, the model and what was asked, and `load` asks again.
        """
        path = session_file.require_name(Path(path))
        if left_out := self._left_out():
            raise CoralBayError(
                "scan has no file", where=left_out[0], hint="save it as NIfTI and open that before you save the session"
            )
        work = partial(_save, path, self._snapshot(), partial(_remember, self._places, self.model))
        return self.run(f"save {path}", work, self.saved.emit)

    def _snapshot(self: Any) -> "Snapshot":
        return scan_parts.take(self, {"name": Path(self.model).name, "is_file": _is_file(self.model)})

    def _left_out(self: Any) -> list[str]:
        kept = scan_parts.kept(self)
        return [scan.name for scan in self.scans if scan not in kept]

    def _state_changed(self: Any) -> None:
        """Save it soon. A slider changes the state a hundred times a second, and each copy is a file."""
        if self._wants_autosave and not self._resting:
            self._resting = True
            self._end_rest = self._runner.later(REST_S, self._write_autosave)

    def _write_autosave(self: Any) -> None:
        self._resting = False
        try:
            self._autosave = self._autosave or Autosave()
        except InputError as error:
            self._wants_autosave = False
            self.failed.emit(error)
            return
        self._say_left_out()
        self._changes += 1
        remember = partial(_remember, self._places, self.model)
        work = partial(_write_autosave, self._autosave, self._snapshot(), self._changes, remember)
        self.run(AUTOSAVE_LANE, work, partial(self._forget_recovered, self._recovered))

    def _say_left_out(self: Any) -> None:
        left_out = self._left_out()
        if left_out and not self._told_left_out:
            self._told_left_out = True
            names = ", ".join(left_out)
            self.said.emit(f"{names}: no file, so a crash loses what is done on it. Save it as NIfTI and open that.")

    # Loading

    def load(self: Any, path: str | Path, *, scans: Sequence[str | Path] = (), model: str | Path | None = None) -> Job:
        """Replace what is open by what a session file says, and compute its results again.

        Parameters
        ----------
        path : str or Path
        scans : sequence of path
            Files and folders to look for scans in, where they have moved.
        model : str or Path, optional
            Where a model of one's own is now.

        Raises
        ------
        MissingFileError, InputError
            For a file that is no session, or names what is not here: nothing of it is used then.
        """
        path = Path(path)
        state = session_file.read(path)
        chosen = _model(state, model, path, self._places)
        wanted = [_found(scan, path, [Path(s) for s in scans], self._places) for scan in state.scans]
        work = partial(_opened, state, wanted, self._encoders, chosen, path)
        return self.run("load session", work, partial(self._replay, chosen))

    def _replay(self: Any, model: str, parsed: "Parsed") -> None:
        for scan in list(self.scans):
            self.remove(scan)
        self.model = model
        scan_parts.give_session(self, parsed)
        # Not before the views listen: they ask for colors of their own then, and what was saved is to win.
        self.features_changed.connect(self._features_came, unique=True)
        scans = [self.add(volume, series=series) for volume, series, _ in parsed.scans]
        for scan, (*_, restoring) in zip(scans, parsed.scans, strict=True):
            scan.restoring = restoring
            scan_parts.give_scan(self, scan, restoring.parts, "opened")
        if parsed.active is not None and 0 <= parsed.active < len(scans):
            self.activate(scans[parsed.active])
        for scan, (*_, restoring) in zip(scans, parsed.scans, strict=True):
            scan_parts.give_scan(self, scan, restoring.parts, "restored")
        self._state_changed()

    def _features_came(self: Any, scan: Scan) -> None:
        """Ask once for what a file said and needs features; after others have replaced them it is out of date."""
        restoring = scan.restoring
        if restoring is None or scan.features is None:
            return
        scan.restoring = None if restoring.asked else restoring.given()
        scan_parts.give_scan(self, scan, restoring.parts, "features")

    # After a crash

    @staticmethod
    def lost() -> list[RecoverableSession]:
        """Sessions that ended without being closed, the newest first."""
        return lost_sessions()

    def recover(self: Any, lost: RecoverableSession, *, model: str | Path | None = None) -> Job:
        """Load a lost session; its autosave is removed when its scans are open and this session's own is written.

        Parameters
        ----------
        lost : RecoverableSession
        model : str or Path, optional
            As of `load`.
        """
        job = self.load(lost.path, model=model)
        if job.running:
            job.finished.connect(lambda: self._replace_lost(lost, job))
        else:
            self._replace_lost(lost, job)
        return job

    def _replace_lost(self: Any, lost: RecoverableSession, job: Job) -> None:
        if job.state != "done":
            return
        self._recovered = (*self._recovered, lost)
        if self._wants_autosave:
            self._write_autosave()
        else:
            self._forget_recovered(self._recovered)

    def _forget_recovered(self: Any, done: tuple[RecoverableSession, ...], result: Any = None) -> None:
        for lost in done:
            lost.forget()
        self._recovered = tuple(lost for lost in self._recovered if lost not in done)


def _note_result(part: str, result: str, scan: Scan) -> None:
    """What has come back, and is taken away later, must not come back once more."""
    if scan.restoring is not None and getattr(scan, result) is not None:
        scan.restoring = scan.restoring.with_result(part)


def _is_file(model: str) -> bool:
    return encoders_tasks.split_variant(model)[0] not in encoders_tasks.model_names()


def _model(state: State, given: str | Path | None, path: Path, places: ScanLocations) -> str:
    """The model to compute with."""
    said = state.about.get("model", {})
    if not isinstance(said.get("name"), str):
        raise session_file.damaged(path, "no model")
    name, variant = encoders_tasks.split_variant(said["name"])
    is_file = said.get("is_file") is not False
    if given is not None:
        return str(given) + (variant if is_file and not encoders_tasks.split_variant(str(given))[1] else "")
    if not is_file and name in encoders_tasks.model_names():
        return said["name"]
    known = places.find(_weights_key(name)) if is_file else None
    if known is not None and known.exists():
        return f"{known}{variant}"
    raise MissingModelError(
        "session was made with a model that is not here",
        where=path,
        found=name[:80],
        expected="a model of `coralbay models list`, or the file of its weights",
        hint="say where it is: load(path, model=PATH)",
    )


def _weights_key(name: str) -> str:
    """Weights of one's own are found by name; that they are the same is checked when they are loaded."""
    return f"weights {name}"


def _found(scan: ScanState, path: Path, extra: list[Path], places: ScanLocations) -> tuple[ScanState, list[Path]]:
    """Where a scan may be, the best guess first."""
    guesses = [path.parent / scan.path] if scan.path is not None else []
    guesses += list(candidates(scan.file, extra))
    known = places.find(scan.digest)
    here = [guess for guess in [*guesses, *([known] if known else [])] if guess.exists()]
    if not here:
        raise MissingFileError(
            "scan of the session is not here",
            where=scan.name,
            found=f"nothing at {known or guesses[0]}" if known or guesses else "no place on this machine",
            expected=f"{scan.file} with hash {scan.digest[:12]}",
            hint="put it beside the session, or load(path, scans=[FOLDER])",
        )
    return scan, list(dict.fromkeys(here))


def _opened(
    state: State,
    wanted: list[tuple[ScanState, list[Path]]],
    encoders: encoders_tasks.Encoders,
    model: str,
    path: Path,
    report: Any,
    cancelled: Any,
) -> "Parsed":
    """All scans, the model and the rest of the file, checked: nothing is replaced before that."""
    prints = {part["fingerprint"] for scan in state.scans if (part := scan.parts.get("features"))}
    if prints and prints != {encoders.get(model).fingerprint}:
        raise InputError(
            "session was made with other weights",
            where=path,
            found=f"{model} ({encoders.get(model).fingerprint[:12]})",
            expected=", ".join(sorted(str(p)[:12] for p in prints)),
            hint="say where those are: load(path, model=PATH)",
        )
    volumes = []
    for number, (scan, guesses) in enumerate(wanted):
        report(number, len(wanted))
        volumes.append(_same_scan(scan, guesses, report, cancelled))
    return scan_parts.parse(state, volumes, model, path)


def _same_scan(scan: ScanState, guesses: list[Path], report: Any, cancelled: Any) -> Volume:
    from coralbay_core.extraction.cache import content_digest

    for guess in guesses:
        try:
            volume = files_tasks.open_volume(guess, scan.series, report, cancelled)
        except CoralBayError:
            if len(guesses) == 1:
                raise
            continue
        if content_digest(volume) == scan.digest:
            return volume
    raise InputError(
        "scan of the session has changed",
        where=guesses[0],
        expected=f"hash {scan.digest[:12]}",
        hint="bring the old file back, or load(path, scans=[FOLDER])",
    )


def _save(path: Path, taken: "Snapshot", remember: "Callable[[Snapshot], None]", report: Any, cancelled: Any) -> Path:
    written = session_file.write(path, taken.state(path.parent))
    remember(taken)
    return written


def _write_autosave(
    autosave: Autosave,
    taken: "Snapshot",
    generation: int,
    remember: "Callable[[Snapshot], None]",
    report: Any,
    cancelled: Any,
) -> None:
    if not cancelled():  # a newer state is on its way
        autosave.write(taken.state(), generation)
        remember(taken)


def _remember(places: ScanLocations, model: str, taken: "Snapshot") -> None:
    """Keep where scans lie on this machine, and weights of one's own."""
    found = {scan.digest: scan.volume.path for scan, *_ in taken.scans if scan.volume.path is not None}
    weights = Path(encoders_tasks.split_variant(model)[0])
    if _is_file(model) and weights.exists():
        found[_weights_key(weights.name)] = weights
    places.remember(found)
