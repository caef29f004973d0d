"""Settings of a pretraining run: one frozen dataclass per table of the configuration file.

This module is the only place that defines a setting, its default, unit and meaning: files and ``key=value`` are checked
against these classes, and docs/reference/pretraining-settings.md is generated from their docstrings. The settings of a
loss term are defined next to the term (`coralbay_core.pretrain.loss_terms`).
"""

from dataclasses import dataclass, field
from typing import Literal

from ..models.swin3d import Swin3DConfig
from .loss_terms.settings import TermSettings

Auto = Literal["auto"]


@dataclass(frozen=True)
class ViewsConfig:
    """Sampling and augmentation of crops.

    Parameters
    ----------
    places_per_volume : int
        This many consecutive crop locations lie in one volume, so that a batch holds distant parts of one patient.
    globals, locals : int
        Number of global and local crops per location. The teacher gets the global ones only.
    global_side, local_side : int
        Side of a crop in voxels.
    global_mm, local_mm : float or "auto"
        Side of a crop in mm before random scaling; ``auto``: as many voxels of the training data.
    shift_mm, local_shift_mm : float or "auto"
        Largest distance of a crop's center from its location, per axis; ``auto``: 0.22 of a global side for a global
        crop, 0.33 for a local one.
    rotation_degrees : float
        Largest rotation about each axis.
    log_scale : float
        The size is multiplied by ``exp(u)`` with abs(u) up to this bound; it is small because physical size is
        informative in CT.
    anisotropy, anisotropy_share : float
        Bound on an additional u per axis, and the share of crops that get it.
    flip : tuple of float
        Probability of a flip along z, y and x. By default crops are not flipped.
    window_hu : tuple of float
        The wide HU window, which is also used in inference.
    wide_window_share : float
        Share of crops with the wide window; the others get a random one.
    level_hu, width_hu : tuple of float
        Bounds of the level and the width of a random window; widths are drawn on a logarithmic scale.
    gamma, gamma_share : tuple of float, float
        Bounds of the exponent, and share of crops.
    blur_voxels, blur_share : tuple of float, float
        Bounds of the standard deviation of a Gaussian blur, and share of crops.
    slice_mm, slice_share : tuple of float, float
        Bounds of a simulated slice thickness along z, and share of crops.
    noise, noise_share : float
        Largest standard deviation of noise, relative to the width of the window, and share of crops.
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
    """Reading of volumes and batches.

    Parameters
    ----------
    workers : int or "auto"
        Number of reading processes; 0 reads in the training process. ``auto``: 0 on a CPU, else up to 8, depending on
        the number of cores.
    prefetch : int
        Number of batches that each worker prepares in advance.
    memory_gb : float or "auto"
        Volumes are held in memory if they need no more than this; ``auto``: a quarter of the machine's memory.
    """

    workers: int | Auto = "auto"
    prefetch: int = 4
    memory_gb: float | Auto = "auto"


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW and its schedules.

    Parameters
    ----------
    learning_rate : float or "auto"
        Maximum of the schedule. ``auto``: 5e-4 times the square root of (batch_size / 6), between 2e-4 and 1e-3.
    final_learning_rate : float
        Learning rate at the end of the cosine schedule.
    warmup : float
        Share of the steps in which the learning rate rises from 0.
    weight_decay, final_weight_decay : float
        First and last value of a cosine schedule; not applied to biases, norms and position biases.
    beta2 : float
        Second beta of Adam; the first is 0.9.
    clip : float
        Maximum norm of the gradient; 0 switches clipping off.
    freeze_last : float
        Share of the steps, from the start, in which prototypes are not updated.
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
    """The teacher: a moving average of the student that supplies the targets.

    Parameters
    ----------
    momentum, final_momentum : float
        First and last value of a cosine schedule.
    temperature_start, temperature : float
        Temperature of the teacher's assignments: linear over `temperature_warmup`, then constant.
    temperature_warmup : float
        Share of the steps in which the temperature changes.
    """

    momentum: float = 0.98
    final_momentum: float = 0.999
    temperature_start: float = 0.02
    temperature: float = 0.02
    temperature_warmup: float = 0.0


@dataclass(frozen=True)
class MonitorConfig:
    """Logging, and alarms for collapse and non-finite values.

    Parameters
    ----------
    every : int
        Number of steps between two lines of the log.
    grace : int
        Number of first steps without alarms.
    patience : int
        Number of consecutive bad lines of the log before an alarm.
    one_hot : float
        Alarm if the teacher's entropy, or that of the mean assignment, is below this share of log K: all crops get
        the same prototype.
    uniform : float
        Alarm if the teacher's entropy is above this share of log K: assignments carry no information.
    effective_rank : float
        Alarm if a stage's effective rank falls below this share of its value in the first line.
    on_alarm : str
        Reaction to an alarm: ``warn``, or ``stop`` after saving.
    on_non_finite : str
        Reaction to a non-finite loss or gradient: ``stop``, or ``skip`` the step.
    max_skips : int
        The run stops after this many consecutive skipped steps.
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
    """Checkpoints of a run.

    Parameters
    ----------
    every : int
        Number of steps between checkpoints; 0: only at the end.
    minutes : float
        Also save after this time; 0 switches it off.
    keep : int
        Number of newest checkpoints to retain, in addition to the best one.
    """

    every: int = 500
    minutes: float = 10.0
    keep: int = 2


