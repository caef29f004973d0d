"""``embed`` of a folder through Dask: one task a scan, the cache as the shared result.

The same scheduler serves one machine (`LocalCluster`, a process a job) and a cluster (its address); retries are its
own. Tasks return what is printed, not features: those are on the disk that all workers share.
"""

from pathlib import Path
from typing import Any

from ..errors import InputError, MissingExtraError
from .output import Progress, note

RETRIES = 2
"""Times a scan is tried again when its worker dies, as it does when it takes too much memory."""


def embed_spread(
    scans: dict[str, Path], settings: dict[str, Any], *, out: Path | None, jobs: int | None, address: str | None
) -> list[dict[str, Any]]:
    """Features of scans, several at a time.

    Parameters
    ----------
    scans : dict of str to Path
    settings : dict
        ``model``, ``device``, ``strides``, ``memory_gb``: as the command takes them.
    out : Path, optional
        Where features are kept; by default the cache.
    jobs : int, optional
        Processes on this machine.
    address : str, optional
        Of a scheduler, instead.

    Returns
    -------
    list of dict
        What `embed` prints of each scan, in their order.

    Raises
    ------
    InputError
        If a scan could not be embedded; the others are done nevertheless.
    """
    client = _client(jobs, address)
    try:
        place = out.absolute() if out else None
        futures = {
            name: client.submit(
                embed_task, name, path.absolute(), settings, place, threads=_threads(jobs), retries=RETRIES, pure=False
            )
            for name, path in scans.items()
        }
        _follow(list(futures.values()))
        outcomes = {name: _outcome(future) for name, future in futures.items()}
    finally:
        client.close()
        if client.cluster is not None:
            client.cluster.close()
    failed = {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, BaseException)}
    for name, error in failed.items():
        note(f"{name}: {error}")
    if failed:
        raise InputError(
            f"{len(failed)} of {len(scans)} scans could not be embedded",
            found=", ".join(failed),
            hint="see the notes above",
        )
    return [outcome for outcome in outcomes.values() if not isinstance(outcome, BaseException)]


def _client(jobs: int | None, address: str | None) -> Any:
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise MissingExtraError("--jobs needs Dask", where="embed", hint='pip install "coralbay[cluster]"') from error
    if address:
        try:
            return Client(address, timeout=10)
        except (OSError, ValueError) as error:
            raise InputError("no Dask scheduler", where=address, found=error) from error
    # No dashboard: nothing listens on the network but the workers, on this machine.
    cluster = LocalCluster(n_workers=jobs, threads_per_worker=1, dashboard_address=None, host="127.0.0.1")
    return Client(cluster)


def _threads(jobs: int | None) -> int | None:
    """Threads a task may use, so that jobs do not fight for the cores of one machine."""
    import os

    return max(1, (os.cpu_count() or 1) // jobs) if jobs else None


def embed_task(
    name: str, path: Path, settings: dict[str, Any], out: Path | None, *, threads: int | None
) -> dict[str, Any]:
    """One scan, in a worker."""
    import torch

    from ..extraction.cache import FeatureStore
    from ..extraction.pipeline import features_for
    from ..io import load_volume
    from .common import encoder_for, store_of
    from .embed import described

    if threads:
        torch.set_num_threads(threads)
    encoder = encoder_for(settings["model"], settings["device"])
    memory = settings["memory_gb"]
    store: FeatureStore | bool = store_of(out)
    features = features_for(
        load_volume(path),
        encoder,
        strides=settings["strides"],
        store=store,
        name=name if out else None,
        memory_bytes=None if memory is None else int(memory * 1e9),
    )
    return {"name": name, "folder": out / name if out else None, **described(features)}


def _follow(futures: list[Any]) -> None:
    from distributed import as_completed

    progress = Progress("scans")
    progress(0, len(futures))
    for done, _ in enumerate(as_completed(futures), 1):
        progress(done, len(futures))


def _outcome(future: Any) -> Any:
    try:
        return future.result()
    except Exception as error:
        return error
