"""Image layers of other readers and scripts, offered as scans."""

from functools import partial
from typing import TYPE_CHECKING, Any

from ...display.layer_geometry import Answers
from ..context import Context
from ..layer_question import LayerQuestion
from .base import PanelBase, button, note
from .layer_picker import LayerPicker

if TYPE_CHECKING:
    from collections.abc import Callable


class ImageLayers(PanelBase):
    """Choice of an image layer that becomes a scan; hidden while there is none.

    Parameters
    ----------
    context : Context
    open_file : callable
        Opens a file as a scan.
    """

    def __init__(self, context: Context, open_file: "Callable[[Any], Any]") -> None:
        super().__init__()
        self._context = context
        self._open_file = open_file
        self.question: LayerQuestion | None = None
        self.rows.addWidget(note("An image layer is a scan once it is known how it lies in the patient:"))
        self.layers = LayerPicker(context, context.foreign.images, "Image layer that another reader or a script added")
        self.use = button("Use as scan", "Make a scan of this image layer; its sides are asked for if need be")
        self.row(self.layers.native, self.use, stretch=0)
        self.use.clicked.connect(context.notify_errors(self._use))
        events = context.viewer.layers.events
        context.connect(
            (events.inserted, self.show_state),
            (events.removed, self.show_state),
            (context.session.scan_changed, self.show_state),
        )
        self.show_state()

    def _use(self, *_: Any) -> None:
        layer, foreign = self.layers.layer, self._context.foreign
        if layer is None:
            return
        facts = foreign.facts(layer)
        if facts.is_known:
            foreign.add(layer, Answers(facts.directions, facts.spacing), facts.values)
            return
        self.question = LayerQuestion(facts, foreign.sample(layer), self)
        self.question.answered.connect(self._context.notify_errors(partial(foreign.add, layer)))
        self.question.from_file.connect(partial(self._read_instead, layer))
        self.question.open()

    def _read_instead(self, layer: Any) -> None:
        """Open the file that a layer was read from."""
        self._open_file(layer.source.path)
        layer.visible = False

    def show_state(self, event: Any = None) -> None:
        """Offer image layers, if there are any."""
        self.setVisible(bool(self._context.foreign.images()))
