"""Statistics of a segmentation: volume, HU, and overlap with a reference per class."""

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QLabel

from ..context import Context
from .base import PanelBase, button, fill_table, table
from .reference import ReferenceChooser

if TYPE_CHECKING:
    from coralbay_core.probe import LabelStatistics

_CSV = "CSV (*.csv)"


class Statistics(PanelBase):
    """Table of statistics, computed on request.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self.measure = button("Statistics", "Volume and HU of each class, on the scan's own grid")
        self.reference = ReferenceChooser(context)
        self.save = button("Save…", "Write the table as CSV")
        self.row(self.measure, QLabel("against"), self.reference.native, self.save, stretch=2)
        self.results = table("Volume, HU and Dice of each class", ["Class", "ml", "HU", "Dice"], 120)
        self.rows.addWidget(self.results)
        self.rows.setContentsMargins(0, 0, 0, 0)
        self.measure.clicked.connect(context.notify_errors(self._measure))
        self.save.clicked.connect(self._save)
        session = context.session
        context.connect(
            (session.statistics_changed, self.show_state),
            (session.segmentation_changed, self.show_state),
            (session.scan_changed, self.show_state),
        )
        self.show_state()

    def _measure(self, *_: Any) -> None:
        session = self._context.session
        session.compute_statistics(self.reference.labels(session.scan.volume.grid))

    def _save(self, *_: Any) -> None:
        self._context.save_as("Save the statistics", "statistics.csv", _CSV, self._context.session.save_statistics)

    def show_state(self, _: Any = None) -> None:
        """Update the table."""
        scan = self._context.session.scan
        rows = scan.statistics if scan else ()
        self.measure.setEnabled(bool(scan and scan.probe and scan.features))
        self.save.setEnabled(bool(rows))
        fill_table(self.results, [statistics_cells(row) for row in rows])
        self.results.setVisible(bool(rows))


def statistics_cells(row: "LabelStatistics") -> list[str]:
    """Format the statistics of a class as table cells."""
    volume = f"{row.volume_ml:.1f}" if row.volume_ml < 100 else f"{row.volume_ml:.0f}"
    hu = "" if row.mean_hu is None else f"{row.mean_hu:.0f} ± {row.sd_hu:.0f}"
    return [row.name or f"label {row.value}", volume, hu, "" if row.dice is None else f"{row.dice:.3f}"]
