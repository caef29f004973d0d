"""The command ``embed`` for a folder, run by Dask: one task per scan, results in the shared cache.

The same code runs on one machine (`LocalCluster`, one process per job) and on a cluster (by its address); Dask retries
failed tasks. Tasks return the numbers to print; the features stay on the disk that all workers share.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..util.extras import import_extra
from . import options
from .output import Progress
from .scans import Batch, Source

RETRIES = 2
"""Number of retries of a scan whose worker died, for example because it ran out of memory."""


def embed_with_dask(
    scans: Sequence[Source],
    settings: dict[str, Any],
    batch: Batch,
    *,
    out: Path | None,
    jobs: int | None,
    address: str | None,
) -> list[dict[str, Any]]:
    """Compute the features of several scans in parallel.

    Parameters
    ----------
    scans : sequence of Source
    settings : dict
        ``model``, ``device``, ``strides``, ``memory_gb``: values of the command's options.
    batch : Batch
        Takes the scans that failed; the others are still processed.
    out : Path, optional
        Folder for the features; by default the cache.
    jobs : int, optional
        Number of processes on this machine.
    address : str, optional
        Address of a scheduler to use instead.

    Returns
    -------
    list of dict
        Results of `embed` for each scan that succeeded, in the same order.
    """
    client = _client(jobs, address)
    try:
        place = out.absolute() if out else None
        names = {
            client.submit(
                embed_task,
                source.name,
                source.path.absolute(),
                settings,
                place,
                threads=_threads(jobs),
                retries=RETRIES,
                pure=False,
            ): source.name
            for source in scans
            if not source.problem
        }
        outcomes = _outcomes(names)
    finally:
        client.close()
        if client.cluster is not None:
            client.cluster.close()
    for source in scans:
        outcome = outcomes.get(source.name, InputError(source.problem, where=source.path))
        if isinstance(outcome, BaseException):
            batch.fail(source.name, outcome)
        else:
            batch.succeed(source.name)
    found = (outcomes.get(source.name) for source in scans)
    return [outcome for outcome in found if isinstance(outcome, dict)]


def _client(jobs: int | None, address: str | None) -> Any:
    dask = import_extra("cluster", "distributed", need="--jobs and --cluster need")
    if address:
        try:
            return dask.Client(address, timeout=10)
        except (OSError, ValueError) as error:
            raise InputError("no Dask scheduler at this address", where=address, found=error) from error
    # No dashboard: nothing listens on the network but the workers, on this machine.
    cluster = dask.LocalCluster(n_workers=jobs, threads_per_worker=1, dashboard_address=None, host="127.0.0.1")
    return dask.Client(cluster)


def _threads(jobs: int | None) -> int | None:
    """Threads per task, so that jobs do not compete for the cores of one machine."""
    import os

    return max(1, (os.cpu_count() or 1) // jobs) if jobs else None


def embed_task(
    name: str, path: Path, settings: dict[str, Any], out: Path | None, *, threads: int | None
) -> dict[str, Any]:
    """Compute the features of one scan in a worker process."""
    import torch

    from ..extraction.cache import FeatureStore
    from ..extraction.pipeline import features_for
    from ..io import load_volume
    from .common import encoder_for, feature_summary, store_of

    if threads:
        torch.set_num_threads(threads)
    encoder = encoder_for(settings["model"], settings["device"])
    store: FeatureStore | bool = store_of(out)
    features = features_for(
        load_volume(path),
        encoder,
        strides=settings["strides"],
        store=store,
        name=name if out else None,
        memory_bytes=options.memory_bytes(settings["memory_gb"]),
    )
    return {"name": name, "folder": out / name if out else None, **feature_summary(features)}


def _outcomes(names: dict[Any, str]) -> dict[str, Any]:
    """Take each result as it comes, by name: those still on a worker that dies would be computed again."""
    from distributed import as_completed

    progress, total = Progress("scans"), len(names)
    progress(0, total)
    outcomes: dict[str, Any] = {}
    for future in as_completed(list(names)):
        outcomes[names.pop(future)] = _outcome(future)
        future.release()
        progress(len(outcomes), total)
    return outcomes


def _outcome(future: Any) -> Any:
    try:
        return future.result()
    except Exception as error:
        return error
