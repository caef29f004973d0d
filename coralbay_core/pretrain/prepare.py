"""Conversion of CT files to a training store: read, checked, resampled, cropped to the body, named by a hash.

Each source has a line in ``index.jsonl`` of the store: a hash of its path, size and time, and either the key of its
volume or the kind of reason for which it was refused. So an interrupted call can continue, and the store does not
reveal whose scans it holds. The `PreparationReport` lists refused files with their names.
"""

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import CoralBayError, InputError, MissingFileError
from ..io import FoundScan, find_scans, load_volume
from ..spatial import Volume
from ..spatial.body_mask import body_mask
from ..util.leftovers import is_stale
from .source import on_training_grid
from .store import content_key, create_store, is_store, write_volume, writing

_INDEX = "index.jsonl"
_MARGIN_MM = 15.0  # of air around the body
_AHEAD = 2  # tasks per worker; a small number limits the memory


@dataclass(frozen=True)
class Limits:
    """Requirements on a volume.

    Parameters
    ----------
    spacing_mm : float
        Voxel size of the store.
    slices : int
        Minimum number of slices of the file.
    extent_mm : float
        Minimum extent along each axis.
    """

    spacing_mm: float = 1.5
    slices: int = 16
    extent_mm: float = 48.0


@dataclass(frozen=True)
class Outcome:
    """Result of one source.

    Parameters
    ----------
    source : str
        Hash of the source.
    key : str
        Key of its volume in the store; empty if it was refused.
    kind : str
        Reason: ``unreadable``, ``not CT``, ``too few slices``, ``too small``, ``no body``, ``duplicate content``.
    detail : str
        Explanation for users; may contain the file name, so it is not written to the store.
    path : str
    """

    source: str
    key: str = ""
    kind: str = ""
    detail: str = ""
    path: str = ""

    def as_line(self) -> str:
        """Line for the index, without anything that could identify a patient."""
        return json.dumps({"source": self.source, "key": self.key, "refused": self.kind})


@dataclass
class PreparationReport:
    """Result of a call.

    Parameters
    ----------
    added : list of str
        Keys of new volumes.
    refused : list of Outcome
    known : int
        Number of sources that an earlier call has processed.
    volumes : int
        Number of volumes in the store.
    """

    added: list[str] = field(default_factory=list)
    refused: list[Outcome] = field(default_factory=list)
    known: int = 0
    volumes: int = 0

    def counts(self) -> dict[str, int]:
        """Number of refused sources per kind of reason."""
        kinds = [outcome.kind for outcome in self.refused]
        return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def prepare_data(
    sources: Sequence[str | Path],
    store: str | Path,
    *,
    limits: Limits | None = None,
    workers: int = 1,
    report: Callable[[int, int], None] | None = None,
) -> PreparationReport:
    """Fill a training store.

    Parameters
    ----------
    sources : sequence of path
        Files and folders, in any mix of NIfTI, NRRD, MetaImage and DICOM; folders are searched to any depth.
    store : path
        Created if it does not exist; otherwise volumes are added.
    limits : Limits, optional
    workers : int
        Number of processes.
    report : callable, optional
        Called with the numbers of processed and of all sources.

    Returns
    -------
    PreparationReport

    Raises
    ------
    MissingFileError, InputError
        For a source that does not exist, or a store of another spacing. A file that cannot be used raises nothing.
    """
    limits, folder = limits or Limits(), Path(store).expanduser()
    found = list(_search([Path(source).expanduser() for source in sources], folder))
    create_store(folder, limits.spacing_mm)
    _sweep(folder)
    index = _Index(folder / _INDEX)
    done = PreparationReport()
    tasks = []
    for scan in found:
        source = source_hash(scan)
        if source in index.sources:
            done.known += 1
        else:
            tasks.append((scan, source))
    for number, outcome in enumerate(_outcomes(tasks, folder, limits, workers), 1):
        outcome = index.add(outcome)
        if outcome.key:
            done.added.append(outcome.key)
        else:
            done.refused.append(outcome)
        if report:
            report(number, len(tasks))
    done.volumes = len(index.keys)
    return done


def _search(sources: Iterable[Path], store: Path) -> Iterator[FoundScan]:
    for root in sources:
        if not root.exists():
            raise MissingFileError("no such file or folder", where=root)
        if is_store(root) or root.resolve() == store.resolve():
            raise InputError("a training store cannot be a source", where=root)
        scans = list(find_scans(root))
        if not scans:
            raise InputError(
                "no CT files", where=root, expected=".nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd or DICOM, at any depth"
            )
        yield from scans


def _sweep(folder: Path) -> None:
    """Remove partial volumes of killed calls, but not recent ones, which another call may be writing."""
    for path in folder.glob(".part-*"):
        if is_stale(path):
            shutil.rmtree(path, ignore_errors=True)


