"""Hierarchy of errors, each of which is also a builtin exception.

A message reads ``what - where - found vs expected - what to do``: the same line serves a Python user, the command line
and a napari notification.
"""

from pathlib import Path
from typing import ClassVar


class CoralBayError(Exception):
    """Base class of all errors that a user can resolve.

    Parameters
    ----------
    what : str
        The problem, in a few words.
    where : object, optional
        File, option or position that the problem concerns.
    found, expected : object, optional
        The actual value, and the required one.
    hint : str, optional
        Suggested solution.

    Attributes
    ----------
    message : str
        The complete message in one line.
    brief : str
        The same with the name instead of the path of a file or folder, for narrow displays.
    exit_code : int
        Of the command line: 1 for a failure at run time, 2 for input that cannot be used.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self, what: str, *, where: object = None, found: object = None, expected: object = None, hint: str = ""
    ):
        contrast = " vs ".join(
            f"{word} {value}" for word, value in (("found", found), ("expected", expected)) if value is not None
        )
        place = "" if where is None else str(where)
        self.message = _line(what, place, contrast, hint)
        self.brief = _line(what, where.name if isinstance(where, Path) and where.name else place, contrast, hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message

    def _render_traceback_(self) -> list[str]:
        """Return the lines that IPython prints instead of a traceback: the message is sufficient for users."""
        return [f"{type(self).__name__}: {self.message}"]

    def __reduce__(self):
        # Pickled as the finished line: its parts are keyword-only and would not survive the default protocol.
        return type(self), (self.message,)


class InputError(CoralBayError, ValueError):
    """A value, option or file content that cannot be used."""

    exit_code = 2


class StorageError(InputError):
    """A file that cannot be written: no space, no permission, a folder in the way.

    It is an `InputError` because another output path usually helps. The command line exits with 2 where the cause is
    the path itself, and with 1 where it is the machine.
    """

    exit_code = 1


class MissingFileError(CoralBayError, FileNotFoundError):
    """A path that does not exist."""

    exit_code = 2


class OutsideVolumeError(CoralBayError, IndexError):
    """A position in mm that lies outside the volume."""

    exit_code = 2


class WeightsError(CoralBayError, ValueError):
    """Weights that are absent, damaged or do not fit the model."""

    exit_code = 2


class DownloadError(WeightsError):
    """Weights that could not be fetched: no network, or none that answers."""

    exit_code = 1


class MissingExtraError(CoralBayError, ImportError):
    """An optional dependency that is not installed."""


class Cancelled(CoralBayError, RuntimeError):
    """Work that was stopped on request; no partial results are left."""


def _line(*parts: str) -> str:
    return " - ".join(" ".join(part.split()) for part in parts if part)
