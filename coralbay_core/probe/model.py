"""A fitted probe: few-shot segmentation on frozen descriptors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..extraction.tiling import region_grid
from ..features import FeatureMaps
from ..features.linear_maps import box_around
from ..spatial import Grid, LabelVolume, Volume
from ..util.arguments import checked
from ..util.tensor_file import read_tensors, write_tensors
from .classifiers import FORMS, Classifier
from .scores import ScoreMap
from .solvers import Kind

VERSION = 1
HINT = "a probe is a file written by `coralbay probe fit`"


@dataclass(frozen=True, eq=False)
class Probe:
    """A fitted probe.

    Parameters
    ----------
    kind : str
        Kind of probe, one of `KINDS`.
    classifier : Classifier
    values : tuple of int
        Label value of each class, as it was painted; 0 for the background of maps in which 0 means background.
    outside : int
        Label outside the body: the value painted there, else 0.
    sharpness : float
        Factor on the scores before a softmax makes them probabilities.
    model, fingerprint : str
        Name and fingerprint of the encoder of the training features.
    names : dict of int to str
        Names of the values, if known.
    notice : str
        License notice of the weights to show to users; empty for unrestricted weights.
    scans : int
        Number of scans that it was fitted on.
    """

    kind: Kind
    classifier: Classifier
    values: tuple[int, ...]
    outside: int
    sharpness: float
    model: str
    fingerprint: str
    names: dict[int, str] = field(default_factory=dict)
    notice: str = ""
    scans: int = 1

    @property
    def strides(self) -> tuple[int, ...]:
        """Stages that it reads."""
        return self.classifier.strides

    def scores(self, features: FeatureMaps, around: Grid | None = None) -> ScoreMap:
        """Scores of all classes on the finest grid of a scan, this one or another.

        Parameters
        ----------
        features : FeatureMaps
        around : Grid, optional
            Only on the cells that this grid needs: a slice of the scan takes a fraction of the time.
        """
        self.require_fits(features)
        box = box_around(features, features.finest.grid if around is None else around)
        data = self.classifier.scores(features, box).mul_(self.sharpness).numpy()
        part = region_grid(features.finest.grid, tuple((cells.start, cells.stop) for cells in box))
        return ScoreMap(data, part, self.values, self.outside, features)

    def segment(
        self,
        features: FeatureMaps,
        grid: Grid,
        *,
        guide: Volume | None = None,
        protected: LabelVolume | None = None,
    ) -> NDArray[np.integer]:
        """Label map on a grid, in the painted values; `guide` and `protected` as of `ScoreMap.segment`."""
        return self.scores(features).segment(grid, guide=guide, protected=protected).labels

    def require_fits(self, features: FeatureMaps) -> None:
        """Raise unless the features have the model of the probe and all stages that it reads."""
        if features.fingerprint != self.fingerprint:
            raise InputError("probe was fitted on another model", found=features.model, expected=self.model)
        if not set(self.strides) <= set(features.strides):
            raise InputError("features lack stages of the probe", found=features.strides, expected=self.strides)
        if self.strides[0] != features.strides[0]:
            raise InputError("features are finer than the probe", found=features.strides, expected=self.strides)

    def save(self, path: str | Path) -> Path:
        """Write a safetensors file with a JSON description, atomically."""
        about, arrays = self.content()
        return write_tensors(path, "probe", VERSION, arrays, about)

    def content(self) -> tuple[dict[str, Any], dict[str, NDArray]]:
        """Contents for a file: a JSON description, and arrays; `probe_from` is the inverse."""
        about = {
            key: getattr(self, key)
            for key in ("kind", "values", "outside", "sharpness", "model", "fingerprint", "names", "notice", "scans")
        }
        return about | {"form": self.classifier.form, "strides": self.strides}, self.classifier.arrays()


@checked
def load_probe(path: str | Path) -> Probe:
    """Load a probe written by `Probe.save`. Nothing in the file is executed."""
    arrays, about = read_tensors(path, "probe", VERSION, hint=HINT)
    try:
        return probe_from(arrays, about)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise InputError("damaged probe", where=path, found=error, hint=HINT) from error


def probe_from(arrays: Mapping[str, NDArray], about: Mapping[str, Any]) -> Probe:
    """Make a probe from the arrays and the description of a file.

    Raises
    ------
    KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError
        If they are not the contents of a file of a probe.
    """
    probe = Probe(
        about["kind"],
        FORMS[about["form"]].from_arrays(arrays),
        tuple(int(value) for value in about["values"]),
        int(about["outside"]),
        float(about["sharpness"]),
        str(about["model"]),
        str(about["fingerprint"]),
        {int(value): str(name) for value, name in about["names"].items()},
        str(about["notice"]),
        int(about["scans"]),
    )
    _require_sound(probe)
    # Files of earlier versions do not state the strides.
    if tuple(about.get("strides", probe.strides)) != probe.strides:
        raise ValueError(f"weights of strides {probe.strides} instead of {tuple(about['strides'])}")
    return probe


def _require_sound(probe: Probe) -> None:
    values = probe.values
    if len(values) != probe.classifier.classes or len(values) < 2 or list(values) != sorted(set(values)):
        raise ValueError(f"{len(values)} label values for {probe.classifier.classes} classes")
    # Only a probe of label maps in which 0 means background has a class 0, and it names it.
    least = 0 if 0 in probe.names else 1
    if min(values) < least or max(values) > np.iinfo(np.int32).max or not 0 <= probe.outside <= np.iinfo(np.int32).max:
        raise ValueError("label values out of range")
    if not 0 < probe.sharpness < 1e6:
        raise ValueError(f"sharpness {probe.sharpness}")
