"""Speed, memory and arithmetic of pretraining steps, part by part; and on paper what a large run takes.

    make bench-pretrain
    python benchmarks/pretrain.py [CONFIG] [--data STORE] [--steps 6] [--threads 1] [--device cpu] [KEY=VALUE ...]
    python benchmarks/pretrain.py base --plan batch_size=1 accumulate=1

Parts are timed by hooks, on a GPU with a synchronization at each, which costs little for steps of this size. Without
``--data`` a phantom in memory is read. ``--plan`` times one step only, counts its arithmetic, and prints what 11,000
volumes with so many places each take on GPUs that reach a share of their peak.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from coralbay_core.phantom import make_phantom
from coralbay_core.pretrain import read_config
from coralbay_core.pretrain.export import processor
from coralbay_core.pretrain.memory import keep_memory
from coralbay_core.pretrain.prefetch import Prefetcher
from coralbay_core.pretrain.resolve import Resolved, resolve
from coralbay_core.pretrain.schedules import make_schedules
from coralbay_core.pretrain.source import ArraySource, VolumeSource
from coralbay_core.pretrain.store import open_source
from coralbay_core.pretrain.trainer import Trainer

WARM = 1
PARTS = ("waiting for data", "cutting crops", "teacher", "student forward", "heads and losses", "backward", "updates")
VOLUMES, PLACES_EACH = 11_000, 1_000
# Published dense bfloat16 peaks, TFLOP/s, and the share of it that is assumed where nothing was measured.
GPUS = {"A100": 312.0, "H100": 989.0}
SHARES = (0.10, 0.20, 0.30)


class Clock:
    """Seconds of each part of steps."""

    def __init__(self, trainer: Trainer, feed: Prefetcher):
        self.trainer, self.feed = trainer, feed
        self.taken = dict.fromkeys(PARTS, 0.0)
        self._began: dict[str, float] = {}
        self._time(trainer.teacher.backbone, "teacher")
        self._time(trainer.student.backbone, "student forward")
        self._time(trainer.objective, "forward")
        trainer.optimizer.register_step_pre_hook(lambda *_: self._end("backward"))
        trainer.optimizer.register_step_pre_hook(lambda *_: self._begin("updates"))

    def now(self) -> float:
        if self.trainer.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def _begin(self, part: str) -> None:
        self._began[part] = self.now()

    def _end(self, part: str) -> None:
        self.taken[part] = self.taken.get(part, 0.0) + self.now() - self._began[part]

    def _time(self, module: torch.nn.Module, part: str) -> None:
        module.register_forward_pre_hook(lambda *_: self._begin(part))

        def done(*_: object) -> None:
            self._end(part)
            if part == "forward":
                self._begin("backward")

        module.register_forward_hook(done)

    def step(self, number: int) -> float:
        """One step; its seconds."""
        started = self.now()
        self.trainer.step(number, self.feed.parts())
        self._end("updates")
        return self.now() - started

    def shares(self, total: float) -> dict[str, float]:
        """Share of the steps that each part took."""
        taken = dict(self.taken)
        taken["waiting for data"], taken["cutting crops"] = self.feed.waited, self.feed.cut
        taken["heads and losses"] = taken.pop("forward") - taken["teacher"] - taken["student forward"]
        return {part: taken[part] / total for part in PARTS}


def phantom_source(spacing_mm: float) -> ArraySource:
    volume = make_phantom(0, (spacing_mm,) * 3).volume
    return ArraySource(["phantom"], [np.ascontiguousarray(volume.data, np.int16)], spacing_mm)


def open_run(options: argparse.Namespace, steps: int) -> tuple[Resolved, VolumeSource]:
    settings = [f"data={options.data or '.'}", "output=unused", f"steps={steps}", f"device={options.device}"]
    settings += [f"threads={options.threads}", *options.settings]
    resolved = resolve(read_config(options.config, settings))
    if options.data:
        return resolved, open_source(resolved.config, float(resolved.config.loader.memory_gb))
    return resolved, phantom_source(resolved.config.spacing_mm)


@contextmanager
def counted() -> Iterator[Callable[[], int]]:
    """Arithmetic of what runs inside, in FLOP: products of matrices and convolutions, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        yield counter.get_total_flops


