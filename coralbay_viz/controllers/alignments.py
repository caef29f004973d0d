"""Alignments of pairs of open scans, each computed once, in a job of its own."""

from functools import partial
from typing import TYPE_CHECKING

from psygnal import Signal

from coralbay_core.errors import CoralBayError

from ..jobs import Job, JobKey
from ..model.scan import Scan
from ..tasks.transfer import alignment
from .workspace import Workspace

if TYPE_CHECKING:
    from coralbay_core.matching import Deformation


class AlignmentsController:
    """Deformable alignments of open scans.

    Heat maps and crosshairs of linked scans do not wait for them: they are answered without an alignment first, and
    again once there is one.

    Parameters
    ----------
    workspace : Workspace
    """

    changed = Signal(Scan, Scan)  # a pair whose alignment began, ended or was stopped
    aligned = Signal(Scan, Scan)  # a pair of which it is known now how it aligns, or that it does not

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._running: dict[frozenset[Scan], Job] = {}

    def known(self, source: Scan, target: Scan) -> "Deformation | CoralBayError | None":
        """Look up the alignment of two scans, or the error that it ended with; None if there is neither yet."""
        from coralbay_core.matching import known_alignment

        if source.features is None or target.features is None:
            return None
        return known_alignment(source.features, target.features)

    def in_words(self, source: Scan, target: Scan) -> str:
        """Describe the alignment of two scans in one line; empty if it was not asked for."""
        if self._is_running(source, target):
            return "aligning the scans ..."
        found = self.known(source, target)
        if found is None:
            return ""
        return str(found) if isinstance(found, CoralBayError) else found.in_words

    def ensure(self, source: Scan, target: Scan) -> Job | None:
        """Align two scans in the background, unless that was done or is under way."""
        here, there = source.features, target.features
        if here is None or there is None or here.fingerprint != there.fingerprint:
            return None
        if self._is_running(source, target) or self.known(source, target) is not None:
            return None
        ended = partial(self.aligned.emit, source, target)
        return self._workspace.run(
            JobKey("alignment", target),
            partial(alignment, here, there),
            lambda _: ended(),
            torch=True,
            started=partial(self._started, source, target),
        )

    def _is_running(self, source: Scan, target: Scan) -> bool:
        job = self._running.get(frozenset((source, target)))
        return job is not None and not job.cancelled

    def _started(self, source: Scan, target: Scan, job: Job) -> None:
        pair = frozenset((source, target))
        self._running[pair] = job

        def over() -> None:
            if self._running.get(pair) is job:
                del self._running[pair]
            self.changed.emit(source, target)

        job.finished.connect(over)
        self.changed.emit(source, target)
