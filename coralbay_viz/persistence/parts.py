"""The interface of parts: single pieces of a session's state that are saved and restored.

What is to survive a restart gets a part. Results are not saved; they follow from the scans, the model and the user's
input, and `restore` computes them again.
"""

from abc import ABC, abstractmethod
from typing import Any, Literal

from ..controllers import Controllers
from ..model.scan import Scan
from .session_file import Arrays

Content = dict[str, Any]
Captured = tuple[Content, Arrays]
When = Literal["opened", "features", "restored"]


class ScanPart(ABC):
    """A piece of a scan's state.

    Attributes
    ----------
    name : str
        Letters; names the part in files.
    when : tuple of str
        Time of `restore`. ``opened``: as soon as the scan is there; ``restored``: when all scans are; ``features``:
        when its features are, since they remove earlier results. The user's own input is restored at once.
    """

    name: str
    when: tuple[When, ...] = ("opened",)

    @abstractmethod
    def capture(self, controllers: Controllers, scan: Scan) -> Captured | None:
        """Return plain values and arrays, or None if there is nothing to save. Fast, as it runs at each change."""

    @abstractmethod
    def validate(self, scan: Scan, content: Content, arrays: Arrays) -> Any:
        """Return the argument of `restore` from a file that may be hostile; `scan` holds only a volume.

        ValueError, KeyError, TypeError, AttributeError and IndexError mean that `capture` did not write the content.
        A refusal leaves the session unchanged.
        """

    @abstractmethod
    def restore(self, controllers: Controllers, scan: Scan, value: Any) -> None:
        """Restore what `validate` returned. It may start jobs."""


class SessionPart(ABC):
    """A piece of the session's state; like `ScanPart`, without a scan. It is restored before any scan."""

    name: str

    @abstractmethod
    def capture(self, controllers: Controllers) -> Captured | None:
        """Return plain values and arrays, or None where there is nothing to save."""

    @abstractmethod
    def validate(self, content: Content, arrays: Arrays) -> Any:
        """Return the argument of `restore` from a file that may be hostile."""

    @abstractmethod
    def restore(self, controllers: Controllers, value: Any) -> None:
        """Restore what `validate` returned."""


def saveable_scans(controllers: Controllers) -> list[Scan]:
    """Return the scans that can be found again: those with a file."""
    return [scan for scan in controllers.workspace.scans if scan.volume.path is not None]
