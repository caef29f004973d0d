"""What a run is made of: one frozen dataclass a table of the configuration file.

A setting, its default, its unit and its meaning stand here and nowhere else: files and ``key=value`` are checked
against these classes, and docs/reference/pretraining-settings.md is generated from their docstrings. Settings of the
terms of the loss stand beside each term (`coralbay_core.pretrain.loss_terms`).
"""

from dataclasses import dataclass, field
from typing import Literal

from ..models.swin3d import Swin3DConfig
from .loss_terms.base import TermSettings

Auto = Literal["auto"]


@dataclass(frozen=True)
class ViewsConfig:
    """How crops are drawn and changed.

    Parameters
    ----------
    places_per_volume : int
        So many places in a row are spots of one volume, so that tokens far apart in a patient meet in a batch.
    globals, locals : int
        Global and local crops of a place. The teacher sees global ones only.
    global_side, local_side : int
        Side of a crop in voxels.
    global_mm, local_mm : float or "auto"
        Side of a crop in mm before random scaling; ``auto``: as many voxels of the training data.
    shift_mm, local_shift_mm : float or "auto"
        Largest distance of a crop's middle from its place, per axis; ``auto``: 0.22 of a global side for a global
        crop, 0.33 for a local one.
    rotation_degrees : float
        Largest rotation about each axis.
    log_scale : float
        Size is multiplied by ``exp(u)``, u within this bound: physical size is a signal in CT, so it stays small.
    anisotropy, anisotropy_share : float
        A bound on u along each axis of its own, and the share of crops that get it.
    flip : tuple of float
        Probability of a flip along z, y and x. By default left stays left.
    window_hu : tuple of float
        The wide HU window that inference uses.
    wide_window_share : float
        Share of crops under that window; the others get a random one.
    level_hu, width_hu : tuple of float
        Bounds of the level and of the width of a random window; widths are drawn on a logarithmic scale.
    gamma, gamma_share : tuple of float, float
        Bounds of the exponent, share of crops.
    blur_voxels, blur_share : tuple of float, float
        Bounds of the standard deviation of a Gaussian, share of crops.
    slice_mm, slice_share : tuple of float, float
        Bounds of a simulated slice thickness along z, share of crops.
    noise, noise_share : float
        Largest standard deviation of noise where the window is 1 wide, share of crops.
    """

    places_per_volume: int = 1
    globals: int = 2
    locals: int = 2
    global_side: int = 64
    local_side: int = 32
    global_mm: float | Auto = "auto"
    local_mm: float | Auto = "auto"
    shift_mm: float | Auto = "auto"
    local_shift_mm: float | Auto = "auto"
    rotation_degrees: float = 15.0
    log_scale: float = 0.2
    anisotropy: float = 0.1
    anisotropy_share: float = 0.3
    flip: tuple[float, float, float] = (0.0, 0.0, 0.0)
    window_hu: tuple[float, float] = (-1000.0, 1000.0)
    wide_window_share: float = 0.4
    level_hu: tuple[float, float] = (-500.0, 250.0)
    width_hu: tuple[float, float] = (350.0, 2000.0)
    gamma: tuple[float, float] = (0.7, 1.4)
    gamma_share: float = 0.3
    blur_voxels: tuple[float, float] = (0.5, 1.0)
    blur_share: float = 0.3
    slice_mm: tuple[float, float] = (3.0, 6.0)
    slice_share: float = 0.2
    noise: float = 0.08
    noise_share: float = 0.5


