"""Speed and memory of the backbone against MONAI's, same weights, same stages, interleaved.

    make bench-encoder
    python benchmarks/encoder.py [--size 96] [--embed 48] [--batch 1] [--repeats 5] [--threads 2] [--device cpu]

"Swin part" is MONAI's ``SwinTransformer`` (five maps), "all six stages" adds SwinUNETR's residual encoder blocks.
Ratios are to MONAI's default in float32 (on CUDA: to its default under bfloat16 autocast), medians of interleaved
repeats in one process. Both sides give the same maps; what is gained on top where only strides 4, 8 and 16 are asked
for stands in a column of its own. Peak memory is what a process of its own needs beyond the weights for one forward.
The second table of a part times each block of it, MONAI's and ours, by hooks.
"""

import argparse
import ctypes
import gc
import multiprocessing
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from coralbay_core.models.swin3d import Swin3D, Swin3DConfig

PARTS = ("Swin part", "all six stages")
FEW_STRIDES = (4, 8, 16)


@dataclass(frozen=True)
class Variant:
    """One way to run the same network."""

    name: str
    ours: bool
    bf16: bool
    flash: bool = False
    strides: tuple[int, ...] | None = None
    compiled: bool = False


MONAI = Variant("MONAI, fp32", ours=False, bf16=False)
MONAI_BF16 = Variant("MONAI, bf16 autocast", ours=False, bf16=True)
FLASH = Variant("MONAI use_flash_attention, fp32", ours=False, bf16=False, flash=True)
FLASH_BF16 = Variant("MONAI use_flash_attention, bf16 autocast", ours=False, bf16=True, flash=True)
OURS = Variant("CoralBay, fp32", ours=True, bf16=False)
OURS_BF16 = Variant("CoralBay, bf16", ours=True, bf16=True)
VARIANTS = (MONAI, MONAI_BF16, FLASH, FLASH_BF16, OURS, OURS_BF16)
ON_CUDA = (Variant("CoralBay, bf16, torch.compile", ours=True, bf16=True, compiled=True),)
FEW = {variant: replace(variant, strides=FEW_STRIDES) for variant in (OURS, OURS_BF16)}


class MonaiEncoder(nn.Module):
    """MONAI's SwinUNETR up to what it hands its decoder."""

    def __init__(self, config: Swin3DConfig, flash: bool):
        super().__init__()
        from monai.networks.nets.swin_unetr import SwinUNETR

        network = SwinUNETR(1, 2, feature_size=config.embed_dim, use_v2=True, use_flash_attention=flash)
        self.swinViT = network.swinViT
        self.residual = config.residual_blocks
        if self.residual:
            for name in ("encoder1", "encoder2", "encoder3", "encoder4", "encoder10"):
                self.add_module(name, getattr(network, name))

    def forward(self, x: Tensor) -> list[Tensor]:
        hidden = self.swinViT(x)
        if not self.residual:
            return hidden
        blocks = (self.encoder2, self.encoder3, self.encoder4, nn.Identity(), self.encoder10)
        return [self.encoder1(x), *(block(tensor) for block, tensor in zip(blocks, hidden, strict=True))]


def make(variant: Variant, part: str, embed: int, device: str) -> nn.Module:
    torch.manual_seed(0)
    config = Swin3DConfig(embed_dim=embed, residual_blocks=part == PARTS[1])
    network = Swin3D(config) if variant.ours else MonaiEncoder(config, variant.flash)
    return network.to(device, torch.bfloat16 if variant.ours and variant.bf16 else torch.float32).eval()


def runner(variant: Variant, part: str, x: Tensor, embed: int) -> Callable[[], object]:
    network = make(variant, part, embed, x.device.type)
    forward = torch.compile(network) if variant.compiled else network
    own_type = variant.ours and variant.bf16
    images = x.bfloat16() if own_type else x
    casts = variant.bf16 and not own_type

    def run() -> object:
        autocast = torch.autocast(x.device.type, torch.bfloat16) if casts else nullcontext()
        with torch.inference_mode(), autocast:
            return forward(images, variant.strides) if variant.strides else forward(images)

    return run


def seconds(run: Callable[[], object], device: str) -> float:
    synchronize = torch.cuda.synchronize if device == "cuda" else lambda: None
    synchronize()
    start = time.perf_counter()
    run()
    synchronize()
    return time.perf_counter() - start