@dataclass(frozen=True)
class EvaluationConfig:
    """Evaluation of the teacher during training.

    Parameters
    ----------
    every : int
        Number of steps between evaluations; 0: none.
    data : str
        Folder of labeled CTs, as for ``coralbay evaluate --data``; empty: only the phantom.
    phantom : bool
        Also evaluate on the phantom.
    limit : int
        Maximum number of scans of the folder; 0: all.
    tasks : tuple of str
        Tasks, as for ``coralbay evaluate --tasks``.
    metric : str
        Key of the metric that selects the best checkpoint, e.g. ``match_hit``; see the ``summary.json`` of a report.
    picture : str
        CT whose first principal components are drawn; empty: the first evaluated one.
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
    """Entries of the model card that cannot be derived from the run.

    Parameters
    ----------
    summary, license, data, intended_use, citation : str
        Texts of the card; `data` names sources and licenses of the volumes.
    tile, step : int
        Size and step of the sliding window in inference, voxels.
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
    """Settings of a run.

    Parameters
    ----------
    data : str
        Store written by ``coralbay prepare-data``, or a small folder of NIfTI files.
    output : str
        Output folder of the run.
    name : str
        Name of the model and its weights.
    init : str
        Initial weights, a model name or path; empty: random. Heads are always initialized at random.
    seed : int
        Random seed.
    steps : int or "auto"
        Number of updates; ``auto``: derived from `minutes`.
    minutes : float
        Duration of the run; a short trial measures how many steps fit into it.
    batch_size : int
        Crop locations per step, over all processes and accumulated parts.
    accumulate : int
        Parts in which the batch of a step is computed, one after another, to save memory.
    device : str
        ``auto``, ``cpu`` or ``cuda``.
    precision : str
        Number format of the forward pass: ``auto``, ``bf16``, ``fp16`` or ``fp32``.
    deterministic : bool
        Make runs repeatable to the bit, on a CPU.
    threads : int or "auto"
        Number of CPU threads of torch.
    recompute : bool
        Activation checkpointing: less memory, a third more computation.
    compile : bool
        Compile the backbone with torch.compile.
    spacing_mm : float
        Voxel size of the training data.
    """

    data: str = ""
    output: str = ""
    name: str = "encoder"
    init: str = ""
    seed: int = 0
    steps: int | Auto = "auto"
    minutes: float = 0.0
    batch_size: int = 6
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
        """Number of matched points per location that the terms need."""
        return max([term.pairs() for term in self.objective.values()], default=0)

    def targets(self) -> tuple[str, ...]:
        """Names of the label volumes that the terms need."""
        return tuple(dict.fromkeys(name for term in self.objective.values() for name in term.targets()))
