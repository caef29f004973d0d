"""Public sample CT, downloaded once, and what is opened in its place where that fails."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_path

from coralbay_core.errors import CoralBayError
from coralbay_core.util.extras import import_extra

from ..jobs import JobContext
from ..tasks import files

if TYPE_CHECKING:
    from coralbay_core.spatial import Volume

# "CTChest" of 3D Slicer's sample data; the address names the checksum. Both stand in Slicer's SampleData module.
CHEST_SHA256 = "4507b664690840abb6cb9af2d919377ffc4ef75b167cb6fd0f747befdb12e38e"
CHEST_URL = f"https://github.com/Slicer/SlicerTestingData/releases/download/SHA256/{CHEST_SHA256}"
CHEST_FILE = "CT-chest.nrrd"
_CHUNK_BYTES = 1 << 16


def fetch_chest(
    url: str = CHEST_URL,
    sha256: str = CHEST_SHA256,
    folder: Path | None = None,
    *,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Return the path of a chest CT of 3D Slicer's sample data (about 25 MB), downloaded on first use.

    Parameters
    ----------
    url, sha256 : str
    folder : Path, optional
        Download folder; by default in the user's cache.
    report : callable
        Called with the number of received bytes and the size of the file, 0 if unknown; an exception ends the
        download.

    Raises
    ------
    MissingExtraError
        If pooch is not installed.
    CoralBayError
        If there is no network, or the checksum is wrong; no file is left then.
    """
    pooch = import_extra("napari", "pooch", need="the download of the sample CT needs")
    folder = folder or user_cache_path("coralbay") / "samples"
    log = pooch.get_logger()
    log.setLevel("WARNING")
    try:
        downloader = pooch.HTTPDownloader(progressbar=_Meter(report), chunk_size=_CHUNK_BYTES)
        return Path(pooch.retrieve(url, f"sha256:{sha256}", CHEST_FILE, folder, downloader=downloader))
    except (OSError, ValueError) as error:  # no network, no space; or another checksum
        raise CoralBayError(
            "cannot download the sample CT",
            where=url.split("/")[2] if "//" in url else url,
            found=str(error).splitlines()[0][:200],
            hint="check the network connection, or open your own scan",
        ) from error


class _Meter:
    """Progress bar for pooch."""

    def __init__(self, report: Callable[[int, int], None]) -> None:
        self._report = report
        self.total = self._done = 0

    def update(self, count: int) -> None:
        self._done += count
        self._report(min(self._done, self.total), self.total)

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        pass


def sample_ct(say: Callable[[str], None], context: JobContext) -> "Volume":
    """Read the public sample, downloaded on first use; make the synthetic torso if it cannot be had."""

    def report(done: int, total: int) -> None:
        context.check_cancelled()
        context.progress(done, total)

    try:
        return files.open_volume(fetch_chest(report=report), None)
    except CoralBayError as error:
        context.check_cancelled()
        context.post(say, f"Synthetic torso opened instead: {error.brief}")
        return files.make_phantom().volume
