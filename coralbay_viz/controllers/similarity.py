"""Heat maps: clicks, stage weights, distance prior, and scans that are linked to the clicks of another one."""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from coralbay_core.errors import CoralBayError, InputError
from coralbay_core.similarity.scopes import SCOPES, Scope
from coralbay_core.spatial import Grid
from coralbay_core.util.arguments import checked

from ..jobs import Job, JobKey
from ..model.clicks import Clicks
from ..model.history import History
from ..model.places import as_place
from ..model.results import HeatResult, Results
from ..model.scan import Scan
from ..model.stage_weights import Mixer, checked_weights
from ..tasks.files import on_grid
from ..tasks.similarity import TOP_REGIONS, HeatRequest, heat
from .alignments import AlignmentsController
from .checks import checked_number
from .features import FeaturesController
from .workspace import Workspace, require

if TYPE_CHECKING:
    from coralbay_core.similarity import HereWeights

DEFAULT_BODY_FRACTION = 0.03
NEAR_MM = 5.0
"""Maximum distance at which a position selects an existing click."""


class SimilarityController:
    """Clicks and their heat maps.

    Parameters
    ----------
    workspace : Workspace
    features : FeaturesController
    alignments : AlignmentsController
    """

    clicks_changed = Signal(Scan)
    heat_changed = Signal(Scan)
    body_fraction_changed = Signal(float)
    weights_changed = Signal(object)

    def __init__(self, workspace: Workspace, features: FeaturesController, alignments: AlignmentsController) -> None:
        self._workspace = workspace
        self._alignments = alignments
        self._body_fraction = DEFAULT_BODY_FRACTION
        self._weights: Mixer = None
        self._prior_mm: float | None = None
        self._scope: Scope = "everywhere"
        self._here: HereWeights | None = None
        self.clicks_changed.connect(self._update_linked)
        features.features_changed.connect(self._update_linked)
        features.preview_changed.connect(self._preview_changed)
        features.results_replaced.connect(self._results_replaced)
        workspace.scan_removed.connect(self._unlink)
        workspace.scan_changed.connect(self._follow_border)
        alignments.aligned.connect(self._pair_aligned)

    # Clicks

    @checked
    def click(self, position_mm: Sequence[float], negative: bool = False, scan: Scan | None = None) -> Job | None:
        """Add a click and update the heat map; None while there are no features yet.

        Parameters
        ----------
        position_mm : three floats
            World mm, inside the scan.
        negative : bool
            Whether similar positions should score lower.
        scan : Scan, optional
            By default the active one.
        """
        scan = scan or self._workspace.require_scan()
        self._workspace.require_open(scan)
        scan.volume.grid.require_inside(position_mm, where=scan.name)
        return self._change_clicks(scan, scan.clicks.now.add(as_place(position_mm), negative))

    @checked
    def click_region(self, number: int, negative: bool = False) -> Job | None:
        """Add a click at a region of the heat map of the active scan: accept it, or exclude what is like it.

        Parameters
        ----------
        number : int
            Index of the region, best first, from 0.
        negative : bool
            Whether the region is not what is searched for.
        """
        scan = self._workspace.require_scan()
        result = require(scan.heat, "no heat map", "click on the scan first")
        if not 0 <= number < len(result.regions):
            raise InputError("no such region", found=number, expected=f"0 to {len(result.regions) - 1}")
        return self.click(result.regions[number].position_mm, negative)

    def clear_clicks(self) -> Job | None:
        """Remove all clicks; `undo` restores them."""
        scan = self._workspace.require_scan()
        return self._change_clicks(scan, Clicks()) if scan.clicks.now else None

    @checked
    def remove_click(self, position_mm: Sequence[float], within_mm: float = NEAR_MM) -> Job | None:
        """Remove the click nearest to a position; nothing where none is near."""
        return self._replace_click(position_mm, None, within_mm)

    @checked
    def move_click(
        self, position_mm: Sequence[float], to_mm: Sequence[float], within_mm: float = NEAR_MM
    ) -> Job | None:
        """Move the click nearest to a position; nothing where none is near."""
        scan = self._workspace.require_scan()
        scan.volume.grid.require_inside(to_mm, where=scan.name)
        return self._replace_click(position_mm, to_mm, within_mm)

    def undo(self, scan: Scan | None = None) -> Job | None:
        """Undo the last change of the clicks of a scan (the active one)."""
        return self._step_clicks(History.undo, scan)

    def redo(self, scan: Scan | None = None) -> Job | None:
        """Redo what was undone in a scan (the active one)."""
        return self._step_clicks(History.redo, scan)

    def set_clicks(self, scan: Scan, clicks: Clicks) -> None:
        """Replace the clicks of a scan without computing the heat map."""
        scan.clicks.change(clicks)
        self.clicks_changed.emit(scan)

    def _replace_click(
        self, position_mm: Sequence[float], to_mm: Sequence[float] | None, within_mm: float
    ) -> Job | None:
        scan = self._workspace.require_scan()
        now = scan.clicks.now
        click = now.near(as_place(position_mm), within_mm)
        if click is None:
            return None
        return self._change_clicks(scan, now.replace(click, None if to_mm is None else as_place(to_mm)))

    def _step_clicks(self, step: Callable[[History[Clicks]], bool], scan: Scan | None) -> Job | None:
        scan = scan or self._workspace.require_scan()
        self._workspace.require_open(scan)
        if not step(scan.clicks):
            return None
        self.clicks_changed.emit(scan)
        return self.update(scan)

    def _change_clicks(self, scan: Scan, clicks: Clicks) -> Job | None:
        self.set_clicks(scan, clicks)
        return self.update(scan)

    # Settings

    @property
    def weights(self) -> Mixer:
        """Weights per stride: a mapping, ``auto`` (chosen from the clicks), or None for equal ones."""
        return self._weights

    @weights.setter
    def weights(self, weights: Mixer) -> None:
        weights = checked_weights(weights)
        if weights != self._weights:
            scan = self._workspace.scan
            strides = scan.features.strides if scan is not None and scan.features is not None else None
            if strides is not None and isinstance(weights, dict) and not set(weights) <= set(strides):
                # Before it is kept: each later click would fail.
                raise InputError("no such stride", found=sorted(weights), expected=f"some of {list(strides)}")
            self._weights = weights
            self.weights_changed.emit(weights)
            self._update_all()

    @property
    def fixed_weights(self) -> Mixer:
        """Weights for what has no clicks to choose them from: equal ones in place of ``auto``."""
        return None if self._weights == "auto" else self._weights

    @property
    def weights_mapping(self) -> dict[int, float] | None:
        """Weights per stride where they are a mapping, else None."""
        return self._weights if isinstance(self._weights, dict) else None

    @property
    def prior_mm(self) -> float | None:
        """Width of the distance prior around the clicks, mm; None for no prior."""
        return self._prior_mm

    @prior_mm.setter
    def prior_mm(self, width: float | None) -> None:
        if width is not None:
            width = checked_number(width, "distance prior", 0, sys.float_info.max, "a number of mm above 0, or None")
        if width != self._prior_mm:
            self._prior_mm = width
            self.weights_changed.emit(self._weights)
            self._update_all()

    @property
    def scope(self) -> Scope:
        """What a click asks for: ``everywhere``, ``here`` (the clicked structure) or ``place``."""
        return self._scope

    @scope.setter
    def scope(self, scope: Scope) -> None:
        if scope not in SCOPES:
            raise InputError("unknown scope", found=scope, expected=f"one of {', '.join(SCOPES)}")
        if scope != self._scope:
            self._scope = scope
            if scope != "here":  # a threshold of one structure means nothing for the whole body
                self.body_fraction = DEFAULT_BODY_FRACTION
            self.weights_changed.emit(self._weights)
            self._update_all()

    @property
    def here_weights(self) -> "HereWeights":
        """Weights of the parts of a heat map of the clicked structure."""
        from coralbay_core.similarity import HereWeights

        return self._here or HereWeights()

    @here_weights.setter
    def here_weights(self, weights: "HereWeights") -> None:
        from coralbay_core.similarity import HereWeights

        if not isinstance(weights, HereWeights):
            raise InputError("weights of another type", found=type(weights).__name__, expected="HereWeights")
        if weights != self.here_weights:
            self._here = weights
            self.weights_changed.emit(self._weights)
            self._update_all()

    @property
    def body_fraction(self) -> float:
        """Fraction of the body, highest scores first, that the heat map shows."""
        return self._body_fraction

    @body_fraction.setter
    def body_fraction(self, fraction: float) -> None:
        self._body_fraction = checked_number(fraction, "fraction of the body", 0, 1, "above 0 and up to 1")
        self.body_fraction_changed.emit(self._body_fraction)

    @property
    def threshold(self) -> float | None:
        """Score from which on the heat map of the active scan is shown."""
        return self.threshold_of(self._workspace.scan)

    def threshold_of(self, scan: Scan | None) -> float | None:
        """Score from which on the heat map of a scan is shown; None without one."""
        return None if scan is None or scan.heat is None else scan.heat.scale.score_of(self._body_fraction)

    # Linked scans

    @checked
    def link_heat(self, target: Scan, source: Scan | None = None) -> Job | None:
        """Let the heat map of a scan follow the clicks on another one; None while features are missing.

        Parameters
        ----------
        target : Scan
        source : Scan, optional
            By default the active one.
        """
        source = source or self._workspace.require_scan()
        self._workspace.require_open(target, source)
        if target is source:
            raise InputError("a scan cannot be linked to itself", where=target.name)
        target.origin = source
        return self.update(target)

    @checked
    def unlink_heat(self, target: Scan) -> Job | None:
        """Let the heat map of a scan follow its own clicks again."""
        self._workspace.require_open(target)
        target.origin = None
        return self.update(target)

    def _update_linked(self, scan: Scan) -> None:
        for other in self._workspace.scans:
            if other.origin is scan and other is not scan:
                try:
                    self.update(other)
                except CoralBayError as error:  # a problem of the linked scan must not fail the click on this one
                    self._workspace.failed.emit(error)

    def _unlink(self, scan: Scan) -> None:
        for other in self._workspace.scans:
            if other.origin is scan:
                other.origin = None
                self.update(other)

    # Heat maps

    def update(self, scan: Scan) -> Job | None:
        """Compute the heat map of a scan again; None where there is nothing to compute, and it is removed."""
        request = self.request(scan)
        if request is None:
            self._workspace.stop("heat", scan)
            if scan.heat is not None:
                self._set_heat(scan, None)
            return None
        work = partial(heat, request, scan.overlay_grid)
        done = partial(self._show_answer, scan, scan.origin)
        return self._workspace.run(JobKey("heat", scan), work, done, torch=True)

    def _show_answer(self, scan: Scan, origin: Scan | None, result: HeatResult) -> None:
        """Show a heat map; one that an alignment of both scans can change is computed again after that."""
        self._set_heat(scan, result)
        if result.provisional and not result.partial and origin is not None and origin is scan.origin:
            self._alignments.ensure(origin, scan)

    def _pair_aligned(self, *pair: Scan) -> None:
        for scan in pair:
            if scan.heat is not None and scan.heat.provisional and scan.origin in pair:
                self.update(scan)

    def request(self, scan: Scan) -> HeatRequest | None:
        """Return the input of a scan's heat map, or None without clicks, queries or features.

        While features are computed, the first of them serve for their box.
        """
        source = scan.origin or scan
        target, origin = scan.features or scan.preview, source.features or source.preview
        if target is None or origin is None:
            return None
        clicks = source.clicks.now if source.features is not None else source.clicks.now.inside(origin.grid)
        if not (clicks.positive or scan.queries_in_use):
            return None
        from coralbay_core.matching import SimilarityRequest

        scope = self._scope
        if scope == "here" and (origin is not target or not clicks.positive):
            # The structure lies in another scan, or nothing was clicked.
            scope = "place" if clicks.positive else "everywhere"
        search = SimilarityRequest(
            target=target,
            source=origin,
            positive_mm=clicks.positive,
            negative_mm=clicks.negative,
            queries=scan.queries_in_use,
            weights=self._weights,
            prior_mm=self._prior_mm,
            top=TOP_REGIONS,
            scope=scope,
            guide=scan.volume,
            here=self.here_weights,
            align=False,
        )
        return HeatRequest(search, clicks, partial=scan.features is None or source.features is None)

    @checked
    def save_heat(self, path: str | Path) -> Job:
        """Write the heat map on the grid of the scan's file."""
        scan = self._workspace.require_scan()
        result = require(scan.heat, "no heat map to save", "click on the scan first")
        if result.partial:
            raise CoralBayError("heat map is not complete", where=scan.name, hint="wait for the features")
        parameters = {
            "at_mm": result.clicks.positive,
            "not_mm": result.clicks.negative,
            "weights": result.heat.weights,
            "scope": self._scope,
            "alignment": result.note or None,
        }
        return self._workspace.write_map(path, scan, partial(on_grid, result.heat), **parameters)

    def shown_mask(self, scan: Scan, grid: Grid) -> NDArray[np.bool_]:
        """Mask of what the heat map of a scan shows now, on a grid."""
        result = require(scan.heat, "no heat map", "click on the scan first")
        return result.heat.mask(grid, result.scale.score_of(self._body_fraction))

    def _set_heat(self, scan: Scan, result: HeatResult | None) -> None:
        before = scan.heat
        scan.update(heat=result)
        told = before is not None and before.note and not before.provisional
        if result is not None and result.note and not result.provisional and not told:
            self._workspace.message.emit(f"{scan.name}: {result.note}")  # once, not at every click
        self._follow_border(scan)
        self.heat_changed.emit(scan)

    def _follow_border(self, scan: Scan | None) -> None:
        """Set the threshold to the border of the active scan's clicked structure, where it has one."""
        if scan is None or scan is not self._workspace.scan or scan.heat is None:
            return
        if scan.heat.heat.threshold is not None:
            self.body_fraction = scan.heat.scale.fraction_of(scan.heat.heat.threshold)

    def _update_all(self) -> None:
        for scan in self._workspace.scans:
            self.update(scan)

    def _preview_changed(self, scan: Scan) -> None:
        self.update(scan)
        self._update_linked(scan)

    def _results_replaced(self, scan: Scan, old: Results) -> None:
        self.heat_changed.emit(scan)
        self.update(scan)
