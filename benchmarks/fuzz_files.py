"""Damage to all kinds of files beside scans: each loads, or is refused in one line of error.

    python -m benchmarks.fuzz_files --seconds 600 --seed 1

Prints the number of files that were tried and refused. Anything but an error of CoralBay ends the run with its
traceback, and the file stays at the path that is printed. `make fuzz` runs it.
"""

import argparse
import os
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.fuzz_targets import targets
from coralbay_core.errors import CoralBayError


def fuzz(folder: Path, seconds: float, seed: int, only: str = "") -> dict[str, Counter[str]]:
    """Damage and load until the time is over; raises what is no error of CoralBay.

    Parameters
    ----------
    folder : Path
    seconds : float
    seed : int
    only : str
        Part of the names of the kinds of files to try.
    """
    rng = random.Random(seed)
    made = {name: target for name, target in targets(folder).items() if only in name}
    counts: dict[str, Counter[str]] = {name: Counter() for name in made}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name, (path, content, load, damage) in made.items():
            path.write_bytes(damage(content, rng))
            try:
                load(path)
                counts[name]["loaded"] += 1
            except CoralBayError as error:
                if "\n" in str(error):
                    raise AssertionError(f"more than one line: {error}") from error
                counts[name]["refused"] += 1
            except Exception as error:
                error.add_note(f"{name}: {path}")
                raise
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="part of the names of the kinds of files")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="coralbay-fuzz-"))
    os.environ["CORALBAY_STATE"] = str(folder / "state")
    print(f"files in {folder}, seed {options.seed}", flush=True)
    for name, counted in fuzz(folder, options.seconds, options.seed, options.only).items():
        print(f"{name}: {counted.total()} tried, {counted['refused']} refused, {counted['loaded']} loaded")


if __name__ == "__main__":
    main()
