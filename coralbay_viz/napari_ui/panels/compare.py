"""Panel Compare: second scan, linked crosshairs, follow-up of landmarks, other side of the patient."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QCheckBox, QSpinBox

from ...model.places import place_text
from ...model.scan import unique_names
from ..context import Context
from ..docks import Dock
from ..second_scan_dock import ScanBeside
from .base import PanelBase, button, combo, fill, fill_table, note, table, when_clicked

if TYPE_CHECKING:
    from ...model.scan import Scan

_SQUARES_MM = (5, 200)
_LANDMARKS = "Landmarks (*.csv *.json *.mrk.json)"


class ComparePanel(PanelBase):
    """Comparison of the active scan with a second one, and with its mirror image.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self._targets: list[Scan] = []
        self._dock: Dock | None = None
        self._lay_out_other()
        self._lay_out_follow_up()
        self._lay_out_mirror()
        session = context.session
        context.connect(
            (session.scan_changed, self.show_state),
            (session.scan_added, self.show_state),
            (session.scan_removed, self._removed),
            (session.features_changed, self.show_state),
            (session.heat_changed, self.show_state),
            (session.match_changed, self._matched),
            (session.alignments.changed, self._show_alignment),
            (session.warped_changed, self.show_state),
            (session.segmentation_changed, self.show_state),
            (session.follow_up_changed, self._followed),
            (session.symmetry_changed, self._mirrored),
        )
        self.show_state()

    def _lay_out_other(self) -> None:
        guarded = self._context.notify_errors
        self.heading("Second scan")
        self.targets = combo("Open scan to compare with")
        self.rows.addWidget(self.targets)
        self.side_by_side = button("Side by side", "Show the second scan below the canvas", checkable=True)
        self.rows.addWidget(self.side_by_side)
        self.search = QCheckBox("Apply the prompts to the second scan")
        self.search.setToolTip("Show the similarity to these prompts in the second scan")
        self.link = QCheckBox("Link the crosshairs")
        self.link.setToolTip("Keep the crosshairs of both scans at the same anatomy; each moves the other")
        self.rows.addWidget(self.search)
        self.rows.addWidget(self.link)
        self.alignment = note()
        self.rows.addWidget(self.alignment)
        self.match = note()
        self.rows.addWidget(self.match)
        self.copy_labels = button(
            "Copy labels to the second scan",
            "Align both scans and make the labels of this one labels of the second one",
        )
        self.rows.addWidget(self.copy_labels)
        self.overlay = QCheckBox("Checkerboard of both scans")
        self.overlay.setToolTip("Align the second scan with this one and show both in the squares of a checkerboard")
        self.square = QSpinBox()
        self.square.setRange(*_SQUARES_MM)
        self.square.setSingleStep(5)
        self.square.setSuffix(" mm")
        self.square.setValue(round(self._context.binding.view.square_mm))
        self.square.setToolTip("Size of the squares")
        self.row(self.overlay, self.square, stretch=0)
        self.targets.activated.connect(lambda _: self._target_chosen())
        when_clicked(self.side_by_side, guarded(self.show_beside))
        when_clicked(self.search, guarded(self._search))
        when_clicked(self.link, guarded(self._link))
        self.copy_labels.clicked.connect(guarded(self._copy_labels))
        when_clicked(self.overlay, guarded(self._overlay))
        self.square.valueChanged.connect(lambda size: self._context.binding.set_view(square_mm=float(size)))

    def _lay_out_follow_up(self) -> None:
        self.heading("Follow-up")
        self.landmarks = button("Find landmarks…", "Landmarks of this scan (CSV or JSON) to find in the second scan")
        self.save = button("Save…", "Save the matches with their round-trip errors as CSV or JSON")
        self.row(self.landmarks, self.save)
        self.table = table("Select a landmark to go to it", ["Name", "Place (mm)", "Score", "Round-trip error"], 130)
        self.rows.addWidget(self.table)
        self.landmarks.clicked.connect(self._choose_landmarks)
        self.save.clicked.connect(self._save_landmarks)
        self.table.currentItemChanged.connect(lambda *_: self._go_to_landmark())

    def _lay_out_mirror(self) -> None:
        self.heading("Contralateral side")
        self.mirror = button(
            "Compare with the contralateral side", "Compare the crosshair position with its mirror position"
        )
        self.hide_sides = button("Hide", "Remove the comparison from the canvas")
        self.row(self.mirror, self.hide_sides, stretch=0)
        self.sides = note()
        self.rows.addWidget(self.sides)
        self.mirror.clicked.connect(self._context.notify_errors(self._mirror))
        self.hide_sides.clicked.connect(lambda *_: self._drop_sides())

    @property
    def target(self) -> "Scan | None":
        """Second scan."""
        number = self.targets.currentIndex()
        return self._targets[number] if 0 <= number < len(self._targets) else None

    # User actions

    def show_beside(self, on: bool) -> None:
        """Open or close the canvas of the second scan."""
        if on and self.target is not None:
            make = partial(ScanBeside, self._context, self.target)
            self._dock = Dock(self._context, self, "Second scan", "bottom", make, self.side_by_side.setChecked)
            self._dock.open(True)
        elif self._dock is not None:
            self._dock.open(False)

    def _target_chosen(self) -> None:
        session = self._context.session
        if session.linked is not None:
            self._context.notify_errors(session.link_cursor)(self.target)
        self.show_state()

    def _search(self, on: bool) -> None:
        target, session = self.target, self._context.session
        if target is not None:
            session.link_heat(target) if on else session.unlink_heat(target)

    def _link(self, on: bool) -> None:
        self._context.session.link_cursor(self.target if on else None)

    def _copy_labels(self, *_: Any) -> None:
        if self.target is not None:
            self._context.session.transfer(self.target)

    def _overlay(self, on: bool) -> None:
        session = self._context.session
        if on and self.target is not None:
            session.warp(self.target)
        elif session.scan is not None:
            session.unwarp()

    def _choose_landmarks(self) -> None:
        path = self._context.ask_open("Landmarks", _LANDMARKS)
        if path:
            self._context.notify_errors(self._find_landmarks)(path)

    def _find_landmarks(self, path: Path) -> None:
        from coralbay_core.matching import read_landmarks

        if self.target is not None:
            landmarks = read_landmarks(path)
            self._context.session.inputs.note(path)
            self._context.session.propagate(landmarks, self.target)

    def _save_landmarks(self) -> None:
        from coralbay_core.matching import write_landmarks

        target = self.target
        if target is not None and target.follow_up is not None:
            self._context.save_as(
                "Save the matches",
                "found.csv",
                _LANDMARKS,
                lambda path: write_landmarks(path, target.follow_up_rows),
            )

    def _go_to_landmark(self) -> None:
        number = self.table.indexOfTopLevelItem(self.table.currentItem())
        target = self.target
        if target is None or target.follow_up is None or number < 0:
            return
        match = target.follow_up.matches[number]
        self._context.binding.go_to(match.source_mm)
        if self._dock is not None and self._dock.widget is not None:
            self._dock.widget.go_to(match.position_mm)

    def _mirror(self, *_: Any) -> None:
        session = self._context.session
        if session.cursor_mm is not None:
            session.mirror(session.cursor_mm)

    # Session events

    def _removed(self, scan: "Scan") -> None:
        if self._dock is not None and self._dock.widget is not None and self._dock.widget.scan is scan:
            self._dock.open(False)
        self.show_state()

    def show_state(self, _: Any = None) -> None:
        """Update all widgets."""
        session = self._context.session
        before = self.target
        self._targets = [scan for scan in session.scans if scan is not session.scan]
        current = self._targets.index(before) if before in self._targets else (0 if self._targets else None)
        apart = dict(zip(session.scans, unique_names(session.scans), strict=True))
        names = [apart[scan] for scan in self._targets]
        fill(self.targets, names or ["open a second scan to compare"], current or 0)
        target = self.target
        ready = bool(target and target.features is not None and session.features is not None)
        self.targets.setEnabled(target is not None)
        self.side_by_side.setEnabled(target is not None)
        for widget in (self.search, self.link, self.landmarks):
            widget.setEnabled(ready)
        self.copy_labels.setEnabled(ready and session.segmentation is not None)
        self.overlay.setEnabled(ready or bool(session.scan and session.scan.warped))
        self.overlay.setChecked(bool(session.scan and session.scan.warped))
        self.search.setChecked(bool(target and target.origin is session.scan))
        self.link.setChecked(session.linked is not None and session.linked is target)
        self.mirror.setEnabled(session.features is not None)
        if target is not None and not ready:
            self.match.setText("Compute the features of both scans first.")
        else:
            self._matched(target)
        self._followed(target)
        self._show_alignment()
        self._follow_target()
        self._show_sides(session.scan)

    def _show_alignment(self, *_: Any) -> None:
        """Say how sure the alignment of both scans is, if one was asked for, or that it is under way."""
        scan, target = self._context.session.scan, self.target
        known = scan is not None and target is not None
        text = self._context.session.alignments.in_words(scan, target) if known else ""
        self.alignment.setText(text[:1].upper() + text[1:])
        self.alignment.setVisible(bool(text))

    def _follow_target(self) -> None:
        """Show the selected scan in the second canvas, never the active one."""
        shown = None if self._dock is None else self._dock.widget
        if shown is not None and self.target is None:
            self._dock.open(False)
        elif shown is not None and shown.scan is not self.target:
            shown.show_scan(self.target)

    def _matched(self, scan: "Scan | None") -> None:
        if scan is None or scan is not self.target:
            self.match.setText("")
            return
        found = scan.matched
        if found is None:
            self.match.setText("")
            return
        self.match.setText(f"Match at {place_text(found.position_mm, scan.volume.known_axes)}: {found.in_words}")

    def _followed(self, scan: "Scan | None") -> None:
        if scan is not self.target:
            return
        rows = scan.follow_up_rows if scan else ()
        fill_table(self.table, [_row_cells(row, scan.volume.known_axes) for row in rows])
        self.table.setVisible(bool(rows))
        self.save.setEnabled(bool(rows))

    def _mirrored(self, scan: "Scan") -> None:
        if scan is self._context.session.scan:
            self._show_sides(scan)

    def _show_sides(self, scan: "Scan | None") -> None:
        result = None if scan is None else scan.symmetry
        if result is not None:
            self.sides.setText(
                f"Difference {result.difference:.2f}, larger than at {result.rank:.0%} of the body. Mirror position: "
                f"{place_text(result.counterpart_mm, scan.volume.known_axes)}"
            )
        else:
            self.sides.setText("")

    def _drop_sides(self) -> None:
        scan = self._context.session.scan
        if scan is not None:
            self._context.binding.drop(scan, "found", "symmetry")


def _row_cells(row: dict[str, Any], known_axes: str) -> list[str]:
    place = place_text([row["x_mm"], row["y_mm"], row["z_mm"]], known_axes)
    back = f"{row['return_mm']:.0f} mm" + ("" if row["confirmed"] else " ?")
    return [row["name"], place, f"{row['score']:.2f}", back]
