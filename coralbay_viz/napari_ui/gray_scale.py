"""Gray scales of scans: one for slices, and another while a projection in 3-D is shown."""

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from psygnal import Signal

from ..model.palette import adjust_window, projection_limits_hu

if TYPE_CHECKING:
    import napari
    from napari.layers import Layer

    from ..model.scan import Scan
    from .layer_stack import LayerStack


class GrayScale:
    """Contrast limits of the layers of scans.

    Parameters
    ----------
    viewer : napari.Viewer
    stack : LayerStack
    """

    window_changed = Signal(object)  # limits in HU, of the slices of the active scan

    def __init__(self, viewer: "napari.Viewer", stack: "LayerStack") -> None:
        self._viewer = viewer
        self._stack = stack
        self._of_slices: WeakKeyDictionary[Layer, Any] = WeakKeyDictionary()  # while 3-D is shown
        stack.contrast_changed.connect(self._contrast_changed)

    @property
    def window(self) -> tuple[float, float] | None:
        """Gray scale of the active scan in slices, HU."""
        return self.window_of(None)

    def window_of(self, scan: "Scan | None") -> tuple[float, float] | None:
        """Gray scale of a scan (the active one) in slices, HU."""
        layer = self._stack.layer("ct", scan)
        if layer is None:
            return None
        low, high = self._of_slices.get(layer, layer.contrast_limits)
        return float(low), float(high)

    def set_window(self, limits_hu: tuple[float, float]) -> None:
        """Set the gray scale of the active scan in slices."""
        layer = self._stack.layer("ct")
        if layer is not None and layer in self._of_slices:
            self._of_slices[layer] = limits_hu  # applied when slices are shown again
            self.window_changed.emit(limits_hu)
        elif layer is not None:
            layer.contrast_limits = limits_hu

    def adjust(self, level: float, width: float, scan: "Scan | None" = None) -> None:
        """Change level and width of what is shown of a scan (the active one), slices or projection.

        Parameters
        ----------
        level, width : float
            As for `palette.adjust_window`.
        scan : Scan, optional
        """
        layer = self._stack.layer("ct", scan)
        if layer is not None:
            low, high = layer.contrast_limits
            layer.contrast_limits = adjust_window((low, high), level, width)

    def update(self) -> None:
        """Set the gray scale that slices, or a projection, need."""
        flat = self._viewer.dims.ndisplay == 2
        for ct in self._stack.scan_layers():
            if flat and ct in self._of_slices:
                ct.contrast_limits = self._of_slices.pop(ct)
            elif not flat and ct not in self._of_slices:
                self._of_slices[ct] = ct.contrast_limits
                ct.contrast_limits = projection_limits_hu(ct.data)

    def match(self, scan: "Scan | None" = None) -> None:
        """Give what covers a scan (the active one) in HU the gray scale of that scan."""
        ct, warped = self._stack.layer("ct", scan), self._stack.layer("warped", scan)
        if ct is not None and warped is not None:
            warped.contrast_limits = ct.contrast_limits

    def _contrast_changed(self, layer: "Layer") -> None:
        if layer is self._stack.layer("ct"):
            self.match()
        if layer is self._stack.layer("ct") and layer not in self._of_slices and self._viewer.dims.ndisplay == 2:
            self.window_changed.emit(self.window)
