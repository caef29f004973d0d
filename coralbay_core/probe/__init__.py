"""Few-shot segmentation: probes on frozen descriptors, fitted to strokes in milliseconds."""

from .connect import DEFAULT_PULL, connected_scores
from .examples import Examples, gather
from .fit import DEFAULT_KIND, fit_examples, fit_probe, fit_probe_to_scans
from .model import Probe, load_probe
from .scores import ScoreMap, Segmentation
from .solvers import KINDS, Kind
from .statistics import LabelStatistics, label_statistics, require_table_name, save_statistics
from .suggest import Suggestion, suggest_next

__all__ = [
    "DEFAULT_KIND",
    "DEFAULT_PULL",
    "KINDS",
    "Examples",
    "Kind",
    "LabelStatistics",
    "Probe",
    "ScoreMap",
    "Segmentation",
    "Suggestion",
    "connected_scores",
    "fit_examples",
    "fit_probe",
    "fit_probe_to_scans",
    "gather",
    "label_statistics",
    "load_probe",
    "require_table_name",
    "save_statistics",
    "suggest_next",
]