def source_hash(scan: FoundScan) -> str:
    """Hash of path, size and time of a scan's files."""
    digest = hashlib.blake2b(digest_size=12)
    for path in scan.files:
        status = path.stat()
        digest.update(f"{path.resolve()}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return digest.hexdigest()


class _Index:
    """Index of processed sources, on disk and in memory."""

    def __init__(self, path: Path):
        self.path = path
        text = path.read_text("utf-8") if path.is_file() else ""
        # The last line of a killed call may be torn; then its source is looked at again.
        lines = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        self.sources = {line["source"] for line in lines}
        self.keys = {line["key"] for line in lines if line["key"]}
        if text and not text.endswith("\n"):
            os.truncate(path, len(text[: text.rfind("\n") + 1].encode()))

    def add(self, outcome: Outcome) -> Outcome:
        """Record an outcome; a volume that the store holds already is refused as a duplicate."""
        if outcome.key and outcome.key in self.keys:
            detail = f"same voxels as {outcome.key}"
            outcome = Outcome(outcome.source, "", "duplicate content", detail, outcome.path)
        self.sources.add(outcome.source)
        if outcome.key:
            self.keys.add(outcome.key)
        with writing(self.path.parent), self.path.open("a", encoding="utf-8") as file:
            file.write(outcome.as_line() + "\n")
        return outcome


def _outcomes(tasks: list[tuple[FoundScan, str]], folder: Path, limits: Limits, workers: int) -> Iterator[Outcome]:
    """Yield outcomes in order of completion, from one or several processes."""
    work = partial(add_scan, folder=folder, limits=limits)
    if workers <= 1:
        yield from (work(*task) for task in tasks)
        return
    # Not forked: torch's threads would not survive it.
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin_worker) as pool:
        remaining = iter(tasks)
        running: set[Future[Outcome]] = set()
        try:
            while True:
                for task in remaining:
                    running.add(pool.submit(work, *task))
                    if len(running) >= _AHEAD * workers:
                        break
                if not running:
                    return
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _begin_worker() -> None:
    """Use one thread, and end with the parent: one that is killed cannot end its workers, which would wait forever."""
    import torch

    torch.set_num_threads(1)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


def add_scan(scan: FoundScan, source: str, *, folder: Path, limits: Limits) -> Outcome:
    """Read, check, resample and write one scan."""

    def refused(kind: str, detail: object) -> Outcome:
        return Outcome(source, "", kind, str(detail), str(scan.path))

    if scan.problem:
        return refused("unreadable", scan.problem)
    try:
        volume = load_volume(scan.path)
    except CoralBayError as error:
        return refused("too few slices" if "single slice" in str(error) else "unreadable", error)
    problem = why_not(volume, limits)
    if problem:
        return refused(*problem)
    hu = on_training_grid(volume, limits.spacing_mm)
    body = body_mask(hu, limits.spacing_mm)
    if not body.any():
        return refused("no body", "nothing as large and dense as a body")
    part = _around(body, round(_MARGIN_MM / limits.spacing_mm))
    hu, body = np.ascontiguousarray(hu[part]), np.ascontiguousarray(body[part])
    key = content_key(hu)
    # Where another process was faster, or a call was killed right after writing, the volume is there all the same.
    write_volume(folder, key, hu, body)
    return Outcome(source, key, path=str(scan.path))


def why_not(volume: Volume, limits: Limits) -> tuple[str, str] | None:
    """Kind and detail of the reason to refuse a volume; None if it can be used."""
    data, spacing = volume.data, volume.grid.spacing_mm
    if volume.modality != "CT":
        return "not CT", f"modality is {volume.modality}"
    low, high = float(data.min()), float(data.max())
    # Even a crop inside the body holds fat; label maps, MR and PET have nothing below 0.
    if low >= -20:
        return "not CT", f"values {low:g}..{high:g} are not Hounsfield units: none is below -20"
    if high <= -200:
        return "not CT", f"values {low:g}..{high:g} are all those of air"
    if np.mean((data < -4000) | (data > 20000)) > 0.01:
        return "not CT", f"values {low:g}..{high:g} are not Hounsfield units"
    slices = volume.source_grid.shape[2]  # the axis that files of every format here count slices along
    if slices < limits.slices:
        return "too few slices", f"{slices} slices, expected at least {limits.slices}"
    extent = np.array(volume.shape) * spacing
    if extent.min() < limits.extent_mm:
        found = " x ".join(f"{mm:.0f}" for mm in extent)
        return "too small", f"{found} mm, expected at least {limits.extent_mm:g} along each axis"
    return None


def _around(body: NDArray[np.bool_], margin: int) -> tuple[slice, ...]:
    """Bounding box of a body, with a margin."""
    ends = [np.flatnonzero(body.any(tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    return tuple(slice(max(0, int(e[0]) - margin), int(e[-1]) + 1 + margin) for e in ends)
