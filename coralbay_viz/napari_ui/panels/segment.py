"""From a few strokes to a segmentation."""

from typing import Any

from ..context import NIFTI, Context
from .base import Section, button


class SegmentPanel(Section):
    """Strokes, the probe that learns from them, and what becomes of it.

    Parameters
    ----------
    context : Context
    """

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self.strokes = button("New strokes", "A label layer to paint on: a few voxels of each class, background too")
        self.segment = button("Segment", "Spread the strokes over the whole scan")
        self.row(self.strokes, self.segment)
        self.save = button("Save segmentation…", "NIfTI on the grid of the scan's file, with the painted values")
        self.rows.addWidget(self.save)
        self.strokes.clicked.connect(context.told(self._new_strokes))
        self.segment.clicked.connect(context.told(self._segment))
        self.save.clicked.connect(self._save)
        session = context.session
        context.connect(
            (session.scan_changed, self.show_state),
            (session.features_changed, self.show_state),
            (session.segmentation_changed, self.show_state),
        )
        self.show_state()

    def _new_strokes(self, *_: Any) -> None:
        self._context.tools.mode = "look"  # a stroke is no click
        self._context.binding.new_strokes()
        self.show_state()

    def _segment(self, *_: Any) -> None:
        strokes = self._context.binding.strokes()
        if strokes is not None:
            self._context.session.segment(strokes)

    def next_suggestion(self) -> None:
        """Look for the place where the next stroke helps most."""
        self._context.session.suggest()

    def skip_suggestion(self) -> None:
        """Turn it down."""
        self._context.session.skip()

    def _save(self) -> None:
        self._context.save_as("Save the segmentation", "seg.nii.gz", NIFTI, self._context.session.save_segmentation)

    def show_state(self, _: Any = None) -> None:
        """All of it."""
        session = self._context.session
        features = session.features is not None
        self.strokes.setEnabled(features)
        self.segment.setEnabled(features and self._context.binding.layer("strokes") is not None)
        self.save.setEnabled(session.segmentation is not None)
