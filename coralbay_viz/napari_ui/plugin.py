"""Entry points of the napari manifest: reader, writers, sample data, menu entries."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coralbay_core.errors import Cancelled, CoralBayError

from ..display.layer_specs import MADE_ON, ct_spec, labels_spec
from ..jobs import without_context
from ..model.first_window import first_window
from ..model.label_maps import as_labels
from ..tasks import files
from .layer_data import layer_data

if TYPE_CHECKING:
    import napari

    from ..jobs import JobContext

LayerData = tuple[Any, dict[str, Any], str] | tuple[None]

# Accepted by name; other files that match the manifest must have a DICOM header.
_FILES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm")
_LOOK_AT = 64


# --- reading ------------------------------------------------------------------------------------------------------


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]] | None:
    """Return the reader of CT files and DICOM folders; None for anything else."""
    paths = [path] if isinstance(path, str) else list(path)
    return read if paths and all(_is_ours(Path(p)) for p in paths) else None


def read(path: str | Sequence[str]) -> list[LayerData]:
    """Read one scan or label map, or each of several files; files of one DICOM series are one scan."""
    paths = [Path(path)] if isinstance(path, str) else [Path(p) for p in path]
    if len(paths) > 1 and all(p.suffix.lower() == ".dcm" or _is_dicom(p) for p in paths):
        paths = paths[:1]
    # napari's word for "nothing, and that is all right": the user did not choose a series, or knows what is wrong.
    return [layer_data(spec) for p in paths for spec in _specs_or_line(p)] or [(None,)]


def _specs_or_line(path: Path) -> list[Any]:
    """Layers of a file; in a window one line says why there are none, where napari would show a traceback."""
    from napari import current_viewer
    from napari.utils.notifications import show_error
    from qtpy.QtWidgets import QApplication

    try:
        return _specs(path)
    except Cancelled:
        return []
    except CoralBayError as error:
        if current_viewer() is None or QApplication.instance() is None:
            raise
        show_error(error.brief)
        return []


def _specs(path: Path) -> list[Any]:
    from coralbay_core.io import load_volume

    from .job_dialog import result_of

    series = None
    if path.is_dir():
        from .series import choose

        series, go = choose(path)
        if not go:
            return []
    volume = result_of(without_context(partial(load_volume, path, series=series)), f"Opening {path.name}")
    labels = as_labels(volume)
    if labels is None:
        return [ct_spec(files.freeze(volume), first_window(volume))]
    _show_notes(path, labels.notes)
    spec = labels_spec(labels, "reference")
    return [replace(spec, metadata={**spec.metadata, MADE_ON: labels})]


def _show_notes(path: Path, notes: Sequence[str]) -> None:
    """Show notes about a label map; those about a scan stand in the panel Scan."""
    from napari.utils.notifications import show_info

    if notes:
        show_info(f"{path.name}: {'; '.join(notes)}")


def _is_ours(path: Path) -> bool:
    if path.is_dir():
        # Other plugins open folders too: accept only those with at least one DICOM file.
        inside = (file for file in path.rglob("*") if file.is_file())
        return any(map(_is_dicom, islice(inside, _LOOK_AT)))
    return path.name.lower().endswith(_FILES) or _is_dicom(path)


def _is_dicom(file: Path) -> bool:
    if not file.is_file():
        return False
    try:
        with file.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:  # not ours to read
        return False


# --- writing ------------------------------------------------------------------------------------------------------


def write_image(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write an image as NIfTI, with the grid and header of the scan that the layer was made on."""
    from .saving import save_layer

    return [str(save_layer(Path(path), data, attributes, is_labels=False))]


def write_labels(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write labels as NIfTI, with the grid and header of the scan that they were made on or lie on."""
    from .saving import save_layer

    return [str(save_layer(Path(path), data, attributes, is_labels=True))]


# --- samples ------------------------------------------------------------------------------------------------------


def sample_phantom() -> list[LayerData]:
    """Open the synthetic torso as a scan."""
    return [layer_data(ct_spec(files.make_phantom().volume))]


def sample_chest() -> list[LayerData]:
    """Open a public chest CT, downloaded on first use; without a network an error is shown."""
    from .job_dialog import result_of

    # It must be given back: napari 0.9 takes a sample without layers for an error.
    return result_of(_chest, "Downloading the sample CT")


def _chest(context: "JobContext") -> list[LayerData]:
    from ..demo.samples import fetch_chest

    def report(done: int, total: int) -> None:
        context.check_cancelled()
        context.progress(done, total)

    return read(str(fetch_chest(report=report)))


# --- menus --------------------------------------------------------------------------------------------------------


def open_similar(viewer: "napari.Viewer") -> None:
    """Open the dock widget at the tab Similar."""
    _open(viewer, "Similar")


def open_colors(viewer: "napari.Viewer") -> None:
    """Open the dock widget at the tab Colors."""
    _open(viewer, "Colors")


def open_segment(viewer: "napari.Viewer") -> None:
    """Open the dock widget at the tab Segment."""
    _open(viewer, "Segment")


def open_compare(viewer: "napari.Viewer") -> None:
    """Open the dock widget at the tab Compare."""
    _open(viewer, "Compare")


def _open(viewer: "napari.Viewer", tab: str) -> None:
    from .widget import CoralBayWidget

    there = (widget for widget in viewer.window.dock_widgets.values() if isinstance(widget, CoralBayWidget))
    widget = next(there, None)
    if widget is None:
        _, widget = viewer.window.add_plugin_dock_widget("coralbay", "CoralBay")
    widget.show_tab(tab)
