"""Panel Colors: features as colors and clusters."""

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import QCheckBox, QComboBox, QLabel, QProgressBar, QSlider, QSpinBox

from ..context import Context
from ..docks import Dock
from .base import JobStatusText, PanelBase, button, combo, fill, menu_button, note, when_clicked
from .scatter import ScatterDock

if TYPE_CHECKING:
    from ...jobs import Job, Progress
    from ...model.results import PcaResult
    from ...model.scan import Scan

METHODS = {"PCA": "pca", "UMAP": "umap"}
GROUPINGS = {"k-means": "kmeans", "HDBSCAN": "hdbscan"}
_COMPONENTS = 16
_BASES = "Bases (*.safetensors)"


class ColorsPanel(PanelBase):
    """PCA or UMAP colors, one basis for many scans, clusters, and the scatter plot.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self._watched: Any = None
        self._job_status = JobStatusText(context, self.show_state, self._colored)
        self._coloring: Job | None = None
        self._lay_out_colors()
        self._lay_out_basis()
        self._lay_out_clusters()
        self._dock = Dock(
            context, self, "Scatter plot", "bottom", lambda: ScatterDock(context), self.scatter.setChecked
        )
        when_clicked(self.scatter, self._dock.open)
        session = context.session
        context.connect(
            (session.scan_changed, self._scan_changed),
            (session.features_changed, self.show_state),
            (session.pca_changed, self._colors_changed),
            (session.clusters_changed, self.show_state),
            (session.basis_changed, self._basis_changed),
            (session.job_started, self._job_started),
            (context.binding.visibility_changed, self.show_state),
            (context.viewer.layers.events.removed, self.show_state),
        )
        self.show_state()

    def _lay_out_colors(self) -> None:
        self.pca = QCheckBox("Colors")
        self.pca.setToolTip("Color the scan by its features: similar tissue has similar colors")
        self.method = combo("Embedding of the features: PCA (fast) or UMAP (slower)", list(METHODS))
        self.row(self.pca, self.method, stretch=1)
        self.components: list[QComboBox] = []
        line: list[Any] = []
        for color in ("Red", "Green", "Blue"):
            chooser = combo(f"Component shown in {color.lower()}")
            chooser.activated.connect(self._context.notify_errors(lambda *_: self._choose_components()))
            self.components.append(chooser)
            line += [QLabel(color), chooser]
        row = self.row(*line)
        for number in (1, 3, 5):
            row.setStretch(number, 1)
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0, 100)
        self.opacity.setToolTip("Opacity of the colors")
        self.row(QLabel("Opacity"), self.opacity)
        self.about = note()
        self.rows.addWidget(self.about)
        self.bar = QProgressBar()
        self.cancel = button("Cancel", "Stop the UMAP and keep the colors that are shown")
        self.row(self.bar, self.cancel, stretch=0)
        self.cancel.clicked.connect(lambda *_: self._context.session.cancel("pca"))
        when_clicked(self.pca, self._context.notify_errors(self.want_pca))
        self.method.activated.connect(self._context.notify_errors(lambda *_: self._recompute()))
        self.opacity.valueChanged.connect(self._set_opacity)

    def _lay_out_basis(self) -> None:
        guarded = self._context.notify_errors
        self.lock = button("Lock", "Use this embedding for all scans, so that colors mean the same", checkable=True)
        self.share = button("Share", "Fit one embedding to all open scans and lock it")
        self.basis = menu_button(
            "Components",
            "Load or save the components of the embedding",
            [("Save the components…", self._save_basis), ("Load components…", self._load_basis)],
        )
        self.row(self.lock, self.share, self.basis)
        when_clicked(self.lock, guarded(self._lock))
        self.share.clicked.connect(guarded(lambda *_: self._context.session.fit_basis()))

    def _lay_out_clusters(self) -> None:
        self.count = QSpinBox()
        self.count.setRange(2, 50)
        self.count.setValue(8)
        self.count.setToolTip("Number of clusters; with HDBSCAN, a larger number allows smaller clusters")
        self.how = combo("Clustering method", list(GROUPINGS))
        self.clusters = button(
            "Clusters", "Group the voxels of the body by their features; the result is a labels layer"
        )
        self.row(self.clusters, self.count, self.how, stretch=2)
        self.scatter = button(
            "Scatter plot", "One point per voxel of the embedding: lasso, hover and click", checkable=True
        )
        self.rows.addWidget(self.scatter)
        self.clusters.clicked.connect(self._context.notify_errors(lambda *_: self._group()))

    # User actions

    def want_pca(self, wanted: bool) -> None:
        """Show colors, computing them if needed, or hide them."""
        pca = self._context.session.pca
        if wanted and (pca is None or pca.method != self._method):
            self._compute()
        if wanted:
            self._context.binding.reveal("pca")
        else:
            self._context.binding.set_visible("pca", False)

    @property
    def _method(self) -> str:
        return METHODS[self.method.currentText()]

    def _compute(self) -> None:
        session = self._context.session
        if self._method == "umap":
            session.compute_umap()
        else:
            session.compute_pca()

    def _choose_components(self) -> None:
        session = self._context.session
        # A small basis may lack a component that was chosen before: 0 stands for it until another is.
        red, green, blue = (max(0, chooser.currentIndex()) for chooser in self.components)
        if self._method == "umap":
            session.umap_components = (red, green, blue)
        else:
            session.components = (red, green, blue)
        self._recompute()

    def _recompute(self) -> None:
        """Compute again after a change of a setting."""
        if self._context.session.features is not None:
            self._compute()
            self._context.binding.reveal("pca")
        self.show_state()

    def _set_opacity(self, percent: int) -> None:
        layer = self._context.binding.layer("pca")
        if layer is not None:
            layer.opacity = percent / 100

    def _lock(self, on: bool) -> None:
        try:
            self._context.session.lock_basis(on)
        finally:
            self.show_state()

    def _save_basis(self) -> None:
        self._context.save_as("Save the components", "basis.safetensors", _BASES, self._context.session.save_basis)

    def _load_basis(self) -> None:
        path = self._context.ask_open("Load components", f"{_BASES};;All files (*)")
        if path:
            self._context.notify_errors(self._context.session.load_basis)(path)

    def _group(self) -> None:
        self._context.session.compute_clusters(self.count.value(), GROUPINGS[self.how.currentText()])
        self._context.binding.reveal("clusters")

    # Session events

    def _scan_changed(self, scan: "Scan | None") -> None:
        self._follow_basis()
        self.show_state()

    def _basis_changed(self, basis: Any) -> None:
        self._follow_basis()
        self.show_state()

    def _follow_basis(self) -> None:
        """Recompute the colors of a newly shown scan if they do not use the locked basis."""
        session = self._context.session
        pca, basis = session.pca, session.basis
        if pca is None or basis is None:
            return
        if pca.basis is basis and (pca.embedding is None or session.umap in (None, pca.embedding.model)):
            return
        if basis.fingerprint == session.features.fingerprint:
            self._context.notify_errors(self._compute)()

    def _colors_changed(self, scan: "Scan") -> None:
        if scan is self._context.session.scan and scan.pca is not None:
            self._show_method()
        self.show_state()

    def _job_started(self, job: "Job") -> None:
        what, scan = job.kind, self._context.session.scan
        if what == "pca":
            self._coloring = job
            self._job_status.show(job, self._coming(), scan)
            self._watch_progress(job)
        elif what == "clusters":
            self._job_status.show(job, "Clustering…", scan)

    def _coming(self) -> str:
        """Describe what is computed, and what is shown meanwhile."""
        shown = self._context.session.pca
        if self._method != "umap":
            return "Computing colors…"
        return "Computing UMAP…" + (f" {shown.method.upper()} colors are shown meanwhile." if shown is not None else "")

    def _watch_progress(self, job: "Job") -> None:
        """Show how far a UMAP is; without numbers the bar only moves."""
        link = job.progressed, self._progressed
        self._context.connect(link)
        job.finished.connect(lambda: self._context.disconnect(link))
        self.bar.setRange(0, 0)

    def _progressed(self, progress: "Progress") -> None:
        self.bar.setRange(0, progress.total)
        self.bar.setValue(progress.done)

    def _colored(self, job: "Job") -> None:
        """Reset the method to the displayed one if no colors were computed and no job is running."""
        if job is self._coloring:
            self._coloring = None
            if job.state != "done":
                self._show_method()

    def _show_method(self) -> None:
        pca = self._context.session.pca
        with QSignalBlocker(self.method):
            self.method.setCurrentIndex(0 if pca is None else list(METHODS.values()).index(pca.method))

    def _watch(self, layer: Any) -> None:
        """Follow changes of the opacity in napari's own controls."""
        if layer is self._watched:
            return
        before, self._watched = self._watched, layer
        if before is not None:
            self._context.disconnect((before.events.opacity, self.show_state))
        if layer is not None:
            self._context.connect((layer.events.opacity, self.show_state))

    def _show_components(self) -> None:
        session = self._context.session
        if self._method == "umap":
            count, chosen = 3, session.umap_components
        else:
            count, chosen = session.basis.size if session.basis is not None else _COMPONENTS, session.components
        for chooser, component in zip(self.components, chosen, strict=True):
            fill(chooser, [str(number) for number in range(1, count + 1)], component if component < count else None)
            chooser.setEnabled(session.features is not None)

    def show_state(self, _: Any = None) -> None:
        """Update all widgets."""
        session, layer = self._context.session, self._context.binding.layer("pca")
        self._watch(layer)
        features, pca = session.features is not None, session.pca
        for made in (self.pca, self.method, self.share, self.clusters):
            made.setEnabled(features)
        self.scatter.setEnabled(features or self.scatter.isChecked())
        self._show_components()
        self.lock.setEnabled(pca is not None or session.basis is not None)
        self.opacity.setEnabled(layer is not None)
        with QSignalBlocker(self.pca), QSignalBlocker(self.opacity):
            self.pca.setChecked(layer is not None and layer.visible)
            self.opacity.setValue(round(100 * (layer.opacity if layer is not None else 0.6)))
        self.lock.setChecked(session.basis is not None)
        self.lock.setText("Locked" if session.basis is not None else "Lock")
        self.about.setText(self._job_status.text or described(pca))
        slow = self._coloring is not None and self._coloring.running and self._method == "umap"
        for made in (self.bar, self.cancel):
            made.setVisible(slow)


def described(pca: "PcaResult | None") -> str:
    """Describe the displayed colors: explained variance, or a note on UMAP."""
    if pca is None:
        return ""
    if pca.method == "umap":
        return "UMAP: similar colors mean similar tissue; how different two colors are means little."
    shares = ", ".join(f"{share:.0%}" for share in pca.rgb.explained)
    return f"Explained variance: {shares}"
