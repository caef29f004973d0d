"""Parts of a training store for a machine that takes small files only: archives of whole volumes.

    python scripts/pack_store.py pack STORE FOLDER [--mib 60]
    python scripts/pack_store.py unpack FOLDER STORE

Volumes are compressed in a store already, so the archives are not. One part alone is a store of its volumes.
"""

import argparse
import sys
import tarfile
from pathlib import Path

DESCRIPTION = "zarr.json"


def pack(store: Path, folder: Path, most_mib: float) -> list[Path]:
    """Write ``part-000.tar`` and so on, each of at most so many MiB; each holds the description of the store."""
    if not (store / DESCRIPTION).is_file():
        sys.exit(f"{store} is not a training store: make one with `coralbay prepare-data`")
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        sys.exit(f"{folder} is not empty: choose another folder")
    parts: list[list[Path]] = [[]]
    room = budget = most_mib * 2**20 - 2**16
    for volume in sorted(path for path in store.iterdir() if (path / DESCRIPTION).is_file()):
        # 1.5 KB per file for its header and padding.
        size = sum(file.stat().st_size + 1536 for file in volume.rglob("*"))
        if size > budget:
            sys.exit(f"{volume} does not fit into a part: {size / 2**20:.0f} MiB, allowed {most_mib:g}")
        if size > room:
            parts.append([])
            room = budget
        parts[-1].append(volume)
        room -= size
    written = []
    for number, volumes in enumerate(parts):
        path = folder / f"part-{number:03d}.tar"
        with tarfile.open(path, "w") as archive:
            for item in (store / DESCRIPTION, *volumes):
                archive.add(item, item.name)
        written.append(path)
    return written


def unpack(folder: Path, store: Path) -> int:
    """Unpack all parts in a folder into one store, and count its volumes."""
    parts = sorted(folder.glob("part-*.tar"))
    if not parts:
        sys.exit(f"no part-*.tar in {folder}")
    for path in parts:
        with tarfile.open(path) as archive:
            archive.extractall(store, filter="data")
    return sum(1 for path in store.iterdir() if (path / DESCRIPTION).is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack")
    packing.add_argument("store", type=Path)
    packing.add_argument("folder", type=Path)
    packing.add_argument("--mib", type=float, default=60)
    unpacking = commands.add_parser("unpack")
    unpacking.add_argument("folder", type=Path)
    unpacking.add_argument("store", type=Path)
    options = parser.parse_args()
    if options.command == "unpack":
        print(f"{unpack(options.folder, options.store)} volumes in {options.store}")
        return
    for path in pack(options.store, options.folder, options.mib):
        print(f"{path} {path.stat().st_size / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