def _resident(field: str) -> int:
    """``VmRSS`` or ``VmHWM`` of this process in bytes (Linux)."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(rf"{field}:\s+(\d+)", status).group(1))


def _peak_bytes(variant: Variant, part: str, shape: tuple[int, ...], embed: int, device: str, threads: int) -> float:
    """Peak beyond the weights of one forward; runs in a process of its own."""
    torch.set_num_threads(threads)
    x = torch.rand(shape, device=device)
    run = runner(variant, part, x, embed)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return torch.cuda.max_memory_allocated() - before
    runner(variant, part, x[..., :48, :48, :48].contiguous(), embed)()  # kernels and buffers of the libraries
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _resident("VmRSS")
    run()
    return _resident("VmHWM") - before


def peak_bytes(*arguments: object) -> float | None:
    if not sys.platform.startswith("linux"):
        return None
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_bytes, arguments)


def medians(variants: list[Variant], part: str, x: Tensor, options: argparse.Namespace) -> dict[Variant, float]:
    """Median seconds of each variant, in interleaved repeats."""
    runs = {variant: runner(variant, part, x, options.embed) for variant in variants}
    for run in runs.values():
        run()
    taken: dict[Variant, list[float]] = {variant: [] for variant in variants}
    for _ in range(options.repeats):
        for variant, run in runs.items():
            taken[variant].append(seconds(run, options.device))
    return {variant: statistics.median(values) for variant, values in taken.items()}


def table(part: str, options: argparse.Namespace) -> None:
    shape = (options.batch, 1, *[options.size] * 3)
    x = torch.rand(shape, device=options.device)
    on_cuda = options.device == "cuda"
    variants = VARIANTS + (ON_CUDA if on_cuda else ())
    median = medians([*variants, *FEW.values()], part, x, options)
    default, flash = median[MONAI_BF16 if on_cuda else MONAI], median[FLASH_BF16 if on_cuda else FLASH]
    print(f"\n### {part}, {options.size}^3, batch {options.batch}, embedding {options.embed}, {options.device}\n")
    print("| variant | ms | times MONAI default | times MONAI flash | peak, MB | only strides 4, 8, 16: times again |")
    print("|---|---|---|---|---|---|")
    for variant in variants:
        value = median[variant]
        peak = peak_bytes(variant, part, shape, options.embed, options.device, options.threads)
        memory = "-" if peak is None else f"{peak / 1e6:.0f}"
        few = f"{value / median[FEW[variant]]:.2f}" if variant in FEW else "cannot"
        ratios = f"{default / value:.2f} | {flash / value:.2f}"
        print(f"| {variant.name} | {1000 * value:.1f} | {ratios} | {memory} | {few} |", flush=True)
    print(f"\n{roofline(part, x, median[OURS_BF16], options)}")


def roofline(part: str, x: Tensor, taken_s: float, options: argparse.Namespace) -> str:
    """Arithmetic of a forward in bfloat16, as a share of what one large product of matrices reaches here."""
    from torch.utils.flop_counter import FlopCounterMode

    run = runner(OURS_BF16, part, x, options.embed)
    with FlopCounterMode(display=False) as counter:
        run()
    side = 8192 if options.device == "cuda" else 2048
    a, b = (torch.rand(side, side, device=options.device, dtype=torch.bfloat16) for _ in range(2))
    torch.mm(a, b)
    product_s = statistics.median(seconds(lambda: torch.mm(a, b), options.device) for _ in range(5))
    peak, reached = 2 * side**3 / product_s, counter.get_total_flops() / taken_s
    return (
        f"CoralBay in bf16: {counter.get_total_flops() / 1e9:.0f} GFLOP a forward, {reached / 1e12:.2f} TFLOP/s, "
        f"{reached / peak:.0%} of the {peak / 1e12:.2f} TFLOP/s of a product of {side} x {side} matrices."
    )


# --- block by block -----------------------------------------------------------------------------------------------


def block_names(part: str) -> list[str]:
    """Blocks under the names that both networks have for them."""
    swin = [f"swinViT.layers{i}{kind}.0" for i in range(1, 5) for kind in ("c", "")]
    residual = ["encoder1", "encoder2", "encoder3", "encoder4", "encoder10"] if part == PARTS[1] else []
    return ["swinViT.patch_embed", *swin, *residual]


def block_seconds(variant: Variant, part: str, x: Tensor, options: argparse.Namespace) -> dict[str, float]:
    """Median seconds in each block of a network."""
    network = make(variant, part, options.embed, options.device)
    taken: dict[str, list[float]] = {name: [] for name in block_names(part)}
    started: dict[str, float] = {}

    def now() -> float:
        if options.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    for name in taken:
        block = network.get_submodule(name)
        block.register_forward_pre_hook(lambda *_, name=name: started.__setitem__(name, now()))
        block.register_forward_hook(lambda *_, name=name: taken[name].append(now() - started[name]))
    images = x.bfloat16() if variant.ours and variant.bf16 else x
    with torch.inference_mode():
        for _ in range(options.repeats + 1):
            network(images)
    return {name: statistics.median(values[1:]) for name, values in taken.items()}


def block_table(part: str, options: argparse.Namespace) -> None:
    x = torch.rand(options.batch, 1, *[options.size] * 3, device=options.device)
    by_variant = [block_seconds(variant, part, x, options) for variant in (MONAI, OURS, OURS_BF16)]
    print(f"\n{part}, block by block, ms (`layers1c` is the convolution block before stage 1, `layers1` the stage)\n")
    print("| block | MONAI, fp32 | CoralBay, fp32 | CoralBay, bf16 | times, fp32 | times, bf16 |")
    print("|---|---|---|---|---|---|")
    for name in block_names(part):
        monai, ours, half = (values[name] for values in by_variant)
        shown = name.removeprefix("swinViT.").removesuffix(".0")
        print(
            f"| {shown} | {1e3 * monai:.1f} | {1e3 * ours:.1f} | {1e3 * half:.1f} "
            f"| {monai / ours:.2f} | {monai / half:.2f} |"
        )


def describe_machine(options: argparse.Namespace) -> str:
    """Processor and versions, in one line."""
    if options.device == "cuda":
        chip = torch.cuda.get_device_name()
    else:
        listed = Path("/proc/cpuinfo").read_text() if sys.platform.startswith("linux") else ""
        found = re.search(r"model name\s*: (.*)", listed)
        half = [name for name in ("avx512_bf16", "amx_bf16") if f" {name} " in listed]
        chip = f"{found.group(1) if found else platform.processor()} ({', '.join(half) or 'no bf16 units known'})"
    import monai

    return f"{chip}, {options.threads} threads, torch {torch.__version__}, MONAI {monai.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--embed", type=int, default=48)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(describe_machine(options))
    for part in PARTS:
        table(part, options)
        block_table(part, options)


if __name__ == "__main__":
    main()
