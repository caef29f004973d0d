"""Tests with eva, in an environment of their own (`make test-eva`): it pins packages that CoralBay leaves free."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
os.environ.setdefault("OMP_NUM_THREADS", "1")

if find_spec("eva"):
    import eva_command  # noqa: F401  what torchvision lacks beside a torch without CUDA
else:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session", autouse=True)
def isolated_cache(tmp_path_factory):
    """Keep features out of the user's cache; processes inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CORALBAY_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def run_eva(tmp_path):
    """Run eva's command with settings of a configuration in the environment; returns the folder of its results file."""

    def call(command: str, config: Path, **settings) -> Path:
        logs = tmp_path / "logs"
        small = {"OUTPUT_ROOT": logs, "N_DATA_WORKERS": 1, "LOG_EVERY_N_STEPS": 1, "CUDA_VISIBLE_DEVICES": ""}
        environment = os.environ | {key: str(value) for key, value in (small | settings).items()}
        line = [sys.executable, str(HERE / "eva_command.py"), command, "--config", str(config)]
        done = subprocess.run(line, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        (results,) = logs.rglob("results.json")
        return results

    return call
