"""Number of steps that fit into a time budget, measured by a short trial run that is discarded."""

import statistics
import time

from . import distributed
from .resolve import Resolved
from .schedules import make_schedules
from .source import VolumeSource

_WARM, _TIMED = 2, 5
# Share of the budget for steps; evaluation, checkpoints and variations take the rest.
_SHARE = 0.97


def steps_within(resolved: Resolved, source: VolumeSource) -> tuple[int, str]:
    """Measure the number of steps that fit into ``config.minutes``, and describe it. Equal in all processes."""
    from .prefetch import Prefetcher
    from .trainer import Trainer

    config = resolved.config
    rate = float(config.optimizer.learning_rate)
    trainer = Trainer(resolved, make_schedules(_WARM + _TIMED, rate, config.optimizer, config.teacher))
    trainer.prepare_terms(source)
    prefetcher = Prefetcher(config, source, resolved.device, 0, _WARM + _TIMED)
    seconds = []
    for step in range(_WARM + _TIMED):
        started = time.perf_counter()
        # Reading the norm waits for the device.
        float(trainer.step(step, prefetcher.parts()).gradient_norm)
        seconds.append(time.perf_counter() - started)
    each = statistics.median(seconds[_WARM:])
    steps = distributed.from_first(max(1, int(_SHARE * config.minutes * 60 / each)))
    return steps, f"{config.minutes:g} minutes at {each:.3g} s per step (median of {_TIMED}), less 3 %"
