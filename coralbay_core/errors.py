"""One hierarchy of errors, each of which is also a builtin.

A message reads ``what - where - found vs expected - what to do``: the same line serves a Python user, the command line
(exit code 2) and a napari notification.
"""

from pathlib import Path


class CoralBayError(Exception):
    """Base of all errors that a user can act on.

    Parameters
    ----------
    what : str
        What went wrong, in a few words.
    where : object, optional
        File, option or position that is concerned.
    found, expected : object, optional
        The value that was met, and what was needed instead.
    hint : str, optional
        What to do about it.

    Attributes
    ----------
    message : str
        All of it in one line.
    brief : str
        The same with the name alone of a file or folder, for where there is little room.
    """

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
        """What IPython prints instead of a traceback: the line says what to do, the calls in between do not."""
        return [f"{type(self).__name__}: {self.message}"]

    def __reduce__(self):
        # Pickled as the finished line: its parts are keyword-only and would not survive the default protocol.
        return type(self), (self.message,)


class InputError(CoralBayError, ValueError):
    """A value, option or file content that cannot be used."""


class MissingFileError(CoralBayError, FileNotFoundError):
    """A path that does not exist."""


class OutsideVolumeError(CoralBayError, IndexError):
    """A position in mm that lies outside the volume."""


class WeightsError(CoralBayError, ValueError):
    """Weights that are absent, damaged or do not fit the model."""


class MissingExtraError(CoralBayError, ImportError):
    """An optional dependency that is not installed."""


class Cancelled(CoralBayError, RuntimeError):
    """Work that was stopped on request; nothing is half-written."""


def _line(*parts: str) -> str:
    return " - ".join(" ".join(part.split()) for part in parts if part)
