"""Long use of one session: memory and results, for `benchmarks.torture`.

Each part works in a session of its own and returns the growth of the resident memory between the end of a warm-up and
the end of the part, and whether the results equal those of a fresh session. The warm-up is longer than the history of
undo, which holds the last 100 changes.
"""

import gc
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from coralbay_core.io import save_map
from coralbay_core.phantom import make_phantom
from coralbay_core.spatial import LabelVolume
from coralbay_viz import Session
from tests.support.scans import cut

MODEL = "hu-context"
MOST_GROWTH_MB = 64
_WARM_UP = 0.3
_MOST_CLICKS = 8


@dataclass(frozen=True)
class Outcome:
    """Outcome of a part.

    Parameters
    ----------
    part : str
    count : int
        Of steps.
    seconds : float
    growth_mb, peak_mb : float
        Growth of the resident memory after the warm-up, and its peak.
    same : bool
        Whether the results at the end are those of a fresh session.
    """

    part: str
    count: int
    seconds: float
    growth_mb: float
    peak_mb: float
    same: bool

    @property
    def sound(self) -> bool:
        """Whether memory stayed level and the results are right."""
        return self.same and self.growth_mb <= MOST_GROWTH_MB


class _Memory:
    """Resident memory after each step."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._mb: list[float] = []

    def note(self) -> None:
        gc.collect()
        self._mb.append(self._process.memory_info().rss / 1e6)

    @property
    def growth_mb(self) -> float:
        """Median of the last tenth, less that of as many steps at the end of the warm-up."""
        part = max(len(self._mb) // 10, 1)
        warm = max(int(len(self._mb) * _WARM_UP), 1)
        return float(np.median(self._mb[-part:]) - np.median(self._mb[max(warm - part, 0) : warm]))

    @property
    def peak_mb(self) -> float:
        return max(self._mb)


def _repeat(part: str, count: int, step: Callable[[int], object], same: Callable[[], bool]) -> Outcome:
    memory, began = _Memory(), time.perf_counter()
    every = max(count // 100, 1)
    for number in range(count):
        step(number)
        if number % every == 0:
            memory.note()
    seconds = time.perf_counter() - began
    return Outcome(part, count, seconds, memory.growth_mb, memory.peak_mb, same())


def write_scans(folder: Path, count: int) -> list[Path]:
    """Write small CTs that differ."""
    phantom = make_phantom(0, 5.0)
    part = cut(phantom.volume, phantom.landmarks["L3"], 60.0)
    return [save_map(folder / f"{n}.nii.gz", (part.data + n % 50).astype(np.int16), part) for n in range(count)]


def scans_in_a_row(folder: Path, count: int) -> Outcome:
    """Open scans one after another: features, a click, a segmentation; then each is closed."""
    paths = write_scans(folder, count)
    session = Session(model=MODEL)
    ends: list[tuple[Any, Any]] = []

    def step(number: int) -> None:
        ends[:] = [_look_at(session, paths[number])]
        session.remove(session.scan)

    def same() -> bool:
        fresh = _look_at(Session(model=MODEL, store=False), paths[-1])
        return all(np.array_equal(a, b) for a, b in zip(ends[0], fresh, strict=True))

    return _repeat("scans in a row", count, step, same)


def _look_at(session: Session, path: Path) -> tuple[Any, Any]:
    session.open(path)
    session.compute()
    session.click(_places(session)[0])
    session.segment(_strokes(session, 0))
    return session.heat.heat.data.copy(), session.segmentation.data.copy()


def clicks(folder: Path, count: int) -> Outcome:
    """Click, positive and negative, up to eight clicks at once; then they are cleared."""
    session = _opened(folder)
    places = _places(session)
    order = [places[number % len(places)] for number in range(count)]

    def step(number: int) -> None:
        if number % _MOST_CLICKS == 0:
            session.clear_clicks()
        session.click(order[number], negative=number % 4 == 3)

    def same() -> bool:
        fresh = _opened(folder)
        for number in range((count - 1) // _MOST_CLICKS * _MOST_CLICKS, count):
            fresh.click(order[number], negative=number % 4 == 3)
        return np.array_equal(session.heat.heat.data, fresh.heat.heat.data)

    return _repeat("clicks", count, step, same)


def strokes(folder: Path, count: int) -> Outcome:
    """Paint, and segment after each stroke."""
    session = _opened(folder)

    def same() -> bool:
        fresh = _opened(folder)
        fresh.segment(_strokes(fresh, count - 1))
        return np.array_equal(session.segmentation.data, fresh.segmentation.data)

    return _repeat("strokes", count, lambda number: session.segment(_strokes(session, number)), same)


def undo_and_redo(folder: Path, count: int) -> Outcome:
    """Paint five strokes and click five times; then undo all of them and redo them, again and again."""
    session = _opened(folder)
    places = _places(session)
    for number in range(5):
        session.click(places[number])
        session.segment(_strokes(session, number))
    before = session.heat.heat.data.copy(), session.segmentation.data.copy()

    def step(number: int) -> None:
        back = (number // 5) % 2 == 0
        (session.undo if back else session.redo)()
        (session.undo_strokes if back else session.redo_strokes)()

    def same() -> bool:
        for number in range(count, -(-count // 10) * 10):  # the rest of the last round
            step(number)
        after = session.heat.heat.data, session.segmentation.data
        return all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))

    return _repeat("undo and redo", count, step, same)


def _opened(folder: Path) -> Session:
    session = Session(model=MODEL)
    path = folder / "0.nii.gz"
    session.open(path if path.exists() else write_scans(folder, 1)[0])
    session.compute()
    return session


def _places(session: Session) -> list[tuple[float, ...]]:
    grid = session.scan.volume.grid
    fractions = np.random.default_rng(0).uniform(0.3, 0.7, (40, 3))
    return [tuple(grid.to_world(fraction * (np.array(grid.shape) - 1))) for fraction in fractions]


def _strokes(session: Session, number: int) -> LabelVolume:
    grid = session.scan.label_grid
    data = np.zeros(grid.shape, np.uint8)
    at = 2 + number % 7
    data[at : at + 3, 3:8, 3:8], data[at : at + 3, 14:18, 14:18] = 1, 2
    return LabelVolume(data, grid)


PARTS: dict[str, Callable[[Path, int], Outcome]] = {
    "scans": scans_in_a_row,
    "clicks": clicks,
    "strokes": strokes,
    "undo": undo_and_redo,
}


def run_part(name: str, folder: Path, count: int) -> Outcome:
    """Run a part in a process that does nothing else, with a cache of its own."""
    os.environ |= {"CORALBAY_CACHE": str(folder / "cache"), "CORALBAY_STATE": str(folder / "state")}
    return PARTS[name](folder, count)
