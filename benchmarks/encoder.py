"""Speed and memory of the backbone against MONAI's, same weights, same stages, interleaved.

    python benchmarks/encoder.py [--size 96] [--embed 48] [--batch 1] [--repeats 5] [--threads 2] [--device cpu]

"Swin part" is MONAI's ``SwinTransformer`` (five maps), "all six stages" adds SwinUNETR's residual encoder blocks.
Ratios are to MONAI's default in float32 (on CUDA: to its default under bfloat16 autocast), medians of interleaved
repeats in one process; peak memory is what a process of its own needs beyond the weights for one forward.
"""

import argparse
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from coralbay_core.swin3d import Swin3D, Swin3DConfig

PARTS = ("Swin part", "all six stages")


@dataclass(frozen=True)
class Variant:
    """One way to run the same network."""

    name: str
    ours: bool
    bf16: bool
    flash: bool = False
    strides: tuple[int, ...] | None = None


VARIANTS = (
    Variant("MONAI, fp32", ours=False, bf16=False),
    Variant("MONAI, bf16 autocast", ours=False, bf16=True),
    Variant("MONAI use_flash_attention, fp32", ours=False, bf16=False, flash=True),
    Variant("MONAI use_flash_attention, bf16 autocast", ours=False, bf16=True, flash=True),
    Variant("CoralBay, fp32", ours=True, bf16=False),
    Variant("CoralBay, bf16", ours=True, bf16=True),
    Variant("CoralBay, bf16, only strides 4, 8, 16", ours=True, bf16=True, strides=(4, 8, 16)),
)


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
    own_type = variant.ours and variant.bf16
    images = x.bfloat16() if own_type else x
    casts = variant.bf16 and not own_type

    def run() -> object:
        autocast = torch.autocast(x.device.type, torch.bfloat16) if casts else nullcontext()
        with torch.inference_mode(), autocast:
            return network(images, variant.strides) if variant.strides else network(images)

    return run


def seconds(run: Callable[[], object], device: str) -> float:
    synchronize = torch.cuda.synchronize if device == "cuda" else lambda: None
    synchronize()
    start = time.perf_counter()
    run()
    synchronize()
    return time.perf_counter() - start


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
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024


def peak_bytes(*arguments: object) -> float:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_bytes, arguments)


def table(part: str, options: argparse.Namespace) -> None:
    shape = (options.batch, 1, *[options.size] * 3)
    x = torch.rand(shape, device=options.device)
    runs = {variant: runner(variant, part, x, options.embed) for variant in VARIANTS}
    for run in runs.values():
        run()
    taken: dict[Variant, list[float]] = {variant: [] for variant in VARIANTS}
    for _ in range(options.repeats):
        for variant, run in runs.items():
            taken[variant].append(seconds(run, options.device))
    median = {variant: statistics.median(values) for variant, values in taken.items()}
    default = median[VARIANTS[1 if options.device == "cuda" else 0]]
    flash = median[VARIANTS[3 if options.device == "cuda" else 2]]
    print(f"\n### {part}, {options.size}^3, batch {options.batch}, embedding {options.embed}, {options.device}\n")
    print("| variant | ms | times MONAI default | times MONAI flash | peak memory, MB |")
    print("|---|---|---|---|---|")
    for variant, value in median.items():
        memory = peak_bytes(variant, part, shape, options.embed, options.device, options.threads) / 1e6
        ratios = f"{default / value:.2f} | {flash / value:.2f}"
        print(f"| {variant.name} | {1000 * value:.0f} | {ratios} | {memory:.0f} |", flush=True)


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
    print(f"torch {torch.__version__}, Python {sys.version.split()[0]}, {options.threads} threads")
    for part in PARTS:
        table(part, options)


if __name__ == "__main__":
    main()
