"""Results as files of the kernel's machine, and sessions."""

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
        self.obey(self.panel.save_wanted, self._save)
        self.obey(self.panel.load_wanted, self.session.load)

    def _save(self, kind: str, path: str) -> None:
        session = self.session
        saves = {
            "heat": session.save_heat,
            "pca": session.save_pca,
            "seg": session.save_segmentation,
            "statistics": session.save_statistics,
            "session": session.save,
        }
        target = _named(path)
        there = target.exists()
        job = saves[kind](target)
        if there:
            when_done(job, lambda: self._status.say(f"Saved {target}, in the place of the file that was there"))


def _named(path: str) -> Path:
    """Where to write: a mistyped folder must not become a new one."""
    if not path.strip():
        raise InputError("a file needs a name", expected="e.g. heat.nii.gz, statistics.csv or work.coralbay")
    target = Path(path.strip()).expanduser()
    if not target.parent.is_dir():
        raise MissingFileError("no such folder", where=target.parent, hint="make it first, or choose another one")
    return target
