"""Dense features of a whole scan: against what users run today, what tiling does to them, and what air saves.

    make bench-dense                                    (ARGS="speed --ct scan.nii.gz --threads 1")
    python benchmarks/dense.py [speed] [seams] [air] [whole] [--ct CT ...] [--model coralbay-mini] [--threads 2]

speed   MONAI's ``SlidingWindowInferer`` around MONAI's Swin encoder in float32, with the same weights, windows,
        overlap (its default, 0.25) and stages as ours, hence with the same seams; the same inferer around our encoder,
        which shows what is left for the scheduling; ours. A crop of the first scan, interleaved, medians.
seams   Cosine of features, centered over the body, to those of windows that overlap by three quarters: mean and 5th
        percentile, by window and step, and the time of each.
air     Tiles of each scan that hold no body, and are not computed.
whole   Seconds from a volume in memory to all features of it, and to open them again from the cache.

Without ``--ct`` the phantom is used.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from coralbay_core import load_encoder, load_volume
from coralbay_core.extraction.cache import FeatureStore
from coralbay_core.extraction.extraction_input import ExtractionInput
from coralbay_core.extraction.pipeline import features_for
from coralbay_core.extraction.sliding_window import extract
from coralbay_core.features import FeatureMaps
from coralbay_core.models.encoder import DEFAULT_STRIDES, Tiling
from coralbay_core.models.swin3d import Swin3DConfig
from coralbay_core.models.swin_encoder import SwinEncoder
from coralbay_core.phantom import make_phantom
from coralbay_core.spatial import Grid, Volume
from coralbay_core.spatial.preprocessing import to_unit

OVERLAP = 0.25
"""Default of MONAI's inferer."""

CROP = 224
REPEATS = 3
WHOLE = 8192
TILINGS = ((96, 96), (96, 64), (96, 32), (128, 128), (128, 96), (128, 64), (160, 128), (WHOLE, WHOLE))
REFERENCE = (128, 32)


class MonaiMaps(nn.Module):
    """MONAI's Swin encoder, as a network whose outputs are the maps at strides 4, 8 and 16."""

    def __init__(self, config: Swin3DConfig, weights: dict[str, Tensor]):
        super().__init__()
        from monai.networks.nets.swin_unetr import SwinTransformer

        window, patch = (config.window,) * 3, (2, 2, 2)
        self.swin = SwinTransformer(
            1, config.embed_dim, window, patch, config.depths, config.heads, use_v2=config.conv_blocks
        )
        own = {key.removeprefix("swinViT."): value.float() for key, value in weights.items() if "swinViT" in key}
        missing, unexpected = self.swin.load_state_dict(own, strict=False)
        # MONAI keeps the table of offsets in the state; it is no weight.
        assert not unexpected
        assert all("relative_position_index" in key for key in missing)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.swin(x)[1:4])