@dataclass(frozen=True)
class LoaderConfig:
    """How volumes become batches.

    Parameters
    ----------
    workers : int or "auto"
        Processes that read; 0 reads in the training process. ``auto``: 0 on a CPU, else 8 or what there are cores for.
    prefetch : int
        Batches that each worker has ready.
    memory_gb : float or "auto"
        Volumes are kept in memory if they need no more than this; ``auto``: a quarter of what the machine has.
    """

    workers: int | Auto = "auto"
    prefetch: int = 4
    memory_gb: float | Auto = "auto"


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW and its schedules, which are arrays over the steps.

    Parameters
    ----------
    learning_rate : float or "auto"
        Highest one. ``auto``: 5e-4 times the square root of (places / 6), between 2e-4 and 1e-3.
    final_learning_rate : float
        At the end of the cosine.
    warmup : float
        Share of the steps in which it rises from 0.
    weight_decay, final_weight_decay : float
        Ends of a cosine; not applied to biases, norms and tables of position biases.
    beta2 : float
        Of Adam; beta1 is 0.9.
    clip : float
        Largest norm of the gradient; 0 switches clipping off.
    freeze_last : float
        Share of the steps in which prototypes stay as they are.
    """

    learning_rate: float | Auto = "auto"
    final_learning_rate: float = 1e-6
    warmup: float = 0.04
    weight_decay: float = 0.04
    final_weight_decay: float = 0.04
    beta2: float = 0.98
    clip: float = 3.0
    freeze_last: float = 0.0


@dataclass(frozen=True)
class TeacherConfig:
    """The moving average of the student that gives the targets.

    Parameters
    ----------
    momentum, final_momentum : float
        Ends of a cosine.
    temperature_start, temperature : float
        Of the teacher's assignments: a line over `temperature_warmup`, then constant.
    temperature_warmup : float
        Share of the steps.
    """

    momentum: float = 0.98
    final_momentum: float = 0.999
    temperature_start: float = 0.02
    temperature: float = 0.02
    temperature_warmup: float = 0.0


@dataclass(frozen=True)
class MonitorConfig:
    """What is watched, and what happens when it goes wrong.

    Parameters
    ----------
    every : int
        Steps between two lines of the log.
    grace : int
        Steps before alarms count.
    patience : int
        Lines of the log in a row that must be bad.
    one_hot : float
        Alarm if the teacher's entropy, or that of the mean assignment, is below this share of log K: all crops look
        the same to it.
    uniform : float
        Alarm if the teacher's entropy is above this share of log K: it assigns nothing to anything.
    effective_rank : float
        Alarm if a stage's effective rank falls below this share of what it was at the first line.
    on_alarm : str
        ``warn``, or ``stop`` after saving.
    on_non_finite : str
        Of a loss or gradient: ``stop``, or ``skip`` the step.
    max_skips : int
        Steps skipped in a row after which the run stops all the same.
    """

    every: int = 10
    grace: int = 30
    patience: int = 3
    one_hot: float = 0.1
    uniform: float = 0.97
    effective_rank: float = 0.1
    on_alarm: Literal["warn", "stop"] = "warn"
    on_non_finite: Literal["stop", "skip"] = "stop"
    max_skips: int = 10


@dataclass(frozen=True)
class CheckpointConfig:
    """When the state of a run is saved.

    Parameters
    ----------
    every : int
        Steps; 0 saves at the end only.
    minutes : float
        Also after so long; 0 switches it off.
    keep : int
        Newest checkpoints that are kept, beside the best one.
    """

    every: int = 500
    minutes: float = 10.0
    keep: int = 2


@dataclass(frozen=True)
class EvaluationConfig:
    """What the teacher is measured on while it learns.

    Parameters
    ----------
    every : int
        Steps; 0 measures nothing.
    data : str
        Folder of labelled CTs, as of ``coralbay evaluate``; empty for the phantom alone.
    phantom : bool
        Also measure on the phantom.
    limit : int
        At most so many scans of the folder; 0 for all.
    tasks : tuple of str
        As of ``coralbay evaluate --tasks``.
    metric : str
        Key of the measure by which the best checkpoint is chosen, e.g. ``match_hit``; see its ``summary.json``.
    picture : str
        CT whose first principal components are drawn; empty for the first one measured.
    """

    every: int = 0
    data: str = ""
    phantom: bool = False
    limit: int = 0
    tasks: tuple[str, ...] = ("retrieval", "across")
    metric: str = "across_ap"
    picture: str = ""


@dataclass(frozen=True)
class CardConfig:
    """What the card of the weights says that the run cannot know.

    Parameters
    ----------
    summary, license, data, intended_use, citation : str
        `data` names sources and licences of the volumes.
    tile, step : int
        The sliding window that users get, voxels.
    """

    summary: str = "Swin3D encoder of CT, self-distilled with CoralBay."
    license: str = "not stated"
    data: str = "not stated"
    intended_use: str = "Research on CT. Not for clinical use."
    citation: str = ""
    tile: int = 128
    step: int = 96


@dataclass(frozen=True)
class PretrainConfig:
    """A run.

    Parameters
    ----------
    data : str
        Store that ``coralbay prepare-data`` made, or a small folder of NIfTI files.
    output : str
        Folder of the run.
    name : str
        Of the weights.
    init : str
        Weights to begin with, as ``--model`` takes them; empty for random ones. Heads always begin at random.
    seed : int
        Of everything random.
    steps : int or "auto"
        Updates; ``auto`` takes them from `minutes`.
    minutes : float
        Budget: a short trial tells how many steps fit into it.
    places : int
        Places a step, over all processes and accumulated parts.
    accumulate : int
        Parts in which a step's places are computed, one after another, to save memory.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    precision : str
        Of the forward pass: ``auto``, ``bf16``, ``fp16`` or ``fp32``.
    deterministic : bool
        Bit-exact repetition, on a CPU.
    threads : int or "auto"
        Of torch on a CPU.
    recompute : bool
        Activation checkpointing: less memory, a third more arithmetic.
    compile : bool
        Compile the backbone with torch.compile.
    spacing_mm : float
        Of the training data.
    """

    data: str = ""
    output: str = ""
    name: str = "encoder"
    init: str = ""
    seed: int = 0
    steps: int | Auto = "auto"
    minutes: float = 0.0
    places: int = 6
    accumulate: int = 1
    device: str = "auto"
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    deterministic: bool = False
    threads: int | Auto = "auto"
    recompute: bool = False
    compile: bool = False
    spacing_mm: float = 1.5
    model: Swin3DConfig = field(default_factory=Swin3DConfig)
    views: ViewsConfig = field(default_factory=ViewsConfig)
    loader: LoaderConfig = field(default_factory=LoaderConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    objective: dict[str, TermSettings] = field(default_factory=dict)
    monitor: MonitorConfig = field(default_factory=MonitorConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    card: CardConfig = field(default_factory=CardConfig)

    def pairs(self) -> int:
        """Matched points a place that the terms ask for."""
        return max([term.pairs() for term in self.objective.values()], default=0)

    def targets(self) -> tuple[str, ...]:
        """Names of the label volumes that the terms ask for."""
        return tuple(dict.fromkeys(name for term in self.objective.values() for name in term.targets()))
