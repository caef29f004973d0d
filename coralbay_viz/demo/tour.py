"""The tour: a scan, its features, colors, a click, a few strokes.

`Tour.steps` starts one job after the other; the caller waits for each, with or without a window.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coralbay_core.spatial import LabelVolume, Volume

from ..jobs import Job, JobKey, duration, without_context
from ..session import Session
from ..tasks import files as files_tasks
from . import auto_strokes
from .auto_strokes import Strokes

if TYPE_CHECKING:
    from coralbay_core.phantom import Phantom

PHANTOM_LANDMARK = "liver_right_lobe"


@dataclass(frozen=True)
class Step:
    """One step of the tour.

    Parameters
    ----------
    name : str
        ``open``, ``features``, ``pca``, ``similar``, ``segment``, or ``save``.
    title : str
        Displayed text.
    job : Job
    """

    name: str
    title: str
    job: Job


@dataclass(eq=False)
class Tour:
    """Settings and results of a tour.

    Parameters
    ----------
    session : Session
    path : Path, optional
        Scan; without one, the phantom.
    series : str, optional
        Of a DICOM folder.
    at_mm : (3,) position, optional
        Position of the click; by default the phantom's liver, or a point deep in homogeneous soft tissue.
    labels : Path, optional
        Strokes, as for ``coralbay probe fit``; by default made automatically.
    out : Path, optional
        Folder for the maps.
    """

    session: Session
    path: Path | None = None
    series: str | None = None
    at_mm: Any = None
    labels: Path | None = None
    out: Path | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    written: list[Path] = field(default_factory=list)
    strokes: Strokes | None = None
    results: dict[str, Any] = field(default_factory=dict)
    report: list[str] = field(default_factory=list)
    _phantom: "Phantom | None" = None

    def steps(self) -> Iterator[Step]:
        """Start each job in turn; go on to the next only when the one before is done."""
        session = self.session
        yield from self._timed("open", "open the scan", self._open)
        yield from self._timed("features", f"compute features with {Path(session.model).name}", session.compute)
        yield from self._timed("pca", "show the features as PCA colors", session.compute_pca)
        yield from self._timed("similar", "click and find similar places", self._click)
        yield from self._timed("strokes", "place a few strokes", self._place_strokes)
        yield from self._timed("segment", "segment the scan from them", lambda: session.segment(self.strokes.labels))
        if self.out is not None:
            saves = (("heat", session.save_heat), ("pca", session.save_pca), ("seg", session.save_segmentation))
            for name, save in saves:
                path = self.out / f"{name}.nii.gz"
                yield from self._timed("save", f"write {path.name}", lambda save=save, path=path: save(path))
                self.written.append(path)
        self.results = self._summarize()
        self.report = list(self._describe(self.results))

    def _timed(self, name: str, title: str, start: Any) -> Iterator[Step]:
        began = time.monotonic()
        yield Step(name, title, start())
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began

    def _open(self) -> Job:
        if self.path is not None:
            return self.session.open(self.path, self.series)
        return self.session.run(JobKey("open"), without_context(files_tasks.make_phantom), self._take_phantom)

    def _take_phantom(self, phantom: "Phantom") -> None:
        self._phantom = phantom
        self.session.add(phantom.volume)

    def _click(self) -> Job:
        if self.at_mm is None and self._phantom is not None:
            self.at_mm = self._phantom.landmarks[PHANTOM_LANDMARK]
        elif self.at_mm is None:
            self.at_mm = auto_strokes.deep_point(self.session.volume, self.session.features)
        job = self.session.click(self.at_mm)
        assert job is not None, "features are there, so a click starts a job"
        return job

    def _place_strokes(self) -> Job:
        scan = self.session.scan
        arguments = (scan.volume, scan.features, scan.label_grid, self._phantom, self.labels)

        work = without_context(partial(auto_strokes.place, *arguments))
        return self.session.run(JobKey("preparation"), work, self._take_strokes)

    def _take_strokes(self, placed: Strokes) -> None:
        self.strokes = placed

    # Results

    def _summarize(self) -> dict[str, Any]:
        heat, volume = self.session.heat, self.session.volume
        answer: dict[str, Any] = {
            "scan": volume.name,
            "shape": list(volume.shape),
            "model": self.session.scan.model,
            "click_mm": [round(float(v), 1) for v in self.at_mm],
            "score_at_click": round(float(heat.heat.at(self.at_mm)[0]), 3),
            "regions": [vars(region) for region in heat.regions],
            "strokes": self.strokes.about,
            "labels": {int(value): name for value, name in self.strokes.labels.names.items()},
            "seconds": {name: round(seconds, 1) for name, seconds in self.seconds.items()},
        }
        if self._phantom is not None:
            answer["dice"] = self._dice(self._phantom.labels, self._phantom.volume)
        return answer

    def _dice(self, truth: LabelVolume, volume: Volume) -> dict[str, float]:
        """Return the overlap of the segmentation with the phantom's labels, of which the probe saw the strokes only."""
        from coralbay_core.spatial.resampling import resample

        found = self.session.segmentation
        classes = auto_strokes.phantom_classes(truth)
        true = resample(classes.data, volume.grid, found.grid, order=0)
        return {
            name: round(float(2 * ((found.data == value) & (true == value)).sum() / max(1, total)), 3)
            for value, name in classes.names.items()
            if (total := (found.data == value).sum() + (true == value).sum())
        }

    def _describe(self, results: dict[str, Any]) -> Iterator[str]:
        place = ", ".join(f"{v:g}" for v in results["click_mm"])
        size = " x ".join(map(str, results["shape"]))
        yield f"{results['scan']}: {size} voxels, model {Path(results['model']).name}"
        highest = results["regions"][0]["score"]
        yield f"click at {place} mm: score {results['score_at_click']:.2f}, highest {highest:.2f}"
        yield self.strokes.about
        if "dice" in results:
            overlaps = ", ".join(f"{name} {dice:.2f}" for name, dice in results["dice"].items())
            yield f"Dice against the phantom's labels: {overlaps}"
        yield "time: " + ", ".join(f"{name} {duration(seconds)}" for name, seconds in results["seconds"].items())


def peak_memory_bytes() -> int | None:
    """Return the peak memory of this process, or None if the system does not report it."""
    try:
        import resource
    except ImportError:
        return None
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
