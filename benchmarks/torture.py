"""Load and kills: many scans, clicks and strokes in one session, a volume of 3 GB, and processes that are killed.

    make torture                                                        (ARGS="--scans 20 --kills 5 --no-volume")
    python -m benchmarks.torture --scans 200 --clicks 1000 --strokes 500 --undo 100 --kills 100

Prints tables in Markdown, and exits with 1 if a bound is broken. Bounds: the resident memory of a session grows by 64
MB at most after the warm-up, results equal those of a fresh session, `embed --memory 2` takes at most 2 GB beside the
volume, and no kill damages or loses anything. 0 leaves a part out.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import nibabel as nib
import numpy as np

from benchmarks.load import MOST_GROWTH_MB, PARTS, run_part
from coralbay_core.spatial.geometry import scale

VOLUME = (1024, 1024, 1500)
MEMORY_GB = 2.0
_SPACING_MM = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, count in (("scans", 200), ("clicks", 1000), ("strokes", 500), ("undo", 100), ("kills", 100)):
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--kill", action="append", metavar="NAME", help="subject to kill; by default all")
    parser.add_argument("--no-volume", action="store_true")
    parser.add_argument("--volume", type=int, nargs=3, default=VOLUME, metavar=("X", "Y", "Z"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sound = [
            load({name: getattr(options, name) for name in PARTS}, Path(folder)),
            options.no_volume or large_volume(tuple(options.volume), Path(folder)),
            not options.kills or kills(options.kills, options.seed, options.kill, Path(folder)),
        ]
    sys.exit(not all(sound))


def load(counts: dict[str, int], folder: Path) -> bool:
    """Print the table of long sessions; return whether all bounds hold."""
    wanted = {name: count for name, count in counts.items() if count}
    if wanted:
        print(f"\n| one session | steps | s | growth of memory (MB, at most {MOST_GROWTH_MB}) | peak (MB) | results |")
        print("|---|---|---|---|---|---|", flush=True)
    sound = True
    for name, count in wanted.items():
        place = folder / name
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            found = pool.submit(run_part, name, place, count).result()
        results = "same" if found.same else "DIFFERENT"
        memory = f"{found.growth_mb:.0f} | {found.peak_mb:.0f}"
        print(f"| {found.part} | {found.count:,} | {found.seconds:.0f} | {memory} | {results} |", flush=True)
        shutil.rmtree(place)
        sound = sound and found.sound
    return sound


def large_volume(shape: tuple[int, ...], folder: Path) -> bool:
    """Embed a large volume, print its memory, and return whether the limit was kept."""
    print(
        "\n| volume | file (GB) | `--memory` (GB) | peak beside the volume (GB) | s |\n|---|---|---|---|---|",
        flush=True,
    )
    path = write_volume(folder / "large.nii", shape)
    code = "from coralbay_core.cli import main; main()"
    options = ["--model", "hu-context", "--memory", f"{MEMORY_GB:g}", "-o", str(folder / "features")]
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, "embed", str(path), *options], check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    size = path.stat().st_size
    beside = (peak - size) / 1e9
    name = " x ".join(map(str, shape))
    print(f"| {name} | {size / 1e9:.2f} | {MEMORY_GB:g} | {beside:.2f} | {seconds:.0f} |", flush=True)
    path.unlink()
    return beside <= MEMORY_GB


def write_volume(path: Path, shape: tuple[int, ...]) -> Path:
    """Write an int16 CT of a cylinder with some texture, slice by slice."""
    header = nib.Nifti1Image(np.zeros((1, 1, 1), np.int16), scale((_SPACING_MM,) * 3)).header
    header.set_data_shape(shape)
    x, y = np.meshgrid(np.linspace(-1, 1, shape[0]), np.linspace(-1, 1, shape[1]), indexing="ij")
    inside = x**2 + (1.3 * y) ** 2 < 0.6
    texture = np.random.default_rng(0).normal(40, 30, shape[:2])
    with path.open("wb") as file:
        header.write_to(file)
        file.write(b"\0" * (int(header["vox_offset"]) - file.tell()))
        for z in range(shape[2]):
            slice_hu = np.where(inside, np.roll(texture, z, 0), -1000).astype("<i2")
            file.write(slice_hu.tobytes(order="F"))
    return path


def kills(count: int, seed: int, names: list[str] | None, folder: Path) -> bool:
    """Kill every subject, print the table, and return whether nothing was damaged or lost."""
    from tests.support.kill_subjects import SUBJECTS
    from tests.support.kills import kill_often

    print("\n| killed | kills | with finished work | with temporary files | damaged or lost | s |")
    print("|---|---|---|---|---|---|", flush=True)
    sound = True
    for subject in SUBJECTS:
        if names and subject.__name__ not in names:
            continue
        place = folder / subject.__name__
        try:
            t = kill_often(subject(place / "inputs"), place, count, seed)
        except AssertionError as error:
            sound = False
            print(f"| {subject.name} | | | | FAILED: {error} | |", flush=True)
            continue
        print(f"| {t.name} | {t.kills} | {t.finished} | {t.leftovers} | 0 | {t.seconds:.0f} |", flush=True)
        shutil.rmtree(place)
    return sound


if __name__ == "__main__":
    main()
