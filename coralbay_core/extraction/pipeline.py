"""The entry point from a scan to its features, for commands, sessions and notebooks."""

import logging
import shutil
import time
from collections.abc import Callable, Collection
from pathlib import Path

from numpy.typing import ArrayLike

from ..errors import CoralBayError, InputError, StorageError
from ..features import FeatureMaps
from ..io import VolumeLike, load_volume
from ..models.encoder import Encoder, check_strides
from ..util.arguments import checked
from ..util.memory import Budget, budget
from .cache import Entry, EntryMetadata, FeatureStore, key_of, signature, unwritable
from .extraction_input import ExtractionInput, require_body
from .kept_input import forget_input
from .sliding_window import (
    ExtractionCallbacks,
    Progress,
    channels_of,
    extract,
    previewed_input,
    run,
)
from .tiling import Box, Index, region_of

_log = logging.getLogger(__name__)


@checked
def features_for(
    volume: VolumeLike,
    encoder: Encoder,
    *,
    strides: Collection[int] | None = None,
    roi_mm: tuple[ArrayLike, ArrayLike] | None = None,
    focus_mm: ArrayLike | None = None,
    store: FeatureStore | bool | None = True,
    name: str | None = None,
    memory_bytes: int | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    watch: ExtractionCallbacks | None = None,
) -> FeatureMaps:
    """Compute feature maps of a scan, or read them from disk as far as they were computed before.

    Results are stored chunk by chunk: after a cancellation or a crash the next call goes on from there, and the chunks
    of a region are reused for the whole scan.

    Parameters
    ----------
    volume : Volume, path or object
        Anything that `load_volume` accepts.
    encoder : Encoder
    strides : collection of int, optional
        Stages to return; by default those of `default_strides`.
    roi_mm : pair of (3,) arrays, optional
        Opposite corners, world mm, of the region to return; its features equal those of the whole scan there.
    focus_mm : (3,) array, optional
        World mm; computing starts there.
    store : FeatureStore or bool
        Where features are stored: True for the user's cache, False or None for nowhere.
    name : str, optional
        Name of the entry in the store; by default a hash of everything that the features depend on.
    memory_bytes : int, optional
        Memory that may be used beside the volume; by default all free memory.
    progress, cancelled : callable, optional
        As in `ExtractionCallbacks`.
    watch : ExtractionCallbacks, optional
        Instead of the two, with more callbacks.

    Returns
    -------
    FeatureMaps
        Read from disk as they are used.

    Raises
    ------
    Cancelled
        When `cancelled` returns true; finished chunks are kept.
    InputError
        For unknown strides, a region outside the volume, a full disk, or an entry `name` of another scan or model.
    """
    volume = load_volume(volume)
    strides = check_strides(encoder, strides)
    watch = watch or ExtractionCallbacks(progress, cancelled)
    if store is True:
        store = FeatureStore()
    if not store:
        return extract(
            volume, encoder, strides=strides, roi_mm=roi_mm, focus_mm=focus_mm, memory_bytes=memory_bytes, watch=watch
        )
    limits = budget(encoder.device, memory_bytes)
    wanted = signature(volume, encoder)
    key = name or key_of(wanted)
    with store.locked(key, watch.cancelled) as writable:
        entry = store.open(key, wanted)
        if entry is None and name and store.folder(name).exists():
            raise InputError(
                "folder holds something else",
                where=store.folder(name),
                expected=f"features of this scan by {encoder.name}",
            )
        scene = None
        if entry is None:
            _require_writable(store, writable)
            scene = previewed_input(volume, encoder, strides, roi_mm, focus_mm, limits, watch)
            entry = _create(store, key, wanted, scene, encoder)
        require_body(entry.body, volume)
        region = region_of(entry.grid, roi_mm)
        needed = entry.needed(region)
        absent = _absent(entry, strides, needed)
        if any(absent.values()):
            _require_writable(store, writable)
            if scene is None:
                scene = previewed_input(volume, encoder, strides, roi_mm, focus_mm, limits, watch)
            chunks = sorted({chunk for part in absent.values() for chunk in part})
            targets = {chunk: scene.lattice.chunk_box(chunk) for chunk in chunks}
            started = time.perf_counter()
            store.forget_size(key)
            _fill(entry, scene, encoder, absent, targets, limits, focus_mm, watch)
            _require_kept(entry, absent)
            forget_input(volume)
            _log.debug("%d chunks computed in %.1f s: %s", len(chunks), time.perf_counter() - started, entry.folder)
            store.note_size(key)
            store.prune(keep=key)
        else:
            if writable:
                store.note_size(key)  # a process may have been killed between the last chunk and its note
            _log.debug("features read from %s", entry.folder)
    return entry.maps(strides, region, needed)


def _require_writable(store: FeatureStore, writable: bool) -> None:
    if not writable:
        raise unwritable(store.root, OSError("it is read-only, and lacks features of this scan"))


def _absent(entry: Entry, strides: Collection[int], needed: list[Index]) -> dict[int, list[Index]]:
    """List the chunks to compute, by stride."""
    try:
        return {stride: entry.missing(stride, needed) for stride in strides}
    except OSError as error:
        raise unwritable(entry.folder, error) from error


def _create(
    store: FeatureStore, key: str, wanted: dict[str, object], scene: ExtractionInput, encoder: Encoder
) -> Entry:
    about = EntryMetadata(
        wanted,
        scene.grid.shape,
        tuple(tuple(map(float, row)) for row in scene.grid.affine),
        encoder.name,
        encoder.notice,
        encoder.channels,
        encoder.compact,
    )
    try:
        return Entry.create(store.folder(key), about, scene.body)
    except OSError as error:
        raise unwritable(store.root, error) from error


def _fill(
    entry: Entry,
    scene: ExtractionInput,
    encoder: Encoder,
    absent: dict[int, list[Index]],
    targets: dict[Index, Box],
    limits: Budget,
    focus_mm: ArrayLike | None,
    watch: ExtractionCallbacks,
) -> None:
    """Compute the absent chunks."""
    strides = [stride for stride, chunks in absent.items() if chunks]
    _require_space(entry.folder, targets, channels_of(encoder, strides))
    try:
        entry.sweep()
        run(scene, encoder, strides, targets, entry, limits=limits, focus_mm=focus_mm, watch=watch)
    except OSError as error:
        entry.remove_rest()
        raise unwritable(entry.folder, error) from error


def _require_kept(entry: Entry, written: dict[int, list[Index]]) -> None:
    """Raise if chunks were removed while others were computed: the scan would seem to end where they were."""
    there = all(entry.has(stride, chunk) for stride, chunks in written.items() for chunk in chunks)
    if entry.remove_rest() or not there:
        raise CoralBayError(
            "features were removed while they were computed", where=entry.folder, hint="compute them again"
        )


def _require_space(folder: Path, targets: dict[Index, Box], channels: dict[int, int]) -> None:
    """Raise before the work if its result will not fit on the disk."""
    voxels = sum((z[1] - z[0]) * (y[1] - y[0]) * (x[1] - x[0]) for z, y, x in targets.values())
    needed = int(sum(2 * count * voxels / stride**3 for stride, count in channels.items()))
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StorageError(
            "not enough space for the features",
            where=folder,
            found=f"{free / 1e9:.1f} GB free",
            expected=f"{needed / 1e9:.1f} GB",
            hint="set CORALBAY_CACHE to another disk, or run coralbay cache clear",
        )
