"""Choice among layers that CoralBay did not make, in magicgui's combo box."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox
from qtpy.QtWidgets import QComboBox, QSizePolicy

from ..context import Context

if TYPE_CHECKING:
    from napari.layers import Layer


class LayerPicker:
    """Combo box of some layers of the viewer; it follows the layer list.

    Parameters
    ----------
    context : Context
    find : callable
        Returns the layers to choose from.
    tip : str
    nothing : str, optional
        Entry that chooses none; without it the first layer is chosen.

    Attributes
    ----------
    native : QComboBox
    """

    def __init__(
        self, context: Context, find: "Callable[[], Sequence[Layer]]", tip: str, nothing: str | None = None
    ) -> None:
        self._context = context
        self._find = find
        self.box = _choice(nothing)(choices=lambda _: find(), nullable=nothing is not None, tooltip=tip)
        self.native: QComboBox = self.box.native
        self.native.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        events = context.viewer.layers.events
        context.connect(
            (events.inserted, self.list_layers),
            (events.removed, self.list_layers),
            (events.renamed, self.list_layers),
            (context.session.scan_changed, self.list_layers),
        )
        self.list_layers()

    def list_layers(self, event: Any = None) -> None:
        """Update the list of layers."""
        with suppress(RuntimeError):  # Qt has deleted the combo box
            chosen = self.box.value
            self.box.reset_choices()
            if chosen in self.box.choices:  # one that was renamed is another choice to magicgui
                self.box.value = chosen

    @property
    def layer(self) -> "Layer | None":
        """Selected layer."""
        layer = self.box.value
        return layer if layer in self._find() else None


def _choice(nothing: str | None) -> type[ComboBox]:
    """Combo box whose entry for none has a text; magicgui takes it from the class."""
    return type("LayerChoice", (ComboBox,), {"null_string": nothing or ComboBox.null_string})
