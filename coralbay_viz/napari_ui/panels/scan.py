"""Panel Scan: open scans and sessions, choose view and window."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QButtonGroup, QInputDialog, QLabel

from ...model import palette
from ...model.scan import unique_names
from ...persistence.session_file import SUFFIX
from .. import views
from ..context import Context
from ..session_opening import load_session
from .base import PanelBase, button, combo, fill, menu_button, note

if TYPE_CHECKING:
    from coralbay_core.spatial import Volume

    from ...model.scan import Scan

_EMPTY = "Drop a NIfTI file or a DICOM folder on the window, or open one here."
_SCANS = "CT scans (*.nii *.nii.gz *.nrrd *.nhdr *.mha *.mhd *.dcm);;All files (*)"
_SESSIONS = f"CoralBay sessions (*{SUFFIX})"
_CUSTOM = "Custom"


class ScanPanel(PanelBase):
    """Open scans, sessions, views and CT windows.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__("Scan")
        self._context = context
        self.open_file = button("Open file…", "NIfTI, NRRD, MetaImage, or one file of a DICOM series")
        self.open_folder = button("Open folder…", "A folder that holds a DICOM series")
        guarded = context.notify_errors
        self.session_menu = menu_button(
            "Session",
            "Save or open all work (scans, prompts, strokes, settings) as one file",
            [
                ("Save session…", self._save_session),
                ("Open session…", self._open_session),
                ("Recover a lost session…", self._recover),
            ],
        )
        self.row(self.open_file, self.open_folder, self.session_menu)
        menu = self.session_menu.menu()
        menu.setToolTipsVisible(True)
        self.names = menu.addAction("Save with scan names")
        self.names.setCheckable(True)
        self.names.setToolTip(
            "Names and paths of scans often name a patient. Without them a session can be passed on; it finds its "
            "scans by their content."
        )
        menu.insertAction(menu.actions()[1], self.names)  # below the entry that it is about
        self.scans = combo("Active scan")
        self.rows.addWidget(self.scans)
        self.about = note(_EMPTY)
        self.rows.addWidget(self.about)
        self._lay_out_views()
        self._lay_out_window()
        self.open_file.clicked.connect(self._choose_file)
        self.open_folder.clicked.connect(self._choose_folder)
        self.scans.activated.connect(lambda number: context.session.activate(context.session.scans[number]))
        context.connect(
            (context.session.scan_changed, self.show_scan),
            (context.session.scan_added, self.show_scan),
            (context.session.scan_removed, self.show_scan),
            (context.viewer.dims.events.ndisplay, self.show_view),
            (context.viewer.dims.events.order, self.show_view),
            (context.binding.window_changed, self.show_window),
            (context.tools.mode_changed, lambda mode: self.drag.setChecked(mode == "window")),
            (context.tools.dragged, guarded(context.binding.adjust_window)),
        )
        self.show_scan()

    def _lay_out_views(self) -> None:
        self.views = QButtonGroup(self)
        buttons = [button(name, f"{name} view, patient's left on the right", checkable=True) for name in views.VIEWS]
        for number, made in enumerate(buttons):
            self.views.addButton(made, number)
        self.orthogonal = button(
            "MPR", "Multiplanar reconstruction: three planes with a linked crosshair, and 3-D", checkable=True
        )
        self.row(*buttons, self.orthogonal)
        self.views.idClicked.connect(lambda number: views.show_view(self._context.viewer, views.VIEWS[number]))

    def _lay_out_window(self) -> None:
        self.windows = combo("Window/level preset", list(palette.WINDOWS))
        self.windows.setCurrentText(palette.DEFAULT_WINDOW)
        self.drag = button("Drag", "Set level (up, down) and width (left, right) with the mouse", checkable=True)
        self.row(QLabel("Window/level"), self.windows, self.drag, stretch=1)
        self.windows.textActivated.connect(self._choose_window)
        self.drag.clicked.connect(lambda on: setattr(self._context.tools, "mode", "window" if on else "look"))

    # User actions

    def _choose_file(self) -> None:
        path = self._context.ask_open("Open a scan", _SCANS)
        if path:
            self.open(path)

    def _choose_folder(self) -> None:
        path = self._context.ask_folder("Open a DICOM folder")
        if path:
            self.open(path)

    def open(self, path: str | Path) -> None:
        """Open a scan; ask for the series if a folder holds several."""
        self._context.notify_errors(self._open)(Path(path))

    def _open(self, path: Path) -> None:
        if path.is_dir():
            from ..series import choose

            series, go = choose(path, self)
            if go:
                self._context.session.open(path, series)
        else:
            self._context.session.open(path)

    def _choose_window(self, name: str) -> None:
        if name in palette.WINDOWS:
            self._context.binding.set_window(palette.WINDOWS[name].limits_hu)

    def _save_session(self) -> None:
        session, names = self._context.session, self.names.isChecked()
        name = session.scan.name if session.scan and names else "session"
        self._context.save_as("Save the session", name + SUFFIX, _SESSIONS, partial(session.save, names=names))

    def _open_session(self) -> None:
        path = self._context.ask_open("Open a session", _SESSIONS)
        if path:
            self._context.notify_errors(self._load)(self._context.session.load, path)

    def _load(self, load: Callable[..., Any], what: Any) -> None:
        """Load a session; ask for weights and scans that are not found."""
        load_session(self._context, load, what)

    def _recover(self) -> None:
        """Offer sessions that a crash left behind."""
        lost = self._context.session.lost()
        if not lost:
            self._context.notify("No lost session to recover.")
            return
        names = [f"{entry.saved.astimezone():%Y-%m-%d %H:%M}: {', '.join(entry.scans)}" for entry in lost]
        name, go = QInputDialog.getItem(self, "Recover a session", "Unsaved sessions:", names, 0, False)
        if go:
            self._context.notify_errors(self._load)(self._context.session.recover, lost[names.index(name)])

    # Session events

    def show_scan(self, scan: "Scan | None" = None) -> None:
        """List the open scans."""
        session = self._context.session
        current = session.scans.index(session.scan) if session.scan in session.scans else None
        fill(self.scans, unique_names(session.scans), current)
        self.scans.setVisible(len(session.scans) > 1)
        self.about.setText(_EMPTY if session.volume is None else _described(session.volume))
        self.show_view()
        self.show_window(self._context.binding.window)

    def show_view(self, event: Any = None) -> None:
        """Highlight the current view; none for another order of dimensions."""
        shown = views.current_view(self._context.viewer)
        self.views.setExclusive(False)
        for number, name in enumerate(views.VIEWS):
            self.views.button(number).setChecked(name == shown)
        self.views.setExclusive(True)

    def show_window(self, limits: Sequence[float] | None) -> None:
        """Show the name of the window, or its level and width."""
        if limits is None:
            return
        name = palette.window_name(tuple(limits))
        custom = f"{_CUSTOM}: level {sum(limits) / 2:.0f}, width {limits[1] - limits[0]:.0f}"
        names = [*palette.WINDOWS, *([] if name else [custom])]
        fill(self.windows, names, names.index(name or custom))


def _described(volume: "Volume") -> str:
    size = " × ".join(str(n) for n in reversed(volume.shape))
    spacing = " × ".join(f"{mm:.3g}" for mm in reversed(volume.grid.spacing_mm))
    return "\n".join([volume.name, f"{size} voxels of {spacing} mm", *volume.notes])
