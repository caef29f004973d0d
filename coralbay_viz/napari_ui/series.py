"""Which of several DICOM series of a folder?"""

from pathlib import Path

from qtpy.QtWidgets import QApplication, QInputDialog, QWidget


def choose(folder: Path, parent: QWidget | None = None) -> tuple[str | None, bool]:
    """Ask the user, where there is a choice and somebody to ask.

    Returns
    -------
    uid : str or None
        Of the series; None where the folder holds one, or none.
    go : bool
        False where the user would rather not open it.
    """
    from coralbay_core.io import list_series

    series = list_series(folder)
    if len(series) < 2 or QApplication.instance() is None:
        return None, True
    names = [f"{info.description or 'series'}: {info.modality}, {info.n_slices} slices ({info.uid})" for info in series]
    name, go = QInputDialog.getItem(parent, "Choose a series", f"Series in {folder.name}:", names, 0, False)
    return (series[names.index(name)].uid if go else None), go
