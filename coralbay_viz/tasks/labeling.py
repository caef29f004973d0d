"""How a scan is segmented: the input of labels and scores besides the probe."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from coralbay_core.spatial import Grid, LabelVolume, Volume
from coralbay_core.spatial.resampling import labels_on

if TYPE_CHECKING:
    from collections.abc import Callable

    from coralbay_core.features import FeatureMaps
    from coralbay_core.probe import Probe, ScoreMap


@dataclass(frozen=True, eq=False)
class Connections:
    """Strokes that spread over connections between cells.

    Parameters
    ----------
    strokes : LabelVolume
        Of the scan.
    volume : Volume
        The CT.
    pull : float
        Weight of the probe, as of `coralbay_core.probe.connected_scores`.
    keep_islands : bool
        Whether parts of a class without a stroke keep it.
    """

    strokes: LabelVolume
    volume: Volume
    pull: float
    keep_islands: bool = False


@dataclass(frozen=True, eq=False)
class Labeling:
    """Input of a segmentation besides the probe, frozen when a job starts.

    Parameters
    ----------
    features : FeatureMaps
    guide : Volume, optional
        Volume whose HU borders follow.
    protected : LabelVolume, optional
        Labels that are preserved.
    connections : Connections, optional
        By default each cell is classified alone.
    """

    features: "FeatureMaps"
    guide: Volume | None = None
    protected: LabelVolume | None = None
    connections: Connections | None = None

    def scores(
        self, probe: "Probe", around: Grid | None = None, cancelled: "Callable[[], bool] | None" = None
    ) -> "ScoreMap":
        """Scores of all classes; without connections only on the cells that `around` needs."""
        from coralbay_core.probe import connected_scores

        made = self.connections
        if made is None:
            return probe.scores(self.features, around=around)
        return connected_scores(
            probe,
            self.features,
            made.strokes,
            made.volume,
            pull=made.pull,
            keep_islands=made.keep_islands,
            cancelled=cancelled,
        )

    def labels(self, probe: "Probe | None", grid: Grid) -> LabelVolume:
        """Segment the scan on a grid; without a probe these are the protected labels."""
        protected = self.protected
        names = ({} if probe is None else probe.names) | ({} if protected is None else dict(protected.names))
        if probe is None:
            data = np.zeros(grid.shape, np.uint8) if protected is None else labels_on(protected, grid)
        else:
            data = self.scores(probe).segment(grid, guide=self.guide, protected=protected).labels
        return LabelVolume(data, grid, name="segmentation", names=names)
