"""What only a GPU shows: kernels of attention, precision, CUDA graphs, communication.

    python -m benchmarks.gpu [attention] [precision] [graphs] [communication] [--device cuda] [--small]

attention       One window attention of each stage at embedding 48: the fused kernel with a bias tensor, which is in
                use, beside FlexAttention, compiled, with the bias looked up in the kernel; interleaved medians.
precision       Cosine of the shipped model's features in bfloat16 and float16 to those in float32, on the phantom.
graphs          The Swin part with and without a captured CUDA graph, and with torch.compile.
communication   One process of NCCL (gloo on the CPU): all-reduce of the gradients of 18.6 million parameters.

`scripts/gpu_check.sh` runs it with the other benchmarks. `--device cpu --small` rehearses it.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, distributed
from torch.nn import functional as F

from benchmarks.dense import crop
from benchmarks.encoder import OURS_BF16, PARTS, make, seconds
from coralbay_core import load_encoder
from coralbay_core.extraction.sliding_window import extract
from coralbay_core.models.swin3d.attention import relative_position_index
from coralbay_core.phantom import make_phantom

WINDOW = 7
HEAD = 16
PARAMETERS = 18_600_000


def medians(runs: dict[str, Callable[[], object]], device: str, repeats: int) -> dict[str, float]:
    """Median milliseconds of interleaved repeats."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(repeats):
        for name, run in runs.items():
            taken[name].append(1000 * seconds(run, device))
    return {name: statistics.median(values) for name, values in taken.items()}


def attention(device: str, small: bool) -> None:
    """Table of the kernels of attention, by stage."""
    print("| stage | windows | heads | bias tensor, ms | FlexAttention, ms |\n|---|---|---|---|---|")
    for stage, (windows, heads) in enumerate(((512, 3), (64, 6), (8, 12), (1, 24)), 1):
        count = max(1, windows // (16 if small else 1))
        shape = (count, heads, WINDOW**3, HEAD)
        query, key, value = (torch.randn(shape, device=device, dtype=torch.bfloat16) for _ in range(3))
        table = torch.randn(heads, (2 * WINDOW - 1) ** 3, device=device, dtype=torch.bfloat16)
        index = relative_position_index(WINDOW).to(device)
        bias = table[:, index.reshape(-1)].view(1, heads, WINDOW**3, WINDOW**3).contiguous()
        runs: dict[str, Callable[[], object]] = {
            "bias": lambda q=query, k=key, v=value, b=bias: F.scaled_dot_product_attention(q, k, v, attn_mask=b),
            "flex": flex(query, key, value, table, index),
        }
        found = medians(runs, device, 3 if small else 20)
        print(f"| {stage} | {count} | {heads} | {found['bias']:.3f} | {found['flex']:.3f} |", flush=True)


def flex(query: Tensor, key: Tensor, value: Tensor, table: Tensor, index: Tensor) -> Callable[[], object]:
    """FlexAttention with the position bias looked up in the kernel; compiled on a GPU."""
    from torch.nn.attention.flex_attention import flex_attention

    def biased(score: Tensor, batch: Tensor, head: Tensor, row: Tensor, column: Tensor) -> Tensor:
        return score + table[head, index[row, column]]

    kernel = torch.compile(flex_attention, dynamic=False) if query.device.type == "cuda" else flex_attention
    return lambda: kernel(query, key, value, score_mod=biased)


def precision(device: str, small: bool) -> None:
    """Table of the agreement of features with float32, by stage."""
    encoder = load_encoder(device=device, precision=torch.float32)
    volume = crop(make_phantom(0, (3.0,) * 3).volume, encoder, 64 if small else 1024)
    exact = extract(volume, encoder)
    print("| precision | " + " | ".join(f"stride {stride}, mean (1st percentile)" for stride in exact.strides) + " |")
    print("|---" * (1 + len(exact.strides)) + "|")
    for kind in (torch.bfloat16, torch.float16):
        maps = extract(volume, load_encoder(device=device, precision=kind))
        cells = []
        for stride in exact.strides:
            inside = exact.body_at(stride)
            a, b = (m.stages[stride].data[:, inside].astype(np.float32) for m in (maps, exact))
            cosine = (a * b).sum(0) / np.maximum(np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0), 1e-9)
            cells.append(f"{cosine.mean():.5f} ({np.percentile(cosine, 1):.4f})")
        print(f"| {str(kind).removeprefix('torch.')} | " + " | ".join(cells) + " |", flush=True)


def graphs(device: str, small: bool) -> None:
    """Table of ways to launch the Swin part."""
    side = 32 if small else 96
    network = make(OURS_BF16, PARTS[0], 12 if small else 48, device)
    x = torch.rand(1, 1, side, side, side, device=device, dtype=torch.bfloat16)
    runs: dict[str, Callable[[], object]] = {"launched one by one": lambda: network(x)}
    with torch.inference_mode():
        if device == "cuda":
            runs["captured graph"] = captured(network, x)
            compiled = torch.compile(network, mode="reduce-overhead")
            runs["torch.compile, reduce-overhead"] = lambda: compiled(x)
        found = medians(runs, device, 3 if small else 20)
    print(f"Swin part, {side}^3, batch 1, bf16\n\n| | ms |\n|---|---|")
    for name, value in found.items():
        print(f"| {name} | {value:.2f} |")


def captured(network: torch.nn.Module, x: Tensor) -> Callable[[], object]:
    """Forward as one CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            network(x)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        network(x)
    return graph.replay


def communication(device: str, small: bool) -> None:
    """Time of an all-reduce in a group of one process: that NCCL starts here, and what it costs."""
    backend = "nccl" if device == "cuda" else "gloo"
    with tempfile.TemporaryDirectory() as folder:
        distributed.init_process_group(backend, init_method=f"file://{folder}/group", rank=0, world_size=1)
        try:
            gradients = torch.rand(PARAMETERS // (100 if small else 1), device=device)
            found = medians({"all-reduce": lambda: distributed.all_reduce(gradients)}, device, 5)
        finally:
            distributed.destroy_process_group()
    print(f"{backend}, one process: all-reduce of {len(gradients) / 1e6:.1f} M numbers {found['all-reduce']:.2f} ms")


PARTS_HERE = {"attention": attention, "precision": precision, "graphs": graphs, "communication": communication}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS_HERE)}; all by default")
    parser.add_argument("--device", default="cuda", choices=("cpu", "cuda"))
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS_HERE):
        parser.error(f"unknown part: {', '.join(sorted(unknown))}")
    for name, part in PARTS_HERE.items():
        if not options.parts or name in options.parts:
            print(f"\n## {name.capitalize()}\n", flush=True)
            with torch.inference_mode():
                part(options.device, options.small)


if __name__ == "__main__":
    main()
