"""Work that is killed at random moments in a process of its own, and what must hold afterwards.

The processes are forked from a server that has imported the packages: kills meet the work and not the imports, and
cost a fraction of a second each.
"""

import multiprocessing
import os
import random
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, ClassVar

from tests.support import ROOT

_PRELOADED = ["tests.support.kill_preload", "tests.support.kill_subjects"]
_PART_SUFFIXES = (".part", ".gone", ".partial")
_LONG_AGO_S = 7200.0


class Subject:
    """A command, or another kind of work, that may be killed at any moment.

    Parameters
    ----------
    inputs : Path
        Folder of what all runs read.
    """

    name: ClassVar[str]

    def __init__(self, inputs: Path):
        self.inputs = inputs

    def make_inputs(self) -> None:
        """Write the inputs, once, in a child process."""

    def begin(self, place: Path) -> None:
        """Fill the folder of a run before its first start."""

    def run(self, place: Path) -> None:
        """Do the work, or what is left of it, in a child process; raise if it fails."""
        raise NotImplementedError

    def finished(self, place: Path) -> dict[str, Any]:
        """Check that the folder of a run is sound, and return the finished work, which a next run must not change."""
        raise NotImplementedError

    def result(self, place: Path) -> Any:
        """Return the result of a run that ended, to be compared."""
        raise NotImplementedError


@dataclass
class Tally:
    """Outcome of the kills of a subject.

    Parameters
    ----------
    name : str
    kills : int
    finished : int
        Kills after which some work was finished, and was still there.
    leftovers : int
        Kills that left temporary files.
    seconds : float
        Duration of all runs.
    """

    name: str
    kills: int = 0
    finished: int = 0
    leftovers: int = 0
    seconds: float = 0.0


def kill_often(subject: Subject, folder: Path, kills: int, seed: int = 0) -> Tally:
    """Kill runs of a subject at random moments; assert that the next run of each is sound and ends as if unharmed.

    In every other run the temporary files that were left count as hours old: the next run must sweep them.
    """
    started, rng, tally = time.perf_counter(), random.Random(seed), Tally(subject.name)
    subject.inputs.mkdir(parents=True, exist_ok=True)
    _finish(_start(subject.make_inputs, folder / "inputs.log"), folder / "inputs.log")
    duration = _run_through(subject, _begun(subject, folder / "whole"))
    expected = subject.result(folder / "whole")
    for number in range(kills):
        place = folder / f"run-{number}"
        duration = _kill(subject, place, rng, duration)
        finished, parts = subject.finished(place), leftovers(place)
        if number % 2:
            make_old(parts)
        _run_through(subject, place)
        result = subject.result(place)
        assert result == expected, f"{place}: another result: {_differences(result, expected)}"
        after = subject.finished(place)
        redone = [key for key, value in finished.items() if after.get(key) != value]
        assert not redone, f"{place}: finished work was lost or done again: {redone}"
        kept = [path for path in parts if path.exists() and number % 2]
        assert not kept, f"{place}: stale parts are left: {kept}"
        tally.kills += 1
        tally.finished += bool(finished)
        tally.leftovers += bool(parts)
        shutil.rmtree(place)
    tally.seconds = time.perf_counter() - started
    return tally


def _differences(found: Any, expected: Any) -> Any:
    """Part of two results that differs."""
    if not isinstance(found, dict) or not isinstance(expected, dict):
        return found, expected
    return sorted(key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key))


def leftovers(folder: Path) -> list[Path]:
    """List the temporary files and folders below a folder."""
    return [p for p in folder.rglob("*") if p.name.startswith(".") or p.suffix in _PART_SUFFIXES]


def make_old(paths: list[Path]) -> None:
    """Date files back by two hours."""
    then = time.time() - _LONG_AGO_S
    for path in paths:
        os.utime(path, (then, then))


def digest_of(*contents: bytes) -> str:
    """Hash of some bytes."""
    return blake2b(b"\0".join(contents), digest_size=12).hexdigest()


def tree_digests(folder: Path) -> dict[str, str]:
    """Hashes of all files below a folder, by relative path."""
    return {str(p.relative_to(folder)): digest_of(p.read_bytes()) for p in sorted(folder.rglob("*")) if p.is_file()}


def _begun(subject: Subject, place: Path) -> Path:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    subject.begin(place)
    return place


def _kill(subject: Subject, place: Path, rng: random.Random, duration: float) -> float:
    """Kill a fresh run somewhere in the middle; return the duration, shorter if a run ended before it was killed."""
    while True:
        child = _start(subject.run, place.with_suffix(".log"), _begun(subject, place))
        began = time.perf_counter()
        child.join(rng.uniform(0, duration))
        if child.is_alive():
            child.kill()
            child.join()
            return duration
        duration = min(duration, time.perf_counter() - began)


def _run_through(subject: Subject, place: Path) -> float:
    """Let a run end; return its duration."""
    began, log = time.perf_counter(), place.with_suffix(".log")
    _finish(_start(subject.run, log, place), log)
    return time.perf_counter() - began


def _finish(child: BaseProcess, log: Path) -> None:
    child.join()
    assert child.exitcode == 0, f"a run failed:\n{log.read_text('utf-8')}"


def _start(work: Callable[..., None], log: Path, *arguments: Path) -> BaseProcess:
    """Start work in a child process, what it prints in a file."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *([path] if path else [])])  # for the server's imports
    try:
        child = context.Process(target=_in_child, args=(work, log, arguments), daemon=True)
        child.start()
    finally:
        if path is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = path
    return child


def _in_child(work: Callable[..., None], log: Path, arguments: tuple[Path, ...]) -> None:
    with log.open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        sys.stdout = sys.stderr = file
        work(*arguments)
