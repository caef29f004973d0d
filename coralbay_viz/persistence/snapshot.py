"""Snapshots: the state of a session as plain values and arrays, and back."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coralbay_core.errors import CoralBayError
from coralbay_core.spatial import Volume

from ..controllers import Controllers
from ..model.pending_restore import PendingRestore
from ..model.scan import Scan
from . import session_file
from .nearby import SIZE, is_single_file
from .parts import Captured, Content, When, saveable_scans
from .scan_parts import SCAN_PARTS
from .session_file import Arrays, ScanState, State
from .session_parts import SESSION_PARTS


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The state at one moment. Hashes of scans take a while, so `state` adds them, on any thread."""

    about: dict[str, Content]
    arrays: dict[str, Arrays]
    scans: tuple[tuple[Scan, dict[str, Content], dict[str, Arrays]], ...]

    def state(self, folder: Path | None = None, names: bool = True) -> State:
        """Return the content of a file in a folder; scans below the folder get a relative path.

        Without `names` scans are numbered, and named by nothing but their hash and size: files and folders are often
        called after a patient.
        """
        scans = (_scan_state(*entry, folder) for entry in self.scans)
        if not names:
            scans = (_nameless(number, *entry) for number, entry in enumerate(self.scans, 1))
        return State(self.about, self.arrays, tuple(scans))


@dataclass(frozen=True, eq=False)
class Validated:
    """The content of a file, validated against its scans: restoring it cannot fail because of the content."""

    session: dict[str, Any]
    scans: tuple[tuple[Volume, PendingRestore], ...]

    @property
    def active(self) -> int | None:
        """Index of the active scan."""
        return self.session.get("settings", {}).get("active")


def capture(controllers: Controllers, model: Content) -> Snapshot:
    """Capture the present state of the scans that a file can name.

    Parameters
    ----------
    controllers : Controllers
    model : dict
        Description of the model for the file.
    """
    captured = {part.name: part.capture(controllers) for part in SESSION_PARTS}
    about, arrays = _split({name: found for name, found in captured.items() if found is not None})
    scans = tuple((scan, *_split(_captured_of(controllers, scan))) for scan in saveable_scans(controllers))
    return Snapshot(about | {"model": model}, arrays, scans)


def _captured_of(controllers: Controllers, scan: Scan) -> dict[str, Captured]:
    pending = {} if scan.restoring is None else waiting(scan.restoring, controllers.features.model)
    captured = {part.name: part.capture(controllers, scan) for part in SCAN_PARTS}
    return pending | {name: found for name, found in captured.items() if found is not None}


def _split(captured: dict[str, Captured]) -> tuple[dict[str, Content], dict[str, Arrays]]:
    about = {name: content for name, (content, _) in captured.items()}
    return about, {name: arrays for name, (_, arrays) in captured.items() if arrays}


def _scan_state(scan: Scan, parts: dict[str, Content], arrays: dict[str, Arrays], folder: Path | None) -> ScanState:
    path, relative = scan.volume.path, None
    assert path is not None  # of saveable scans alone
    if folder is not None and path.resolve().is_relative_to(folder.resolve()):
        relative = path.resolve().relative_to(folder.resolve()).as_posix()
    return ScanState(scan.digest, scan.name, path.resolve().name, relative, scan.volume.series, parts, arrays)


def _nameless(number: int, scan: Scan, parts: dict[str, Content], arrays: dict[str, Arrays]) -> ScanState:
    path = scan.volume.path
    assert path is not None  # of saveable scans alone
    size = {SIZE: {"bytes": path.stat().st_size}} if is_single_file(path) else {}
    return ScanState(scan.digest, f"scan {number}", "", None, scan.volume.series, parts | size, arrays)


def waiting(pending: PendingRestore, model: str) -> dict[str, Captured]:
    """Return the saved parts that may still be restored with this model."""
    names = {part.name for part in SCAN_PARTS if "features" in part.when} - pending.come
    if not pending.asked and model == pending.model:
        names.add("features")
    return {name: captured for name, captured in pending.raw.items() if name in names}


def validate(state: State, volumes: list[Volume], model: str, where: object) -> Validated:
    """Validate the content of a file.

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
        part.name: _checked(where, part.validate, state.about[part.name], state.arrays.get(part.name, {}))
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
            part.name: _checked(where, part.validate, bare, *raw[part.name]) for part in SCAN_PARTS if part.name in raw
        }
        if "strokes" in parts:
            parts.setdefault("probe", None)  # older files have no probe part: they fit one to the strokes
        scans.append((volume, PendingRestore(parts, raw, model)))
    return Validated(about, tuple(scans))


def _checked(where: object, validate: Callable[..., Any], *content: Any) -> Any:
    try:
        return validate(*content)
    except CoralBayError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise session_file.damaged(where, error) from error


def restore_session(controllers: Controllers, validated: Validated) -> None:
    """Restore the parts of the session as a whole."""
    for part in SESSION_PARTS:
        if part.name in validated.session:
            part.restore(controllers, validated.session[part.name])


def restore_scan(controllers: Controllers, scan: Scan, parts: dict[str, Any], when: When) -> None:
    """Restore the parts of a scan whose time has come."""
    for part in SCAN_PARTS:
        if when in part.when and part.name in parts:
            try:
                part.restore(controllers, scan, parts[part.name])
            except CoralBayError as error:
                if when != "features":  # parts that follow features have no caller to raise to
                    raise
                controllers.workspace.failed.emit(error)
