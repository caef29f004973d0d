"""Panel Files: results and sessions as files on the kernel's machine."""

from functools import partial
from pathlib import Path
from typing import Any

from coralbay_core.errors import InputError, MissingFileError

from .control import Control, when_done
from .panels.files import FilesPanel


class FilesControl(Control):
    """The panel of files."""

    def __init__(self, *wires: Any) -> None:
        super().__init__(*wires)
        self.panel = FilesPanel()
        self.on_request(self.panel.save_wanted, self._save)
        self.on_request(self.panel.load_wanted, self.session.load)

    def _save(self, kind: str, path: str, names: bool) -> None:
        session = self.session
        saves = {
            "heat": session.save_heat,
            "pca": session.save_pca,
            "seg": session.save_segmentation,
            "statistics": session.save_statistics,
            "session": partial(session.save, names=names),
        }
        target = _named(path)
        there = target.exists()
        job = saves[kind](target)
        if there:
            when_done(job, lambda: self._status.say(f"Saved {target} (replaced the existing file)"))


def _named(path: str) -> Path:
    """Check a file name; a mistyped folder must not be created."""
    if not path.strip():
        raise InputError("no file name", expected="e.g. heat.nii.gz, statistics.csv or work.coralbay")
    target = Path(path.strip()).expanduser()
    if not target.parent.is_dir():
        raise MissingFileError("no such folder", where=target.parent, hint="create it first, or choose another one")
    return target
