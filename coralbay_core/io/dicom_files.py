"""Files of a folder that are DICOM, and those that should be but cannot be read."""

import re
import stat
from collections.abc import Iterable
from pathlib import Path

_MOST_NAMES = 4
# What slices are called: a suffix, or a number at the end.
_SLICE_NAME = re.compile(r"\.(dcm|dicom|ima)$|^[^.]*\d$|\.\d+$", re.IGNORECASE)


def regular_files(paths: Iterable[Path]) -> list[Path]:
    """Sort files and links to files; pipes and devices, which may never end, are left out."""
    return sorted(path for path in paths if path.is_file())


def is_dicom(path: Path) -> bool:
    """Whether a regular file starts like DICOM: with the usual preamble, or directly with a tag of group 2 or 8."""
    head, fault = _head(path)
    return not fault and _starts_like_dicom(head)


def unread(paths: Iterable[Path]) -> tuple[str, ...]:
    """Collect a note on files that are left out though they may be slices: a missing slice at an end is no gap."""
    found = []
    for path in paths:
        head, fault = _head(path)
        if not fault and _SLICE_NAME.search(path.name) and not _starts_like_dicom(head):
            fault = "not DICOM"
        if fault:
            found.append(f"{path.name} ({fault})")
    if not found:
        return ()
    names = ", ".join(found[:_MOST_NAMES]) + (", ..." if len(found) > _MOST_NAMES else "")
    many = len(found) > 1
    return (f"{len(found)} file{'s' * many} could not be read and {'are' if many else 'is'} left out: {names}",)


def _head(path: Path) -> tuple[bytes, str]:
    """First bytes of a file, and why it cannot be read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return b"", "not a regular file"
        with path.open("rb") as file:
            head = file.read(132)
    except OSError as error:
        return b"", (error.strerror or "unreadable").lower()
    return head, "" if head else "empty"


def _starts_like_dicom(head: bytes) -> bool:
    if head[128:] == b"DICM":
        return True
    # Without a preamble: a low element of group 2 or 8, then its type or a short length.
    group, element = int.from_bytes(head[:2], "little"), int.from_bytes(head[2:4], "little")
    if len(head) < 132 or group not in (2, 8) or element > 0x1200:
        return False
    return head[4:6].isalpha() or int.from_bytes(head[4:8], "little") <= 1024
