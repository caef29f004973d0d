"""Panel Segment: from strokes to a segmentation."""

from functools import partial
from pathlib import Path
from typing import Any, Literal

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QCheckBox, QInputDialog, QLabel, QPushButton, QSlider

from ..actions import with_key
from ..context import NIFTI, Context
from ..painting import Tool
from .base import JobStatusText, PanelBase, button, combo, menu_button, note, when_clicked
from .classes import ClassTable
from .layer_picker import LayerPicker
from .scores import ScoreMaps
from .statistics import Statistics
from .suggestions import Suggestions

_SEGMENTATIONS = NIFTI, "Segmentations of 3D Slicer, with names and colors (*.seg.nrrd)"
_PROBES = "Probes (*.safetensors)"
_DICOM = "DICOM (*.dcm)"
# The default first; the names are those of `coralbay_core.probe.KINDS`, which takes long to import.
KINDS = {
    "Mixture discriminants": "discriminant",
    "Nearest mean": "prototype",
    "Ridge regression": "ridge",
    "Logistic regression": "logistic",
    "Nearest strokes": "knn",
    "Small network": "mlp",
}


class SegmentPanel(PanelBase):
    """Strokes, the probe fitted to them, and the resulting segmentation.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self._lay_out_strokes()
        self._lay_out_probe()
        self._lay_out_results()
        session = context.session
        context.connect(
            (context.painting.changed, self.show_state),
            (session.scan_changed, self.show_state),
            (session.features_changed, self.show_state),
            (session.segmentation_changed, self.show_state),
            (session.protection_changed, self.show_state),
            (session.scan_added, self.show_state),
            (session.scan_removed, self.show_state),
            (context.viewer.layers.events.removed, self.show_state),
            (context.viewer.layers.events.inserted, self.show_state),
        )
        self.show_state()

    def _lay_out_strokes(self) -> None:
        guarded, painting = self._context.notify_errors, self._context.painting
        self.strokes = _tool("Paint", "Paint a few strokes of each class, including background", "paint")
        self.erase = _tool("Erase", "Erase strokes", "erase")
        self.cut = _tool("Scissors", "Click around an area, double-click to erase the strokes in it", "polygon")
        self.tools: dict[Tool, QPushButton] = {"paint": self.strokes, "erase": self.erase, "cut": self.cut}
        self.row(*self.tools.values())
        self.segment = button("Segment", "Segment the whole scan from the strokes")
        self.live = QCheckBox("Live")
        self.live.setToolTip("Segment again after each stroke")
        self.row(self.segment, self.live, stretch=0)
        self.classes = ClassTable(self._context)
        self.rows.addWidget(self.classes)
        self.undo = button("Undo", "Undo the last change of the strokes")
        self.redo = button("Redo", "Redo the last undone change")
        self.clear = button("Clear", "Remove all strokes, keep the classes")
        self.row(self.undo, self.redo, self.clear)
        self.layers = LayerPicker(
            self._context, self._context.foreign.labels, "Labels layer that another reader or a script added"
        )
        self.take = button("Use as strokes", "Add the labels of this layer to the strokes; Undo takes them back")
        self.row(self.layers.native, self.take, stretch=0)
        self.take.clicked.connect(guarded(self._take_strokes))
        for tool, made in self.tools.items():
            made.clicked.connect(guarded(lambda *_, tool=tool: self._take(tool)))
        self.segment.clicked.connect(guarded(lambda *_: painting.segment()))
        when_clicked(self.live, self._want_live)
        self.undo.clicked.connect(guarded(lambda *_: painting.undo()))
        self.redo.clicked.connect(guarded(lambda *_: painting.redo()))
        self.clear.clicked.connect(guarded(lambda *_: painting.clear()))

    def _lay_out_probe(self) -> None:
        session = self._context.session
        self.kinds = combo("Classifier that is fitted to the strokes", list(KINDS))
        self.row(QLabel("Probe"), self.kinds, stretch=1)
        self.refine = QCheckBox("Refine borders")
        self.refine.setToolTip("Align class borders with changes in HU (takes seconds)")
        self.all_scans = QCheckBox("Use strokes of all scans")
        self.all_scans.setToolTip("Fit the probe to the strokes of all open scans; equal values mean equal classes")
        self.row(self.refine, self.all_scans)
        self.connectivity = QSlider(Qt.Orientation.Horizontal)
        self.connectivity.setRange(0, 100)
        self.connectivity.setToolTip("How far strokes spread to connected places; left: each place is classified alone")
        self.islands = QCheckBox("Keep islands")
        self.islands.setToolTip("Keep parts of a class in which you painted no stroke")
        self.row(QLabel("Spread"), self.connectivity, self.islands)
        self.connectivity.sliderReleased.connect(lambda: self._set("connectivity", self.connectivity.value() / 100))
        when_clicked(self.islands, lambda on: self._set("keep_islands", on))
        self.kinds.activated.connect(lambda _: self._choose_kind())
        when_clicked(self.refine, lambda on: self._set("refine", on))
        when_clicked(self.all_scans, lambda on: self._set("train_on_all", on))
        self.suggestions = Suggestions(self._context)
        self.rows.addWidget(self.suggestions)
        self.saying = note()
        self.rows.addWidget(self.saying)
        self._job_status = JobStatusText(self._context, self._show_busy)
        self._context.connect((session.job_started, self._job_started), (session.scan_changed, self._show_busy))

    def _lay_out_results(self) -> None:
        self.maps = ScoreMaps(self._context)
        self.statistics = Statistics(self._context)
        for part in (self.maps, self.statistics):
            self.rows.addWidget(part)
        self.save = button("Save segmentation…", "NIfTI on the grid of the scan's file, with the painted label values")
        self.export = menu_button(
            "Export",
            "Export the segmentation, a probability map or the probe",
            [
                ("Segmentation as NIfTI…", self._save),
                ("Segmentation as DICOM-SEG…", partial(self._export_dicom, "seg")),
                ("Contours as RTSTRUCT…", partial(self._export_dicom, "rtstruct")),
                ("Probability as NIfTI…", self._save_probability),
                ("Probe…", self._save_probe),
            ],
        )
        self.probe = menu_button(
            "Probe",
            "Load a probe, or apply the current one to other scans",
            [
                ("Load a probe…", self._load_probe),
                ("Apply to the other scans", self._context.notify_errors(lambda *_: self._apply())),
            ],
        )
        self.row(self.save, self.export, self.probe)
        self.save.clicked.connect(lambda *_: self._save())

    # User actions

    def next_suggestion(self) -> None:
        """Go to the next suggested place for a stroke."""
        self.suggestions.go_on()

    def skip_suggestion(self) -> None:
        """Skip the current suggestion."""
        self.suggestions.turn_down()

    def _take(self, tool: Tool) -> None:
        """Take a tool of the strokes, or put it away if it was taken before."""
        painting, session = self._context.painting, self._context.session
        if painting.tool == tool:
            painting.put_away()
            self._show_tool()
            return
        self._context.tools.mode = "look"  # a stroke is no click
        if session.segmentation is None:
            session.prepare_probe()
        self._context.binding.reveal("segmentation")  # colors of other results would lie over what is painted
        painting.take(tool)

    def _show_tool(self) -> None:
        taken = self._context.painting.tool
        for tool, made in self.tools.items():
            made.setChecked(tool == taken)

    def _take_strokes(self, *_: Any) -> None:
        layer = self.layers.layer
        if layer is not None:
            self._context.foreign.take_strokes(layer)

    def _want_live(self, on: bool) -> None:
        painting = self._context.painting
        painting.live = on
        if on and sum(bool(known.voxels) for known in painting.classes()) > 1:
            self._context.notify_errors(painting.segment)()

    def _choose_kind(self) -> None:
        self._set("kind", KINDS[self.kinds.currentText()])

    def _set(self, name: str, value: Any) -> None:
        """Change a setting of the session and segment again if there is a segmentation."""
        session = self._context.session
        setattr(session, name, value)
        scan = session.scan
        if scan is not None and scan.segmentation is not None and scan.strokes.now:
            self._context.notify_errors(self._context.painting.segment)()

    def _save(self) -> None:
        self._context.save_as(
            "Save the segmentation", "seg.nii.gz", _SEGMENTATIONS, self._context.session.save_segmentation
        )

    def _export_dicom(self, kind: Literal["seg", "rtstruct"]) -> None:
        session = self._context.session
        scan = session.scan
        path = scan.volume.path if scan else None
        folder = None
        if path is None or not (path.is_dir() or path.suffix.lower() == ".dcm"):
            # The scan is no DICOM: which series do the labels belong to?
            folder = self._context.ask_folder("Choose the DICOM series of this scan")
            if folder is None:
                return
        self._context.save_as(
            "Export the segmentation",
            f"{kind}.dcm",
            _DICOM,
            lambda chosen: session.exports.dicom(chosen, folder, "segmentation", kind),
        )

    def _save_probability(self) -> None:
        session = self._context.session
        probe = session.scan.probe if session.scan else None
        if probe is None:
            self._context.notify("There is no probe yet: paint strokes and segment first.")
            return
        names = {probe.names.get(value, f"label {value}"): value for value in probe.values}
        name, go = QInputDialog.getItem(self, "Save a probability", "Class:", list(names), 0, False)
        if go:
            self._context.save_as(
                "Save the probability",
                "probability.nii.gz",
                NIFTI,
                lambda path: session.save_probability(path, names[name]),
            )

    def _save_probe(self) -> None:
        self._context.save_as("Save the probe", "probe.safetensors", _PROBES, self._context.session.save_probe)

    def _load_probe(self) -> None:
        path: Path | None = self._context.ask_open("Load a probe", f"{_PROBES};;All files (*)")
        if path:
            self._context.notify_errors(self._context.session.load_probe)(path)

    def _apply(self) -> None:
        if not self._context.session.apply_probe():
            self._context.notify("No other open scan has features of this model.")

    # Session events

    def _job_started(self, job: Any) -> None:
        if job.kind == "segmentation":
            self._job_status.show(job, "Segmenting …", self._context.session.scan)

    def _show_busy(self, _: Any = None) -> None:
        self.saying.setText(self._job_status.text)

    def show_state(self, _: Any = None) -> None:
        """Update all widgets."""
        session, painting = self._context.session, self._context.painting
        scan, features = session.scan, session.features is not None
        self.classes.show_state()
        for part in (self.layers.native, self.take):
            part.setVisible(bool(self._context.foreign.labels()))
        strokes = scan.strokes if scan else None
        painted = bool(strokes and strokes.now)
        for made in (*self.tools.values(), self.classes.add, self.live):
            made.setEnabled(features)
        self._show_tool()
        self.segment.setEnabled(features and (painted or self._context.binding.layer("strokes") is not None))
        self.undo.setEnabled(bool(strokes and strokes.can_undo))
        self.redo.setEnabled(bool(strokes and strokes.can_redo))
        self.clear.setEnabled(painted)
        segmented = session.segmentation is not None
        self.save.setEnabled(segmented)
        self.export.setEnabled(segmented)
        self.probe.setEnabled(features)
        with QSignalBlocker(self.kinds), QSignalBlocker(self.live):
            kinds = list(KINDS.values())
            self.kinds.setCurrentIndex(kinds.index(session.kind) if session.kind in kinds else 0)
            self.live.setChecked(painting.live)
        self.refine.setChecked(session.refine)
        self.connectivity.setValue(round(100 * session.connectivity))
        self.islands.setChecked(session.keep_islands)
        self.all_scans.setChecked(session.train_on_all)
        self.all_scans.setVisible(len(session.scans) > 1)


def _tool(text: str, tip: str, mode: str) -> QPushButton:
    return button(text, with_key(tip, f"napari:activate_labels_{mode}_mode"), checkable=True)
