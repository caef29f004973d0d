"""What all tests share: the data to work on, and isolation from the machine that they run on."""

import gc
import json
import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support import ROOT

pytest_plugins = ["tests.support.forward_guard", "tests.support.widget_leaks"]

# Time limits of single examples only fail on a busy machine. A change is judged on the same examples each time;
# `make test ARGS="--hypothesis-profile random"` draws others.
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("random", deadline=None, print_blob=True)
settings.load_profile("same")

# Both are read when a library is loaded, so they are set before any is; child processes inherit them.
os.environ.setdefault("QT_API", "pyside6")  # several bindings may be installed, one is tested
os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch: steady times, and sums in a steady order


def pytest_collection_finish():
    """Take the modules that were imported out of later garbage collections: each took half a second, five a window."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def isolated_cache(tmp_path_factory):
    """Keep features out of the user's cache, and the user's features out of the tests; processes inherit it.

    The processes of one run share it, as processes of a user do: features of the shared phantom are computed once.
    """
    base = tmp_path_factory.getbasetemp()
    cache = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "features"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CORALBAY_CACHE", str(cache))
        patch.setenv("CORALBAY_STATE", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def ct_pack() -> Path:
    """Folder of real CT volumes, which are too large for the repository."""
    pack = Path(os.environ.get("CORALBAY_CT_PACK") or ROOT.parent / "shared" / "ct")
    if not (pack / "manifest.json").is_file():
        pytest.skip(f"no CT pack at {pack}: set CORALBAY_CT_PACK to its folder")
    return pack


@pytest.fixture(scope="session")
def phantom():
    """A coarse phantom: volume, labels and landmarks. Tests share it, so none may change it."""
    from coralbay_core.phantom import make_phantom

    return make_phantom(seed=0, spacing_mm=(3.0, 3.0, 3.0))


@pytest.fixture
def coralbay(capsys):
    """Run a command; returns its exit code, stdout and stderr."""

    from coralbay_core.cli import run

    def call(*arguments):
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def succeed(coralbay):
    """Run a command with --json that must succeed; returns the object."""

    def call(*arguments):
        code, out, err = coralbay(*arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    return call