def peak_flops(device: torch.device) -> float:
    """What one large product of matrices in bfloat16 reaches here, FLOP/s."""
    side = 8192 if device.type == "cuda" else 2048
    a, b = (torch.rand(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(4):
        started = time.perf_counter()
        torch.mm(a, b)
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return 2 * side**3 / statistics.median(seconds[1:])


def memory_gb(device: torch.device) -> float | None:
    """Peak of this process so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    if not sys.platform.startswith("linux"):
        return None
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1e6


def measure(options: argparse.Namespace) -> None:
    steps = WARM + options.steps
    resolved, source = open_run(options, steps + 1)
    config, device = resolved.config, resolved.device
    torch.set_num_threads(int(config.threads))
    rate = float(config.optimizer.learning_rate)
    trainer = Trainer(resolved, make_schedules(steps + 1, rate, config.optimizer, config.teacher))
    feed = Prefetcher(config, source, device, 0, steps + 1)
    clock = Clock(trainer, feed)
    for step in range(WARM):
        clock.step(step)
    clock.taken = dict.fromkeys(PARTS, 0.0)
    feed.waited = feed.cut = 0.0
    seconds = [clock.step(step) for step in range(WARM, steps)]
    shares = clock.shares(sum(seconds))
    memory = memory_gb(device)
    with counted() as flops:
        clock.step(steps)
    report(options, resolved, statistics.median(seconds), shares, memory, flops())


def report(
    options: argparse.Namespace,
    resolved: Resolved,
    seconds: float,
    shares: dict[str, float],
    memory: float | None,
    flops: int,
) -> None:
    config, device = resolved.config, resolved.device
    views = config.views
    crops = config.batch_size * (views.globals + views.locals)
    chip = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    parameters = sum(p.numel() for p in Trainer(resolved, _any_schedule(resolved)).student.backbone.parameters())
    peak = peak_flops(device)
    print(f"{chip}, {config.threads} threads, torch {torch.__version__}, {config.precision}")
    print(
        f"\n`{options.config}`: {parameters / 1e6:.1f} M parameters, {config.batch_size} places a step, each "
        f"{views.globals} crops of {views.global_side}^3 and {views.locals} of {views.local_side}^3\n"
    )
    print("| | |\n|---|---|")
    print(f"| seconds a step (median of {options.steps}) | {seconds:.3g} |")
    print(f"| places a second | {config.batch_size / seconds:.3g} |")
    print(f"| crops a second | {crops / seconds:.3g} |")
    print(f"| peak memory, GB | {'-' if memory is None else f'{memory:.2f}'} |")
    print(f"| arithmetic of a place, TFLOP | {flops / config.batch_size / 1e12:.3g} |")
    print(f"| reached, TFLOP/s | {flops / seconds / 1e12:.3g} |")
    print(f"| share of a large product of matrices ({peak / 1e12:.3g} TFLOP/s) | {flops / seconds / peak:.0%} |")
    print("\n| part | share of a step |\n|---|---|")
    for part, share in shares.items():
        print(f"| {part} | {share:.1%} |")
    if options.plan:
        plan(flops / config.batch_size)


def _any_schedule(resolved: Resolved):
    return make_schedules(1, 1e-4, resolved.config.optimizer, resolved.config.teacher)


def plan(flops_a_place: float) -> None:
    """What a large run takes where GPUs reach a share of their peak; arithmetic, not a measurement."""
    places = VOLUMES * PLACES_EACH
    total = places * flops_a_place
    print(f"\n{VOLUMES:,} volumes, {PLACES_EACH:,} places of each: {places / 1e6:.0f} M places, {total:.2g} FLOP\n")
    print("| GPU | share of its peak | 1 | 8 | 64 |\n|---|---|---|---|---|")
    for name, peak in GPUS.items():
        for share in SHARES:
            hours = total / (peak * 1e12 * share) / 3600
            cells = " | ".join(_hours(hours / count) for count in (1, 8, 64))
            print(f"| {name} ({peak:.0f} TFLOP/s) | {share:.0%} | {cells} |")


def _hours(hours: float) -> str:
    return f"{hours / 24:.1f} days" if hours >= 48 else f"{hours:.1f} h"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", default="mini")
    parser.add_argument("settings", nargs="*", help="KEY=VALUE, as of coralbay pretrain")
    parser.add_argument("--data", default="")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--plan", action="store_true")
    options = parser.parse_intermixed_args()
    if options.plan:
        options.steps = 1
    keep_memory()
    measure(options)


if __name__ == "__main__":
    main()
