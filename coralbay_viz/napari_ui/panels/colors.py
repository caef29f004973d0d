"""Features as colors."""

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker
from qtpy.QtWidgets import QCheckBox

from ..context import Context
from .base import Section, when_clicked

if TYPE_CHECKING:
    from ...state import Scan


class ColorsPanel(Section):
    """Main directions of the features over the scan.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self.pca = QCheckBox("PCA overlay")
        self.pca.setToolTip("The three main directions of the features as red, green and blue")
        self.rows.addWidget(self.pca)
        when_clicked(self.pca, context.told(self.want_pca))
        session = context.session
        context.connect(
            (session.scan_changed, self.show_state),
            (session.features_changed, self.show_state),
            (session.pca_changed, self.show_state),
            (context.binding.visibility_changed, self.show_state),
        )
        self.show_state()

    def want_pca(self, wanted: bool) -> None:
        """Show colors, computing them where there are none, or hide them."""
        if wanted and self._context.session.pca is None:
            self._context.session.compute_pca()
        self._context.binding.set_visible("pca", wanted)

    def show_state(self, scan: "Scan | Any" = None) -> None:
        """All of it."""
        layer = self._context.binding.layer("pca")
        self.pca.setEnabled(self._context.session.features is not None)
        with QSignalBlocker(self.pca):
            self.pca.setChecked(layer is not None and layer.visible)
