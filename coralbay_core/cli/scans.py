"""Scans of a folder, of every format that is read, with names that tell them apart.

One scan that fails does not stop the others: `Batch` collects what happened to each, and its `finish` ends the command
with a table of it.
"""

import csv
import re
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import Cancelled, CoralBayError, InputError, MissingFileError
from ..util.atomic_file import atomic_path
from .output import note, say

if TYPE_CHECKING:
    from ..io import FoundScan

_LONGEST_NAME = 180  # bytes; a file system allows 255, and suffixes follow
_TAIL = 8
_LISTED = 10
# Label maps as BIDS and 3D Slicer name them, among the scans of a folder.
_LABELS = re.compile(r"^sub-.*_(dseg|probseg|mask)\.|\.seg\.nrrd$")


@dataclass(frozen=True)
class Source:
    """One scan to work on.

    Parameters
    ----------
    name : str
        Differs from the names of all other scans of the folder, also without regard to case; can name a file.
    path : Path
        Input of `load_volume`.
    series : str, optional
        Series to read, as the user chose it.
    files : tuple of Path
        Files that are read, as far as known.
    problem : str
        Why it cannot be read, if that is known already.
    """

    name: str
    path: Path
    series: str | None = None
    files: tuple[Path, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Scans:
    """Scans that were found.

    Parameters
    ----------
    sources : tuple of Source
    is_folder : bool
        Whether they are the scans of a folder, so that outputs are folders; False for one file or one DICOM series.
    passed_over : dict of str to str
        Files and folders that are no CT, with the reason.
    """

    sources: tuple[Source, ...]
    is_folder: bool
    passed_over: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that are read."""
        return tuple(path for source in self.sources for path in (source.path, *source.files))


def scans_in(path: Path, series: str | None = None) -> Scans:
    """Find the scans of a folder, or the one of a path.

    Parameters
    ----------
    path : Path
        A file, a DICOM series, or a folder of NIfTI, NRRD and MetaImage files and DICOM series at any depth.
    series : str, optional
        Series of a DICOM folder, which is then one scan.
    """
    from ..io import find_scans, ome_zarr

    if not path.exists():
        raise MissingFileError("no such file or folder", where=path)
    single = Scans((Source(_stem(path.resolve() if path.is_dir() else path), path, series, (path,)),), False)
    if series is not None or not path.is_dir() or ome_zarr.looks_like(path):
        return single
    found = list(find_scans(path))
    usable = _usable(found)
    if not usable or (len(usable) == 1 and (usable[0].problem or (usable[0].path.parent == path and usable[0].series))):
        return single  # the reader says what is wrong with a folder without a scan
    passed_over = {str(scan.path): scan.problem or _why_not(scan) for scan in found if scan not in usable}
    for place, reason in passed_over.items():
        note(f"passed over: {place}: {reason}")
    _note_parted(usable)
    names = _names(usable, path)
    sources = [Source(n, s.path, None, s.files, s.problem) for n, s in zip(names, usable, strict=True)]
    return Scans(tuple(sources), True, passed_over)


def one_scan(path: Path, series: str | None = None) -> Source:
    """Find the scan of a path that must hold exactly one; a folder of several is an error that names them."""
    scans = scans_in(path, series)
    if len(scans.sources) > 1:
        names = ", ".join(source.name for source in scans.sources[:_LISTED])
        raise InputError(
            "several scans in the folder",
            where=path,
            found=f"{len(scans.sources)}: {names}",
            expected="one",
            hint="give the path of one of them, or choose a DICOM series with --series UID",
        )
    return scans.sources[0]


def _usable(found: "list[FoundScan]") -> "list[FoundScan]":
    """Leave out what is no CT: plans, lone images, other modalities; unless there is nothing else."""
    images = [scan for scan in found if scan.is_image]
    return [scan for scan in images if not _why_not(scan)] or images


def _why_not(scan: "FoundScan") -> str:
    if scan.series and len(scan.files) == 1:
        return "a single image"
    if _LABELS.search(scan.path.name.lower()):
        return "labels, by its name"
    return f"modality is {scan.modality}, not CT" if scan.modality != "CT" else ""


def _note_parted(found: "list[FoundScan]") -> None:
    """Note series whose slices may be spread over folders: each folder is read as a scan of its own."""
    folders: dict[str, set[Path]] = {}
    for scan in found:
        if scan.series:
            folders.setdefault(scan.series, set()).add(scan.path.parent)
    for places in folders.values():
        if len(places) > 1:
            where = ", ".join(sorted(map(str, places))[:_LISTED])
            note(f"one series UID in {len(places)} folders, each of which is read as a scan: {where}")


# --- names --------------------------------------------------------------------------------------------------------


def _names(found: "Sequence[FoundScan]", root: Path) -> list[str]:
    """Names that differ: the path without suffix, where necessary with it, or with a part of a hash of the path."""
    choices = [_choices(scan, root) for scan in found]
    level = [0] * len(found)
    while True:
        names = [own[number] for own, number in zip(choices, level, strict=True)]
        same: dict[str, list[int]] = {}
        for number, name in enumerate(names):
            same.setdefault(unicodedata.normalize("NFC", name).casefold(), []).append(number)
        alike = [n for group in same.values() if len(group) > 1 for n in group if level[n] < len(choices[n]) - 1]
        if not alike:
            return names
        for number in alike:
            level[number] += 1


def _choices(scan: "FoundScan", root: Path) -> list[str]:
    """Possible names of a scan, the last of which is unique."""
    place = scan.path.relative_to(root)
    if scan.series:
        folder = place.parent.as_posix()
        plain = root.resolve().name if folder == "." else folder
        full = f"{plain}--{scan.series[-_TAIL:].strip('.')}"
    else:
        full = place.as_posix()
        plain = (place.parent / _stem(place)).as_posix()
    digest = blake2b(f"{place.as_posix()}\0{scan.series}".encode(errors="surrogateescape"), digest_size=4).hexdigest()
    names = [_flat(plain, digest), _flat(full, digest), _flat(f"{plain}--{digest}", digest)]
    return [name for name in names if not name.startswith(".")] or [digest]


def _flat(name: str, digest: str) -> str:
    flat = name.replace("/", "--")
    size = len(flat.encode(errors="surrogateescape"))
    if size <= _LONGEST_NAME:
        return flat
    short = flat.encode(errors="surrogateescape")[-_LONGEST_NAME + len(digest) + 2 :].decode(errors="ignore")
    return f"{digest}--{short}"


def _stem(path: Path) -> str:
    from ..io import ome_zarr
    from ..io.discover import SUFFIXES

    for suffix in (*ome_zarr.SUFFIXES, *SUFFIXES):
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)] or path.name
    return path.name


# --- what happened ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Outcome:
    """What happened to one scan: a row of the table."""

    scan: str
    result: str
    reason: str = ""
    seconds: float | None = None


@dataclass
class Batch:
    """Outcome of the scans of a command.

    Parameters
    ----------
    work : str
        What is made, for messages: ``features``.
    total : int
    is_folder : bool
        Where False, an error ends the command at once.
    passed_over : dict of str to str
        What is no CT, with the reason; of `Scans`.
    report : Path, optional
        File for the table.
    """

    work: str
    total: int
    is_folder: bool = True
    passed_over: dict[str, str] = field(default_factory=dict)
    report: Path | None = None
    failed: dict[str, str] = field(default_factory=dict)
    _outcomes: list[_Outcome] = field(default_factory=list)

    @contextmanager
    def scan(self, source: Source) -> Iterator[None]:
        """Work on one scan; an error is noted and kept, and does not reach the caller."""
        start = time.monotonic()
        try:
            if source.problem:
                raise InputError(source.problem, where=source.path)
            yield
            self.succeed(source.name, time.monotonic() - start)
        except Cancelled:
            raise
        except Exception as error:
            if not self.is_folder:
                raise
            self.fail(source.name, error, time.monotonic() - start)

    def succeed(self, name: str, seconds: float | None = None) -> None:
        """Keep that a scan is done."""
        self._outcomes.append(_Outcome(name, "done", seconds=seconds))

    def fail(self, name: str, error: BaseException, seconds: float | None = None) -> None:
        """Note and keep the reason of a failure."""
        line = str(error) if isinstance(error, (CoralBayError, OSError)) else f"{type(error).__name__}: {error}"
        self.failed[name] = " ".join(line.split())
        self._outcomes.append(_Outcome(name, "failed", self.failed[name], seconds))
        note(f"{name}: {self.failed[name]}")

    def tell(self) -> None:
        """Print the table of a folder, and write it if that was asked for."""
        rows = [*self._outcomes, *(_Outcome(place, "passed over", why) for place, why in self.passed_over.items())]
        if self.report is not None:
            with atomic_path(self.report) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(["scan", "result", "seconds", "reason"])
                writer.writerows([row.scan, row.result, _seconds(row), row.reason] for row in rows)
        if self.is_folder and len(rows) > 1:
            width = max(4, *(len(row.scan) for row in rows))
            say(f"{'scan':<{width}}  {'result':<11}  {'seconds':>7}  reason")
            for row in rows:
                say(f"{row.scan:<{width}}  {row.result:<11}  {_seconds(row):>7}  {row.reason}".rstrip())
            counts = {result: sum(row.result == result for row in rows) for result in ("done", "failed", "passed over")}
            say(", ".join(f"{count} {result}" for result, count in counts.items() if count))

    def finish(self) -> None:
        """Print the table, and raise if a scan failed, with a list; called after the results of the others."""
        self.tell()
        if not self.failed:
            return
        listed = "; ".join(f"{name}: {reason}" for name, reason in list(self.failed.items())[:_LISTED])
        more = len(self.failed) - _LISTED
        raise CoralBayError(
            f"{self.work} of {len(self.failed)} of {self.total} scans could not be computed",
            found=listed + (f"; and {more} more" if more > 0 else ""),
            hint="the others are done" if len(self.failed) < self.total else "",
        )


def _seconds(row: _Outcome) -> str:
    return "" if row.seconds is None else f"{row.seconds:.1f}"
