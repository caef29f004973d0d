"""Choice among several DICOM series of a folder."""

from pathlib import Path

from qtpy.QtWidgets import QApplication, QInputDialog, QWidget


def choose(folder: Path, parent: QWidget | None = None) -> tuple[str | None, bool]:
    """Ask the user for a series, if there are several and a window is open.

    Returns
    -------
    uid : str or None
        Of the series; None if the folder holds one or none.
    go : bool
        False if the user cancels.
    """
    from coralbay_core.io import list_series

    series = list_series(folder)
    if len(series) < 2 or QApplication.instance() is None:
        return None, True
    names = [f"{info.description or 'series'}: {info.modality}, {info.n_slices} slices ({info.uid})" for info in series]
    name, go = QInputDialog.getItem(parent, "Choose a series", f"Series in {folder.name}:", names, 0, False)
    return (series[names.index(name)].uid if go else None), go
