"""Names and colors of the classes of strokes and segmentations."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from psygnal import Signal

from coralbay_core.errors import InputError
from coralbay_core.io.label_tables import LabelTable, is_table, read_table, write_table
from coralbay_core.spatial import LabelVolume
from coralbay_core.spatial.label_colors import checked_color, class_color, hexadecimal, rgb_of
from coralbay_core.util.arguments import as_path, checked

from ..model.scan import Scan
from .segmentation import SegmentationController
from .workspace import Workspace, require

MOST_VALUE = 65535


class ClassesController:
    """Chosen colors of classes, equal in all scans, and files of names and colors.

    Parameters
    ----------
    workspace : Workspace
    segmentation : SegmentationController
    """

    colors_changed = Signal(Scan)

    def __init__(self, workspace: Workspace, segmentation: SegmentationController) -> None:
        self._workspace = workspace
        self._segmentation = segmentation
        self._colors: dict[int, str] = {}
        workspace.scan_added.connect(self._share)

    @property
    def colors(self) -> dict[int, str]:
        """Chosen colors of label values, ``#rrggbb``; other values have those of the palette."""
        return dict(self._colors)

    @colors.setter
    def colors(self, colors: dict[int, str]) -> None:
        wanted = checked_colors(colors)
        if wanted != self._colors:
            self._colors = wanted
            for scan in self._workspace.scans:
                self._share(scan)
                self.colors_changed.emit(scan)

    def set_color(self, value: int, color: str | None) -> None:
        """Choose the color of a class; None returns to that of the palette."""
        others = {other: chosen for other, chosen in self._colors.items() if other != value}
        self.colors = others if color is None else others | {value: color}

    def _share(self, scan: Scan) -> None:
        scan.class_colors = self.colors

    # Files

    @checked
    def import_classes(self, path: str | Path) -> LabelTable:
        """Read names and colors of classes, and give them to the active scan.

        Classes of other values stay. `undo_strokes` takes the names back.

        Parameters
        ----------
        path : str or Path
            JSON file, or label description of ITK-SNAP: see `coralbay_core.io.label_tables.read_table`.
        """
        scan = self._workspace.require_scan()
        read = read_table(Path(path))
        unusable = [value for value in read.names if not 1 <= value <= MOST_VALUE]
        if unusable:
            raise InputError("label out of range", where=path, found=unusable[0], expected=f"1 to {MOST_VALUE}")
        now = scan.strokes.now
        data = np.zeros(scan.label_grid.shape, np.uint8) if now is None else now.labels.data
        names = ({} if now is None else dict(now.names)) | read.names
        grid = scan.label_grid if now is None else now.grid
        self._segmentation.paint(LabelVolume(data, grid, "strokes", names=names), scan)
        self.colors = self._colors | {value: hexadecimal(color) for value, color in read.colors.items()}
        return read

    @checked
    def export_classes(self, path: str | Path) -> Path:
        """Write names and colors of the active scan's classes, as JSON (``.json``) or for ITK-SNAP (``.txt``)."""
        scan = self._workspace.require_scan()
        path = as_path(path)
        if not is_table(path):
            raise InputError("not a name for classes", where=path, expected="a name that ends in .json or .txt")
        self._workspace.inputs.require_free(path)
        known = self._segmentation.class_names(scan)
        require(known or None, "no classes to write", "add a class first")
        names = {value: name or f"class {value}" for value, name in known.items()}
        colors = {value: rgb_of(class_color(value, scan.class_colors)) for value in names}
        return write_table(path, names, names, colors)


def checked_colors(colors: Mapping[int, str]) -> dict[int, str]:
    """Return colors of label values, or raise `InputError` for values and colors that cannot be used."""
    if not isinstance(colors, Mapping):
        raise InputError("not colors of labels", found=repr(colors)[:40], expected='a mapping such as {2: "#56b4e9"}')
    return {_checked_value(value): checked_color(color) for value, color in colors.items()}


def _checked_value(value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= MOST_VALUE:
        raise InputError("label out of range", found=value, expected=f"1 to {MOST_VALUE}")
    return int(value)
