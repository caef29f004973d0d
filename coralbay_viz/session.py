"""The session: one exploration of one or several scans, shared by scripts, napari and notebooks.

A view calls the commands (`open`, `compute`, `click`, ...) and listens to the signals; it never writes the state.
Commands check their input at once and raise; the work behind them is a job of the runner. With the default runner each
command has finished when it returns, so that a script reads::

    session = Session()
    session.open("scan.nii.gz")
    session.compute()
    session.click((12.5, -30, 210))
    session.save_heat("heat.nii.gz")
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from coralbay_core.models.names import DEFAULT_MODEL
from coralbay_core.spatial import LabelVolume, Volume

from .controllers import Controllers
from .controllers.projections import Components
from .controllers.setting import Setting
from .jobs import InlineRunner, Job, Runner
from .model.clicks import Clicks, Point
from .model.palette import DEFAULT_WINDOW
from .model.results import HeatResult, PcaResult
from .model.scan import Scan
from .model.stage_weights import Mixer
from .persistence.save_load import SessionFiles

if TYPE_CHECKING:
    from coralbay_core.extraction.cache import FeatureStore
    from coralbay_core.features import FeatureMaps
    from coralbay_core.projection import Basis, UmapModel
    from coralbay_core.similarity import Query

    from .display.figures import Picture
    from .model.scorecard import Scorecard


class Session:
    """One exploration of one or several scans.

    The commands belong to controllers, one per subject; here they are at hand under one name. Subjects of their own
    are objects: `library`, `training`, `scorecard`, `windows`, `overlays`, `alignments` and `exports`.

    Parameters
    ----------
    runner : Runner, optional
        Place where work is done; by default the calling thread.
    model : str
        Name or path of the encoder.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    store : FeatureStore or bool
        Cache of features, as for `features_for`; by default the user's.
    autosave : bool
        Whether to write the state to a recoverable folder within a second of a change.
    """

    model: Setting[str] = Setting("features.model", "Name or path of the encoder.")
    asked_device: Setting[str] = Setting("features.asked_device", "Requested device, such as ``auto`` or ``cuda:1``.")
    reads_cached: Setting[bool] = Setting("features.reads_cached", "Whether `look_ahead` reads features on disk.")
    weights: Setting[Mixer] = Setting("similarity.weights", "Weights per stride, ``auto``, or None for equal ones.")
    prior_mm: Setting[float | None] = Setting("similarity.prior_mm", "Width of the distance prior, or None.")
    scope: Setting[Any] = Setting("similarity.scope", "What a click asks for: ``everywhere``, ``here`` or ``place``.")
    here_weights: Setting[Any] = Setting("similarity.here_weights", "Weights of the parts of the scope ``here``.")
    body_fraction: Setting[float] = Setting("similarity.body_fraction", "Fraction of the body that is shown.")
    cursor_mm: "Setting[Point | None]" = Setting("cursor.cursor_mm", "Position of the crosshair, world mm.")
    linked_cursor_mm: "Setting[Point | None]" = Setting("cursor.linked_cursor_mm", "Its counterpart in `linked`.")
    queries: "Setting[dict[str, Query]]" = Setting("queries.queries", "Saved queries by name.")
    kind: Setting[str | None] = Setting("segmentation.kind", "Kind of probe; None for the default.")
    refine: Setting[bool] = Setting("segmentation.refine", "Whether borders of segmentations follow the HU.")
    connectivity: Setting[float] = Setting("segmentation.connectivity", "How far strokes spread, from 0 to 1.")
    keep_islands: Setting[bool] = Setting("segmentation.keep_islands", "Whether parts without a stroke keep a class.")
    train_on_all: Setting[bool] = Setting("segmentation.train_on_all", "Whether strokes of all open scans are used.")
    class_colors: "Setting[dict[int, str]]" = Setting("classes.colors", "Chosen colors of classes, ``#rrggbb``.")
    components: Setting[Components] = Setting("projections.components", "PCA components of red, green and blue.")
    umap_components: Setting[Components] = Setting("projections.umap_components", "Likewise of a UMAP.")
    basis: "Setting[Basis | None]" = Setting("projections.basis", "PCA basis of all scans, or None.")
    umap: "Setting[UmapModel | None]" = Setting("projections.umap", "UMAP of all scans, or None.")
    # Names of the first version, kept for scripts
    share: Setting[float] = Setting("similarity.body_fraction", "Former name of `body_fraction`.")
    last_scorecard: "Setting[Scorecard | None]" = Setting("scorecard.card", "Former name of `scorecard.card`.")
    scorecard_live: Setting[bool] = Setting("scorecard.live", "Former name of `scorecard.live`.")
    eva_results: Setting[Any] = Setting("scorecard.eva_results", "Former name of `scorecard.eva_results`.")

    lost = staticmethod(SessionFiles.lost)

    def __init__(
        self,
        runner: Runner | None = None,
        *,
        model: str = DEFAULT_MODEL,
        device: str = "auto",
        store: "FeatureStore | bool" = True,
        autosave: bool = False,
    ) -> None:
        self.controllers = c = Controllers.build(runner or InlineRunner(), model, device, store)
        self.library, self.training, self.scorecard = c.library, c.training, c.scorecard
        self.windows, self.exports, self.alignments = c.windows, c.exports, c.alignments
        self.overlays = c.overlays
        self.inputs = c.workspace.inputs
        read = self.inputs.noting

        # Scans and jobs
        self.scan_added, self.scan_removed = c.workspace.scan_added, c.workspace.scan_removed
        self.scan_changed = c.workspace.scan_changed
        self.job_started, self.saved = c.workspace.job_started, c.workspace.saved
        self.failed, self.message = c.workspace.failed, c.workspace.message
        self.scans = c.workspace.scans
        self.open, self.add = c.workspace.open, c.workspace.add
        self.activate, self.remove = c.workspace.activate, c.workspace.remove
        self.run, self.cancel = c.workspace.run, c.workspace.cancel

        # Features
        self.model_changed, self.state_changed = c.features.model_changed, c.features.state_changed
        self.device_changed, self.devices_changed = c.features.device_changed, c.features.devices_changed
        self.features_changed, self.preview_changed = c.features.features_changed, c.features.preview_changed
        self.forecast_changed, self.outlook_changed = c.features.forecast_changed, c.features.outlook_changed
        self.compute, self.look_ahead = c.features.compute, c.features.look_ahead
        self.state_of, self.find_devices = c.features.state_of, c.features.find_devices

        # Heat maps
        self.clicks_changed, self.heat_changed = c.similarity.clicks_changed, c.similarity.heat_changed
        self.weights_changed = c.similarity.weights_changed
        self.body_fraction_changed = c.similarity.body_fraction_changed
        self.click, self.clear_clicks = c.similarity.click, c.similarity.clear_clicks
        self.threshold_of = c.similarity.threshold_of
        self.click_region = c.similarity.click_region
        self.remove_click, self.move_click = c.similarity.remove_click, c.similarity.move_click
        self.undo, self.redo = c.similarity.undo, c.similarity.redo
        self.link_heat, self.unlink_heat = c.similarity.link_heat, c.similarity.unlink_heat
        self.save_heat = c.similarity.save_heat

        # Saved queries
        self.queries_changed = c.queries.queries_changed
        self.keep_query, self.use_queries = c.queries.keep_query, c.queries.use_queries
        self.open_query, self.save_query = read(c.queries.open_query), c.queries.save_query
        self.rename_query, self.merge_queries = c.queries.rename_query, c.queries.merge_queries
        self.remove_query = c.queries.remove_query

        # Follow-up and symmetry
        self.follow_up_changed = c.comparisons.follow_up_changed
        self.symmetry_changed = c.comparisons.symmetry_changed
        self.propagate, self.mirror = c.comparisons.propagate, c.comparisons.mirror

        # Labels of another scan, and that scan over this one
        self.transfer, self.transferred = c.transfers.transfer, c.transfers.transferred
        self.warp, self.unwarp = c.transfers.warp, c.transfers.unwarp
        self.warped_changed = c.transfers.warped_changed

        # Cursor
        self.cursor_changed, self.match_changed = c.cursor.cursor_changed, c.cursor.match_changed
        self.hover_changed, self.marked_changed = c.cursor.hover_changed, c.cursor.marked_changed
        self.link_cursor, self.hover, self.mark = c.cursor.link_cursor, c.cursor.hover, c.cursor.mark

        # Segmentation
        self.strokes_changed = c.segmentation.strokes_changed
        self.segmentation_changed = c.segmentation.segmentation_changed
        self.segmentation_previewed = c.segmentation.segmentation_previewed
        self.statistics_changed = c.segmentation.statistics_changed
        self.protection_changed = c.segmentation.protection_changed
        self.paint, self.segment = read(c.segmentation.paint), read(c.segmentation.segment)
        self.fit = read(c.segmentation.fit)
        self.prepare_probe, self.apply_probe = c.segmentation.prepare_probe, c.segmentation.apply_probe
        self.undo_strokes, self.redo_strokes = c.segmentation.undo_strokes, c.segmentation.redo_strokes
        self.protect, self.protect_labels = c.segmentation.protect, read(c.segmentation.protect_labels)
        self.undo_accept = c.segmentation.undo_accept
        self.compute_statistics = read(c.segmentation.compute_statistics)
        self.save_statistics = c.segmentation.save_statistics
        self.save_segmentation = c.segmentation.save_segmentation
        self.save_probe, self.load_probe = c.segmentation.save_probe, read(c.segmentation.load_probe)
        self.scores_changed, self.save_probability = c.probability.scores_changed, c.probability.save_probability
        self.show_scores, self.hide_scores = c.probability.show_scores, c.probability.hide_scores

        # Suggested places
        self.suggestions = c.suggestions
        self.suggestions_changed = c.suggestions.suggestions_changed
        self.suggest, self.skip = c.suggestions.suggest, c.suggestions.skip

        # Classes
        self.class_colors_changed, self.set_class_color = c.classes.colors_changed, c.classes.set_color
        self.import_classes, self.export_classes = read(c.classes.import_classes), c.classes.export_classes

        # Projections
        self.pca_changed, self.basis_changed = c.projections.pca_changed, c.projections.basis_changed
        self.clusters_changed, self.scatter_changed = c.projections.clusters_changed, c.projections.scatter_changed
        self.selection_changed = c.projections.selection_changed
        self.compute_pca, self.compute_umap = c.projections.compute_pca, c.projections.compute_umap
        self.compute_clusters, self.compute_scatter = c.projections.compute_clusters, c.projections.compute_scatter
        self.lock_basis, self.fit_basis = c.projections.lock_basis, c.projections.fit_basis
        self.save_basis, self.load_basis = c.projections.save_basis, read(c.projections.load_basis)
        self.lasso, self.select = c.projections.lasso, c.projections.select
        self.point_at, self.place_of = c.projections.point_at, c.projections.place_of
        self.save_pca = c.projections.save_pca

        # Files
        self.files = SessionFiles(c, autosave)
        self.save, self.load = self.files.save, self.files.load
        self.recover = self.files.recover

        # Names of the first version, kept for scripts
        self.inspect_windows, self.windows_changed = c.windows.compare, c.windows.changed
        self.watch_training, self.export_dicom = c.training.watch, c.exports.dicom
        self.scorecard_changed = c.scorecard.changed

    def close(self) -> None:
        """Stop all work; nothing more is accepted, and nothing is left to recover."""
        self.controllers.workspace.runner.close()
        self.files.close()

    def plot(
        self,
        position_mm: ArrayLike | None = None,
        show: Sequence[str] | None = None,
        *,
        scan: Scan | None = None,
        window: str | tuple[float, float] = DEFAULT_WINDOW,
        title: str = "",
    ) -> "Picture":
        """Draw axial, coronal and sagittal slices of the active scan with overlays.

        Parameters
        ----------
        position_mm : (3,) array, optional
            World mm; by default the last click, the best region, or the middle.
        show : sequence of str, optional
            Overlays, of ``warped``, ``pca``, ``clusters``, ``heat``, ``windows``, ``segmentation``, ``lasso``,
            ``strokes``, ``regions``, ``found`` and ``clicks``; by default a segmentation, else a heat map, else colors,
            whichever is there first.
        scan : Scan, optional
            Another open one.
        window : str or (level, width)
            Name of a CT window, or HU.
        title : str

        Returns
        -------
        Picture
            A matplotlib figure; notebooks show it, ``savefig`` writes it.
        """
        from .display.figures import limits_of, montage  # here, since matplotlib takes half a second

        scan = scan or self.controllers.workspace.require_scan()
        if position_mm is not None:
            scan.volume.grid.require_inside(position_mm, where=scan.name)
        return montage(scan, position_mm, show, self.body_fraction, limits_of(window), title)

    def accept_region(self, value: int | None = None, name: str = "") -> "Job | None":
        """Add what the heat map of the active scan shows to its segmentation, as a protected label.

        Parameters
        ----------
        value : int, optional
            Label, 1 or above; by default that of the class with this name, else a new one. Other protected labels stay
            as they are.
        name : str
            Of the label.
        """
        scan = self.controllers.workspace.require_scan()
        mask = self.controllers.similarity.shown_mask(scan, scan.label_grid)
        return self.controllers.segmentation.accept(mask, value, name, scan)

    @property
    def scan(self) -> Scan | None:
        """The active scan."""
        return self.controllers.workspace.scan

    @property
    def volume(self) -> Volume | None:
        """Volume of the active scan."""
        return None if self.scan is None else self.scan.volume

    @property
    def features(self) -> "FeatureMaps | None":
        """Features of the active scan."""
        return None if self.scan is None else self.scan.features

    @property
    def strides(self) -> tuple[int, ...]:
        """Strides of the active scan's features, finest first: the keys of `weights`."""
        features = None if self.scan is None else self.scan.features or self.scan.preview
        return () if features is None else features.strides

    @property
    def clicks(self) -> Clicks:
        """Clicks on the active scan."""
        return self.controllers.workspace.clicks

    @property
    def heat(self) -> HeatResult | None:
        """Heat map of the active scan."""
        return None if self.scan is None else self.scan.heat

    @property
    def pca(self) -> PcaResult | None:
        """PCA or UMAP colors of the active scan."""
        return None if self.scan is None else self.scan.pca

    @property
    def segmentation(self) -> LabelVolume | None:
        """Segmentation of the active scan."""
        return None if self.scan is None else self.scan.segmentation

    @property
    def threshold(self) -> float | None:
        """Score from which on the heat map of the active scan is shown."""
        return self.controllers.similarity.threshold

    @property
    def linked(self) -> Scan | None:
        """Scan in which the position under the cursor is searched."""
        return self.controllers.cursor.linked

    @property
    def devices(self) -> tuple[str, ...]:
        """Possible values of `asked_device`, as far as known."""
        return self.controllers.features.devices

    @property
    def device(self) -> str:
        """Device of the encoder."""
        return self.controllers.features.device
