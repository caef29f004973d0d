"""Shared context of the panels: viewer, session, layers, dialogs and notifications."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils import notifications
from qtpy.QtWidgets import QFileDialog

from coralbay_core.errors import CoralBayError

from .foreign_layers import ForeignLayers
from .painting import Painting
from .saving import require_free

if TYPE_CHECKING:
    import napari

    from ..model.scan import Scan
    from ..session import Session
    from .binding import Binding
    from .tools import MouseTools

_log = logging.getLogger(__name__)


class Context:
    """Viewer, session, layers, dialogs and notifications, shared by all panels of a dock widget.

    Parameters
    ----------
    viewer : napari.Viewer
    session : Session
    binding : Binding
    tools : MouseTools

    Attributes
    ----------
    prompted : Scan, optional
        Scan of the last prompt by mouse, since another one became the active one: a second view may show it.
    """

    def __init__(self, viewer: "napari.Viewer", session: "Session", binding: "Binding", tools: "MouseTools") -> None:
        self.viewer = viewer
        self.session = session
        self.binding = binding
        self.tools = tools
        self.painting = Painting(viewer, session, binding)
        self.foreign = ForeignLayers(viewer, session, binding)
        self.prompted: Scan | None = None
        self._links: list[tuple[Any, Callable[..., Any]]] = []
        self._closers: list[Callable[[], Any]] = [self.painting.close, self.foreign.close]
        self.connect((session.scan_changed, self._forget_prompted))

    def _forget_prompted(self, _: Any) -> None:
        self.prompted = None

    # Wires

    def connect(self, *pairs: tuple[Any, Callable[..., Any]]) -> None:
        """Connect signals of session and viewer to slots, until `close`.

        Qt deletes a panel when its dock is closed; a signal that reaches it afterwards crashes the process.
        """
        for signal, slot in pairs:
            signal.connect(slot)
            self._links.append((signal, slot))

    def disconnect(self, *pairs: tuple[Any, Callable[..., Any]]) -> None:
        """Undo `connect`."""
        for signal, slot in pairs:
            if (signal, slot) in self._links:
                self._links.remove((signal, slot))
            with suppress(ValueError, RuntimeError):  # as in `close`
                signal.disconnect(slot)

    def at_end(self, closer: Callable[[], Any]) -> None:
        """Register a function to call when the dock widget is deleted; it must not use its Qt objects."""
        self._closers.append(closer)

    def not_at_end(self, closer: Callable[[], Any]) -> None:
        """Undo `at_end`, so that an object deleted earlier is not kept alive."""
        if closer in self._closers:
            self._closers.remove(closer)

    def close(self) -> None:
        """Disconnect all signals and run the closers; safe to call twice."""
        links, self._links = self._links, []
        for signal, slot in links:
            with suppress(ValueError, RuntimeError):  # the second of slots whose Qt object is deleted already
                signal.disconnect(slot)
        closers, self._closers = self._closers, []
        for closer in closers:
            closer()

    # Telling

    def notify_errors(self, command: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a command: errors become notifications, and the session is unchanged."""

        @wraps(command)
        def guarded(*args: Any) -> Any:
            try:
                return command(*args)
            except CoralBayError as error:
                self.warn(error.brief)
                return None

        return guarded

    def notify(self, text: str) -> None:
        """Show a notification."""
        notifications.show_info(text)

    def warn(self, text: str) -> None:
        """Show a warning about a problem that the user can fix."""
        notifications.show_warning(text)

    def show_error(self, error: Exception) -> None:
        """Show an error: one line if the user can fix it, else with the traceback on request."""
        if isinstance(error, CoralBayError):
            notifications.show_error(error.brief)
        else:
            _log.error("a job failed", exc_info=error)
            notifications.notification_manager.receive_error(type(error), error, error.__traceback__)

    # Asking

    def ask_open(self, title: str, kinds: str) -> Path | None:
        """Ask for a file to read; None if the user cancels."""
        path, _ = QFileDialog.getOpenFileName(None, title, "", kinds)
        return Path(path) if path else None

    def ask_folder(self, title: str) -> Path | None:
        """Ask for a folder; None if the user cancels."""
        path = QFileDialog.getExistingDirectory(None, title)
        return Path(path) if path else None

    def save_as(self, title: str, name: str, kinds: str | Sequence[str], save: Callable[[Path], Any]) -> None:
        """Ask for a file name, then save; a file that was read is not replaced."""

        def save_beside_inputs(path: Path) -> None:
            require_free(path, self.viewer, self.session.inputs)
            save(path)

        path, _ = QFileDialog.getSaveFileName(None, title, name, kinds if isinstance(kinds, str) else ";;".join(kinds))
        if path:
            self.notify_errors(save_beside_inputs)(Path(path))


NIFTI = "NIfTI (*.nii.gz *.nii)"
OTHER_MAPS = ("NRRD (*.nrrd)", "OME-Zarr (*.ome.zarr)")
SLICER = "Segmentation of 3D Slicer (*.seg.nrrd)"
