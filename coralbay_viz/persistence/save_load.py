"""Saving and loading a session, and recovering one after a crash."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from psygnal import SignalInstance

from coralbay_core.errors import CoralBayError, InputError, MissingFileError
from coralbay_core.spatial import Volume
from coralbay_core.util.arguments import as_path, checked

from ..controllers import Controllers
from ..jobs import Job, JobContext, JobKey, without_context
from ..model.scan import Scan
from ..tasks.encoders import Encoders, model_names, split_variant
from ..tasks.files import open_volume
from . import session_file
from .autosave import Autosave, RecoverableSession, lost_sessions
from .locations import ScanLocations, candidates
from .nearby import SIZE, nearby
from .parts import saveable_scans
from .session_file import ScanState, State
from .snapshot import Snapshot, Validated, capture, restore_scan, restore_session, validate

AUTOSAVE = JobKey("autosave")
REST_S = 1.0
"""Changes within this time are saved together, so a crash costs no more than that."""


class MissingModelError(InputError):
    """A session needs a model that is not known here: `load` takes the path of its weights.

    Attributes
    ----------
    name : str
        Of the model.
    """

    name = ""


class MissingScanError(MissingFileError):
    """A session needs a scan that is not where it was: `load` takes the folders to look in.

    Attributes
    ----------
    name : str
        Of the scan.
    """

    name = ""


class SessionFiles:
    """Save, load, autosave and recover the state of a session.

    Parameters
    ----------
    controllers : Controllers
    autosave : bool
        Whether to write the state to a recoverable folder within a second of a change.
    """

    def __init__(self, controllers: Controllers, autosave: bool) -> None:
        self._controllers = controllers
        self._workspace = controllers.workspace
        self._locations = ScanLocations()
        self._changes = 0
        self._wants_autosave = autosave
        self._autosave: Autosave | None = None
        self._resting = False
        self._end_rest: Callable[[], None] = lambda: None
        self._recovered: tuple[RecoverableSession, ...] = ()
        self._warned_left_out = False
        self._autosave_fails = False
        for signal, part, result in (
            (controllers.segmentation.segmentation_changed, "probe", "probe"),
            (controllers.projections.pca_changed, "pca", "pca"),
            (controllers.comparisons.symmetry_changed, "mirror", "symmetry"),
        ):
            signal.connect(partial(_note_result, part, result))
        if autosave:
            for signal in _changes_of_state(controllers):
                signal.connect(self._state_changed)

    def close(self) -> None:
        """Stop autosaving; nothing is left to recover."""
        self._wants_autosave = False
        self._end_rest()
        if self._autosave is not None:
            self._autosave.close()
        self._forget_recovered(self._recovered)

    # Saving

    @checked
    def save(self, path: str | Path, *, names: bool = False) -> Job:
        """Write everything that was opened, clicked, painted and set to one file.

        Results are not saved: `load` computes them again.

        Parameters
        ----------
        path : str or Path
        names : bool
            Whether to write names and paths of scans, too. They often name a patient, and a session may be passed on;
            without them `load` finds scans by their content: where they were on this machine, beside the session, or
            in the folders that it is given.
        """
        path = session_file.require_name(as_path(path))
        if left_out := self._left_out():
            raise CoralBayError(
                "scan has no file", where=left_out[0], hint="save it as NIfTI and open that before you save the session"
            )
        work = partial(
            _save,
            path,
            self._snapshot(),
            partial(_remember, self._locations, self._controllers.features.model),
            names,
        )
        self._workspace.inputs.wrote(path)  # saving a session again is what its file is for
        return self._workspace.write(path, without_context(work))

    def _snapshot(self) -> Snapshot:
        model = self._controllers.features.model
        return capture(self._controllers, {"name": Path(model).name, "is_file": _is_file(model)})

    def _remember(self) -> Callable[[Snapshot], None]:
        return partial(_remember, self._locations, self._controllers.features.model)

    def _left_out(self) -> list[str]:
        kept = saveable_scans(self._controllers)
        return [scan.name for scan in self._workspace.scans if scan not in kept]

    def _state_changed(self) -> None:
        """Save soon: a slider changes the state a hundred times per second, and each copy is a file."""
        if self._wants_autosave and not self._resting:
            self._resting = True
            self._end_rest = self._workspace.runner.later(REST_S, self._write_autosave)

    def _write_autosave(self) -> None:
        self._resting = False
        try:
            self._autosave = self._autosave or Autosave()
        except InputError as error:
            self._wants_autosave = False
            self._workspace.failed.emit(error)
            return
        self._warn_left_out()
        self._changes += 1
        work = partial(_write_autosave, self._autosave, self._snapshot(), self._changes, self._remember())
        self._workspace.run(AUTOSAVE, work, partial(self._autosaved, self._recovered))

    def _autosaved(self, recovered: tuple[RecoverableSession, ...], problem: Exception | None) -> None:
        """Say once, and not at each change, that states cannot be saved; the next change tries again."""
        if problem is None:
            self._autosave_fails = False
            self._forget_recovered(recovered)
        elif not self._autosave_fails:
            self._autosave_fails = True
            self._workspace.failed.emit(
                CoralBayError(
                    "work is not saved automatically now", found=str(problem)[:200],
                    hint="nothing is lost yet: free some space, or save the session elsewhere",
                )
            )  # fmt: skip

    def _warn_left_out(self) -> None:
        left_out = self._left_out()
        if left_out and not self._warned_left_out:
            self._warned_left_out = True
            names = ", ".join(left_out)
            self._workspace.message.emit(
                f"Not saved automatically: {names} has no file. Save it as NIfTI and open that; a crash would lose "
                "what is done on it."
            )

    # Loading

    @checked
    def load(self, path: str | Path, *, scans: Sequence[str | Path] = (), model: str | Path | None = None) -> Job:
        """Replace the open scans by those of a session file, and compute the results again.

        Parameters
        ----------
        path : str or Path
        scans : sequence of path
            Files and folders to look for scans in, where they have moved.
        model : str or Path, optional
            File of the weights, where they have moved.

        Raises
        ------
        MissingFileError, InputError
            For a file that is no session, or names files that are missing; the session is unchanged then.
        """
        path = as_path(path)
        state = session_file.read(path)
        self._workspace.inputs.note(path)
        chosen = _model(state, model, path, self._locations)
        wanted = [_found(scan, path, [Path(s) for s in scans], self._locations) for scan in state.scans]
        work = partial(_opened, state, wanted, self._controllers.features.encoders, chosen, path)
        return self._workspace.run(JobKey("load session"), work, partial(self._replay, chosen))

    def _replay(self, model: str, validated: Validated) -> None:
        for scan in list(self._workspace.scans):
            self._workspace.remove(scan)
        self._controllers.features.model = model
        restore_session(self._controllers, validated)
        # After the views have connected: they compute colors of their own then, and the saved ones take precedence.
        self._controllers.features.features_changed.connect(self._features_came, unique=True)
        scans = [self._workspace.add(volume) for volume, _ in validated.scans]
        for scan, (_, restoring) in zip(scans, validated.scans, strict=True):
            scan.restoring = restoring
            restore_scan(self._controllers, scan, restoring.parts, "opened")
        if validated.active is not None and 0 <= validated.active < len(scans):
            self._workspace.activate(scans[validated.active])
        for scan, (_, restoring) in zip(scans, validated.scans, strict=True):
            restore_scan(self._controllers, scan, restoring.parts, "restored")
        self._state_changed()

    def _features_came(self, scan: Scan) -> None:
        """Restore the saved state that depends on features, once; later features make it out of date."""
        restoring = scan.restoring
        if restoring is None or scan.features is None:
            return
        scan.restoring = None if restoring.asked else restoring.given()
        restore_scan(self._controllers, scan, restoring.parts, "features")

    # After a crash

    @staticmethod
    def lost() -> list[RecoverableSession]:
        """Sessions that ended without being closed, the newest first."""
        return lost_sessions()

    def recover(
        self, lost: RecoverableSession, *, scans: Sequence[str | Path] = (), model: str | Path | None = None
    ) -> Job:
        """Load a lost session; its autosave is removed when its scans are open and this session's own is written.

        Parameters
        ----------
        lost : RecoverableSession
        scans, model : optional
            As of `load`.
        """
        job = self.load(lost.path, scans=scans, model=model)
        if job.running:
            job.finished.connect(lambda: self._replace_lost(lost, job))
        else:
            self._replace_lost(lost, job)
        return job

    def _replace_lost(self, lost: RecoverableSession, job: Job) -> None:
        if job.state != "done":
            return
        self._recovered = (*self._recovered, lost)
        if self._wants_autosave:
            self._write_autosave()
        else:
            self._forget_recovered(self._recovered)

    def _forget_recovered(self, done: tuple[RecoverableSession, ...], result: object = None) -> None:
        for lost in done:
            lost.forget()
        self._recovered = tuple(lost for lost in self._recovered if lost not in done)


def _changes_of_state(c: Controllers) -> tuple[SignalInstance, ...]:
    """Return the signals after which the state is saved. The cursor moves too often; the next change includes it."""
    return (
        c.workspace.scan_added, c.workspace.scan_removed, c.workspace.scan_changed,
        c.features.features_changed, c.features.model_changed,
        c.similarity.clicks_changed, c.similarity.heat_changed, c.similarity.body_fraction_changed,
        c.similarity.weights_changed, c.queries.queries_changed,
        c.comparisons.symmetry_changed, c.comparisons.follow_up_changed,
        c.projections.pca_changed, c.projections.basis_changed,
        c.segmentation.segmentation_changed, c.segmentation.strokes_changed, c.segmentation.protection_changed,
        c.suggestions.suggestions_changed, c.classes.colors_changed,
    )  # fmt: skip


def _note_result(part: str, result: str, scan: Scan) -> None:
    """Note that a result has been restored: if it is removed later, it must not be restored again."""
    if scan.restoring is not None and getattr(scan, result) is not None:
        scan.restoring = scan.restoring.with_result(part)


def _is_file(model: str) -> bool:
    return split_variant(model)[0] not in model_names()


def _model(state: State, given: str | Path | None, path: Path, locations: ScanLocations) -> str:
    """Return the model to compute with."""
    saved = state.about.get("model", {})
    if not isinstance(saved.get("name"), str):
        raise session_file.damaged(path, "no model")
    name, variant = split_variant(saved["name"])
    is_file = saved.get("is_file") is not False
    if given is not None:
        return str(given) + (variant if is_file and not split_variant(str(given))[1] else "")
    if not is_file and name in model_names():
        return saved["name"]
    known = locations.find(_weights_key(name)) if is_file else None
    if known is not None and known.exists():
        return f"{known}{variant}"
    missing = MissingModelError(
        "the session's model was not found",
        where=path,
        found=name[:80],
        expected="a model of `coralbay models list`, or the file of its weights",
        hint="name its file: load(path, model=PATH)",
    )
    missing.name = name
    raise missing


def _weights_key(name: str) -> str:
    """Return the key of a weights file: found by name, checked when loaded."""
    return f"weights {name}"


def _found(scan: ScanState, path: Path, extra: list[Path], locations: ScanLocations) -> tuple[ScanState, list[Path]]:
    """Return the files that may be a scan, the best guess first."""
    guesses = [path.parent / scan.path] if scan.path is not None else []
    guesses += list(candidates(scan.file, extra))
    known = locations.find(scan.digest)
    here = [guess for guess in [*guesses, *([known] if known else [])] if guess.exists()]
    if not scan.file and (known is None or not known.exists()):
        size = scan.parts.get(SIZE, {}).get("bytes")
        folders = [path.parent, *(folder for folder in extra if folder.is_dir())]
        here = [*(place for folder in folders for place in nearby(folder, size)), *here]
    if not here:
        missing = MissingScanError(
            "a scan of the session was not found",
            where=scan.name,
            found=f"nothing at {known or guesses[0]}" if known or guesses else "no place on this machine",
            expected=f"{scan.file or 'a scan'} with hash {scan.digest[:12]}",
            hint="put it beside the session, or name the folder that it is in: load(path, scans=[FOLDER])",
        )
        missing.name = scan.name
        raise missing
    return scan, list(dict.fromkeys(here))


def _opened(
    state: State,
    wanted: list[tuple[ScanState, list[Path]]],
    encoders: Encoders,
    model: str,
    path: Path,
    context: JobContext,
) -> Validated:
    """Open and validate everything before anything is replaced."""
    prints = {part["fingerprint"] for scan in state.scans if (part := scan.parts.get("features"))}
    if prints and prints != {encoders.get(model).fingerprint}:
        raise InputError(
            "session was made with other weights",
            where=path,
            found=f"{model} ({encoders.get(model).fingerprint[:12]})",
            expected=", ".join(sorted(str(p)[:12] for p in prints)),
            hint="name their file: load(path, model=PATH)",
        )
    volumes = []
    for number, (scan, guesses) in enumerate(wanted):
        context.progress(number, len(wanted))
        volumes.append(_same_scan(scan, guesses))
    return validate(state, volumes, model, path)


def _same_scan(scan: ScanState, guesses: list[Path]) -> Volume:
    from coralbay_core.extraction.cache import content_digest

    opened = 0
    for guess in guesses:
        try:
            volume = open_volume(guess, scan.series)
        except CoralBayError:
            if len(guesses) == 1 and guess.is_file():
                raise
            continue
        opened += 1
        if content_digest(volume) == scan.digest:
            return volume
    if not opened:
        raise MissingScanError(
            "a scan of the session was not found",
            where=scan.name,
            found=f"no scan in {guesses[0]}",
            expected=f"hash {scan.digest[:12]}",
            hint="open the session again and choose the folder that holds it",
        )
    raise InputError(
        "scan of the session has changed",
        where=guesses[0],
        expected=f"hash {scan.digest[:12]}",
        hint="bring the old file back, or put it beside the session",
    )


def _save(path: Path, snapshot: Snapshot, remember: Callable[[Snapshot], None], names: bool) -> Path:
    written = session_file.write(path, snapshot.state(path.parent, names))
    remember(snapshot)
    return written


def _write_autosave(
    autosave: Autosave,
    snapshot: Snapshot,
    generation: int,
    remember: Callable[[Snapshot], None],
    context: JobContext,
) -> Exception | None:
    """Write a state; return the error if the system refuses it."""
    if context.cancelled():  # a newer state is on its way
        return None
    try:
        autosave.write(snapshot.state(), generation)
        remember(snapshot)
    except (CoralBayError, OSError, MemoryError) as error:
        return error
    return None


def _remember(locations: ScanLocations, model: str, snapshot: Snapshot) -> None:
    """Remember the locations of scans and weights files on this machine."""
    found = {scan.digest: scan.volume.path for scan, *_ in snapshot.scans if scan.volume.path is not None}
    weights = Path(split_variant(model)[0])
    if _is_file(model) and weights.exists():
        found[_weights_key(weights.name)] = weights
    locations.remember(found)