class OurMaps(nn.Module):
    """Our encoder in the same form."""

    def __init__(self, encoder: SwinEncoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        maps = self.encoder(x, DEFAULT_STRIDES)
        return tuple(maps[stride] for stride in DEFAULT_STRIDES)


def sliding(network: nn.Module, x: Tensor, tile: int) -> list[NDArray]:
    """What a user of MONAI does."""
    from monai.inferers import SlidingWindowInferer

    inferer = SlidingWindowInferer((tile,) * 3, sw_batch_size=1, overlap=OVERLAP, mode="gaussian")
    with torch.inference_mode():
        return [tensor[0].cpu().numpy().astype(np.float16) for tensor in inferer(x, network)]


def speed(volume: Volume, encoder: SwinEncoder) -> None:
    part = crop(volume, encoder)
    scene = ExtractionInput.of(part, encoder)
    tile = encoder.tiling.tile
    x = torch.from_numpy(to_unit(scene.hu, encoder.preprocessing.window_hu))[None, None].to(encoder.device)
    monai = MonaiMaps(encoder.backbone.config, encoder.backbone.state_dict()).eval().to(encoder.device)
    ways: dict[str, Callable[[], object]] = {
        "MONAI inferer, MONAI encoder, fp32": lambda: sliding(monai, x, tile),
        f"MONAI inferer, our encoder, {precision(encoder)}": lambda: sliding(OurMaps(encoder), x, tile),
        f"ours, {precision(encoder)}": lambda: extract(part, encoder),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(REPEATS):
        for name, run in ways.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    size = " x ".join(map(str, scene.grid.shape))
    print(f"\n## Against what users run today: {size} voxels, windows of {tile}, overlap {OVERLAP}\n")
    print(f"{len(scene.tiles)} windows ({scene.tiles_of_air} of air left out by ours); medians of {REPEATS} runs.\n")
    print("| | s | times faster |\n|---|---|---|")
    medians = {name: statistics.median(values) for name, values in times.items()}
    first = next(iter(medians.values()))
    for name, value in medians.items():
        print(f"| {name} | {value:.1f} | {first / value:.1f} |")


def crop(volume: Volume, encoder: SwinEncoder, side: int = CROP) -> Volume:
    """The middle of a volume, so large that it has `side` voxels of the model grid along each axis, or less."""
    size = np.minimum(np.ceil(side * encoder.preprocessing.spacing_mm / volume.grid.spacing_mm), volume.shape)
    low = ((np.asarray(volume.shape) - size) // 2).astype(int)
    part = volume.data[tuple(slice(a, a + int(n)) for a, n in zip(low, size, strict=True))]
    affine = volume.affine.copy()
    affine[:3, 3] = volume.grid.to_world(low)
    return Volume(np.ascontiguousarray(part), Grid(part.shape, affine), volume.name)


def precision(encoder: SwinEncoder) -> str:
    return {"bfloat16": "bf16", "float32": "fp32"}[str(encoder.precision).removeprefix("torch.")]


def seams(volume: Volume, encoder: SwinEncoder) -> None:
    part = crop(volume, encoder)
    own = encoder.tiling
    reference, _ = tiled(part, encoder, REFERENCE)
    print(f"\n## Seams: cosine to windows of {REFERENCE[0]} with step {REFERENCE[1]}, mean (5th percentile)\n")
    print("| window, step | s | " + " | ".join(f"stride {s}" for s in DEFAULT_STRIDES) + " |")
    print("|---" * (2 + len(DEFAULT_STRIDES)) + "|")
    for tiling in TILINGS:
        maps, seconds = tiled(part, encoder, tiling)
        cells = [compared(maps, reference, stride) for stride in DEFAULT_STRIDES]
        name = "one pass" if tiling[0] == WHOLE else f"{tiling[0]}, {tiling[1]}"
        mark = " (in use)" if Tiling(*tiling) == own else ""
        print(f"| {name}{mark} | {seconds:.1f} | " + " | ".join(cells) + " |", flush=True)


def tiled(volume: Volume, encoder: SwinEncoder, tiling: tuple[int, int]) -> tuple[FeatureMaps, float]:
    own, encoder.tiling = encoder.tiling, Tiling(*tiling)
    start = time.perf_counter()
    try:
        return extract(volume, encoder), time.perf_counter() - start
    finally:
        encoder.tiling = own


def compared(maps: FeatureMaps, reference: FeatureMaps, stride: int) -> str:
    inside = reference.body_at(stride)
    a, b = (m.stages[stride].data[:, inside].astype(np.float32) for m in (maps, reference))
    mean, spread = b.mean(1, keepdims=True), b.std(1, keepdims=True) + 1e-6
    a, b = (a - mean) / spread, (b - mean) / spread
    cosine = (a * b).sum(0) / np.linalg.norm(a, axis=0) / np.linalg.norm(b, axis=0)
    return f"{cosine.mean():.3f} ({np.percentile(cosine, 5):.3f})"


def air(volumes: list[Volume], encoder: SwinEncoder) -> None:
    print("\n## Air that is not computed\n")
    print("| scan | model grid | tiles | of air | saved |\n|---|---|---|---|---|")
    for volume in volumes:
        scene = ExtractionInput.of(volume, encoder)
        kept = len(scene.tiles)
        tiles = kept + scene.tiles_of_air
        size = " x ".join(map(str, scene.grid.shape))
        print(f"| {volume.name} | {size} | {tiles} | {tiles - kept} | {1 - kept / tiles:.0%} |")


def whole(volume: Volume, encoder: SwinEncoder) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = FeatureStore(folder)
        start = time.perf_counter()
        maps = features_for(volume, encoder, store=store)
        computed = time.perf_counter() - start
        opening = []
        for _ in range(5):
            start = time.perf_counter()
            again = features_for(volume, encoder, store=store)
            for stage in again.stages.values():
                _ = stage.data
            opening.append(time.perf_counter() - start)
    size = " x ".join(map(str, maps.grid.shape))
    print(f"\n## A whole scan: {volume.name}, {size} voxels at {encoder.preprocessing.spacing_mm} mm\n")
    print(f"computed in {computed:.1f} s; opened from the cache and read in {statistics.median(opening):.2f} s")
    print(f"{maps.size_bytes / 1e6:.0f} MB of features")


def load(path: Path) -> Volume:
    volume = load_volume(path)
    name = path.parent.name if path.name.startswith("ct.") else path.name
    return Volume(volume.data, volume.grid, name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = {"speed": speed, "seams": seams, "air": air, "whole": whole}
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(parts)}; all by default")
    parser.add_argument("--ct", nargs="*", type=Path, default=[])
    parser.add_argument("--model", default="coralbay-mini")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(parts):
        parser.error(f"unknown part: {', '.join(sorted(unknown))}")
    torch.set_num_threads(arguments.threads)
    encoder = load_encoder(arguments.model, device=arguments.device)
    volumes = [load(path) for path in arguments.ct] or [make_phantom().volume]
    print(f"{arguments.model} on {encoder.device}, {arguments.threads} threads")
    for name, part in parts.items():
        if not arguments.parts or name in arguments.parts:
            part(volumes if name == "air" else volumes[0], encoder)


if __name__ == "__main__":
    main()
