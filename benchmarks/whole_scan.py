"""Size of encoders, and the seconds that each takes for all default features of a whole scan.

    make bench-whole-scan ARGS="--ct scan.nii.gz --models coralbay-mini,astra --repeats 3"

Models take turns, so that other work on the machine slows all of them alike; medians, and ratios to the first model.
Without ``--ct`` the phantom is used.
"""

import argparse
import statistics
import time

import torch
from torch import nn

from coralbay_core import load_encoder, load_volume
from coralbay_core.extraction.sliding_window import extract
from coralbay_core.models.encoder import Encoder, default_strides
from coralbay_core.phantom import make_phantom


def parameters_of(encoder: Encoder) -> int:
    """Number of parameters of the networks that an encoder holds; 0 if it holds none."""
    networks = (part for part in vars(encoder).values() if isinstance(part, nn.Module))
    return sum(tensor.numel() for network in networks for tensor in network.parameters())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ct", help="a scan; by default the phantom")
    parser.add_argument("--models", default="coralbay-mini,hu-context", help="names or paths, separated by commas")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    volume = load_volume(options.ct) if options.ct else make_phantom(0, 1.5).volume
    encoders = {name: load_encoder(name, device=options.device) for name in options.models.split(",")}
    seconds: dict[str, list[float]] = {name: [] for name in encoders}
    sizes = {}
    for _ in range(options.repeats):
        for name, encoder in encoders.items():
            started = time.perf_counter()
            sizes[name] = extract(volume, encoder).size_bytes
            seconds[name].append(time.perf_counter() - started)
    shape = " x ".join(map(str, volume.data.shape))
    print(f"{volume.name}, {shape} voxels; {options.threads} threads, medians of {options.repeats} turns\n")
    print("| model | parameters, million | strides | features, MB | s | times the first |\n|---|---|---|---|---|---|")
    first = statistics.median(next(iter(seconds.values())))
    for name, encoder in encoders.items():
        taken, strides = statistics.median(seconds[name]), ", ".join(map(str, default_strides(encoder)))
        print(
            f"| {name} | {parameters_of(encoder) / 1e6:.1f} | {strides} | {sizes[name] / 1e6:.0f} | {taken:.1f} "
            f"| {taken / first:.1f} |"
        )


if __name__ == "__main__":
    main()
