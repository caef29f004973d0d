"""Files that a session has read, which nothing that it writes may replace."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from coralbay_core.errors import InputError
from coralbay_core.spatial import LabelVolume, Volume

P = ParamSpec("P")
T = TypeVar("T")

# A volume from a file with any other name is a DICOM series, all of whose files lie in the same folder.
_SINGLE_FILES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")


class Inputs:
    """Files and folders that were read, and files that were written here."""

    def __init__(self) -> None:
        self._read: set[Path] = set()
        self._written: set[Path] = set()

    def note(self, source: Any) -> None:
        """Note what was read: a path, or a volume or label map that came from one; anything else is ignored."""
        is_volume = isinstance(source, Volume | LabelVolume)
        path = source.path if is_volume else source
        if not isinstance(path, str | Path):
            return
        path = Path(path).expanduser()
        if not path.exists():
            return
        is_series = isinstance(source, Volume) and path.is_file() and not path.name.lower().endswith(_SINGLE_FILES)
        self._read.add((path.parent if is_series else path).resolve())
        self._written.discard(path.resolve())

    def noting(self, command: Callable[P, T]) -> Callable[P, T]:
        """Wrap a command: the files that it is given are noted once it has accepted them."""

        @wraps(command)
        def noted(*args: P.args, **kwargs: P.kwargs) -> T:
            result = command(*args, **kwargs)
            for value in (*args, *kwargs.values()):
                for part in value if isinstance(value, list | tuple) else (value,):
                    self.note(part)
            return result

        return noted

    def require_free(self, path: str | Path) -> None:
        """Raise `InputError` if a file would replace one that was read."""
        path = Path(path).expanduser()
        target = path.resolve()
        if not target.exists() or target in self._written:
            return
        if any(target == known or known in target.parents or _is_same(target, known) for known in self._read):
            raise InputError(
                "would overwrite the input",
                where=path,
                found="a file that this session has read",
                hint="choose another name or folder",
            )

    @property
    def written(self) -> frozenset[Path]:
        """Files that were written."""
        return frozenset(self._written)

    def wrote(self, path: str | Path) -> None:
        """Note what was written: it may be written again."""
        self._written.add(Path(path).expanduser().resolve())


def _is_same(target: Path, known: Path) -> bool:
    """Whether both names are of one file, by a hard link."""
    try:
        return known.is_file() and target.samefile(known)
    except OSError:
        return False
