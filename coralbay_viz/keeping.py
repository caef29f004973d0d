"""Saving and loading a session, and recovering one after a crash."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coralbay_core.errors import CoralBayError, InputError, MissingFileError
from coralbay_core.volume import Volume

from . import session_file, snapshot
from . import work as _work
from .autosave import Autosave, Lost, lost_sessions
from .jobs import Job
from .places import Places, candidates
from .session_file import ScanState, State
from .state import Scan

if TYPE_CHECKING:
    from .snapshot import Parsed, Snapshot

AUTOSAVE_LANE = "autosave"


class Keeping:
    """Commands of a `Session` that keep it: `save`, `load`, `recover`."""

    def _start_keeping(self: Any, autosave: bool) -> None:
        self._places = Places()
        self._changes = 0
        self._autosave = Autosave() if autosave else None
        if self._autosave is not None:
            for signal in self._changes_of_state():
                signal.connect(self._state_changed)

    def _changes_of_state(self: Any) -> tuple[Any, ...]:
        """Signals after which the state is worth a copy. The cursor moves too often; it goes with the next change."""
        return (
            self.scan_added, self.scan_removed, self.scan_changed, self.features_changed, self.clicks_changed,
            self.heat_changed, self.share_changed, self.pca_changed, self.segmentation_changed, self.model_changed,
            self.weights_changed, self.queries_changed, self.symmetry_changed, self.follow_up_changed,
            self.strokes_changed, self.protection_changed, self.suggestions_changed,
        )  # fmt: skip

    def _stop_keeping(self: Any) -> None:
        if self._autosave is not None:
            self._autosave.close()

    # Saving

    def save(self: Any, path: str | Path) -> Job:
        """Write all that was opened, clicked, painted and set as one file.

        Results are not in it: they follow from the scans, the model and what was asked, and `load` asks again.
        """
        path = session_file.require_name(Path(path))
        return self.run(f"save {path}", partial(_save, path, self._snapshot(), self._places), self.saved.emit)

    def _snapshot(self: Any) -> "Snapshot":
        return snapshot.take(self, {"name": Path(self.model).name, "is_file": _is_file(self.model)})

    def _state_changed(self: Any) -> None:
        # A scan without a file (a sample that was made) cannot be found again.
        if any(scan.volume.path is None for scan in self.scans) or self._autosave is None:
            return
        self._changes += 1
        work = partial(_write_autosave, self._autosave, self._snapshot(), self._changes, self._places)
        self.run(AUTOSAVE_LANE, work, lambda result: None)

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
        chosen = _model(state, model, path)
        wanted = [_found(scan, path, [Path(s) for s in scans], self._places) for scan in state.scans]
        work = partial(_opened, state, wanted, self._encoders, chosen, path)
        return self.run("load session", work, partial(self._replay, chosen))

    def _replay(self: Any, model: str, parsed: "Parsed") -> None:
        for scan in list(self.scans):
            self.remove(scan)
        self.model = model
        snapshot.give_session(self, parsed)
        pairs = [(self.add(volume, series=series), parts) for volume, series, parts in parsed.scans]
        for scan, parts in pairs:
            snapshot.give_scan(self, scan, parts, "opened")
            self._when_features_come(scan, parts)
        if parsed.active is not None and 0 <= parsed.active < len(pairs):
            self.activate(pairs[parsed.active][0])
        for scan, parts in pairs:
            snapshot.give_scan(self, scan, parts, "restored")

    def _when_features_come(self: Any, scan: Scan, parts: dict[str, Any]) -> None:
        """Ask once for what needs features."""

        def replay(changed: Scan) -> None:
            if changed is scan and scan.features is not None:
                self.features_changed.disconnect(replay)
                try:
                    snapshot.give_scan(self, scan, parts, "features")
                except CoralBayError as error:
                    self.failed.emit(error)

        self.features_changed.connect(replay)

    # After a crash

    @staticmethod
    def lost() -> list[Lost]:
        """Sessions that ended without being closed, the newest first."""
        return lost_sessions()

    def recover(self: Any, lost: Lost) -> Job:
        """Load a lost session; its autosave is removed when its scans are open again."""
        job = self.load(lost.path)
        if job.state == "done":
            lost.forget()
        else:
            job.finished.connect(lambda: lost.forget() if job.state == "done" else None)
        return job


def _is_file(model: str) -> bool:
    return model not in _work.model_names()


def _model(state: State, given: str | Path | None, path: Path) -> str:
    """The model to compute with."""
    said = state.about.get("model", {})
    name = said.get("name")
    if not isinstance(name, str):
        raise session_file.damaged(path, "no model")
    if given is not None:
        return str(given)
    if said.get("is_file") is not False or name not in _work.model_names():
        raise InputError(
            "session was made with a model that is not here",
            where=path,
            found=name[:80],
            expected="a model of `coralbay models list`",
            hint="say where it is: load(path, model=PATH)",
        )
    return name


def _found(scan: ScanState, path: Path, extra: list[Path], places: Places) -> tuple[ScanState, list[Path]]:
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
    encoders: _work.Encoders,
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
    return snapshot.parse(state, volumes, path)


def _same_scan(scan: ScanState, guesses: list[Path], report: Any, cancelled: Any) -> Volume:
    from coralbay_core.store import content_digest

    for guess in guesses:
        try:
            volume = _work.open_volume(guess, scan.series, report, cancelled)
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


def _save(path: Path, taken: "Snapshot", places: Places, report: Any, cancelled: Any) -> Path:
    written = session_file.write(path, taken.state(path.parent))
    _remember(taken, places)
    return written


def _write_autosave(
    autosave: Autosave, taken: "Snapshot", generation: int, places: Places, report: Any, cancelled: Any
) -> None:
    if not cancelled():  # a newer state is on its way
        autosave.write(taken.state(), generation)
        _remember(taken, places)


def _remember(taken: "Snapshot", places: Places) -> None:
    places.remember({scan.digest: scan.volume.path for scan, *_ in taken.scans if scan.volume.path is not None})
