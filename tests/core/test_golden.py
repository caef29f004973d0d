"""Features, masks and maps of the phantom do not drift, on the newest and (`make test-oldest`) the oldest packages.

What may differ: the order in which BLAS and torch sum, hence the last of the eleven bits of float16. What must not:
axes, interpolation, windows, clipping and layers of the network: each moves features by tenths of their spread.
"""

import numpy as np
import pytest

from tests.support import golden

pytestmark = pytest.mark.forward

# Of a map's standard deviation: forty times the rounding of float16, a tenth of what a change of a step does.
FEATURES_WITHIN = 0.02
HEAT_WITHIN = 0.01  # cosines of such features
# At borders two scores may be equal to the last bit.
LABELS_EQUAL, BODY_EQUAL = 0.99, 0.999
HU_WITHIN = 1  # one half is rounded up or down


@pytest.fixture(scope="module")
def now():
    return golden.compute()


@pytest.fixture(scope="module")
def then():
    with np.load(golden.PATH) as file:
        return dict(file)


def test_the_file_is_small(then):
    assert golden.PATH.stat().st_size < 200_000
    assert {f"{name} {stride}" for name in ("hu-context", "network") for stride in (4, 8, 16)} <= set(then)


def test_hu_and_body(now, then):
    assert np.abs(now["hu"].astype(int) - then["hu"]).max() <= HU_WITHIN
    assert (now["body_shape"] == then["body_shape"]).all()
    size = int(np.prod(then["body_shape"]))
    body, expected = (np.unpackbits(found["body"])[:size] for found in (now, then))
    assert (body == expected).mean() >= BODY_EQUAL
    assert 0.1 < expected.mean() < 0.9


@pytest.mark.parametrize("stride", [4, 8, 16])
@pytest.mark.parametrize("name", ["hu-context", "network"])
def test_features(now, then, name, stride):
    found, expected = (part[f"{name} {stride}"].astype(np.float32) for part in (now, then))
    assert found.shape == expected.shape
    spread = expected.std()
    assert spread > 0
    assert np.abs(found - expected).max() <= FEATURES_WITHIN * spread


def test_heat_map(now, then):
    np.testing.assert_allclose(now["heat"].astype(np.float32), then["heat"], rtol=0, atol=HEAT_WITHIN)
    assert np.ptp(then["heat"].astype(np.float32)) > 0.5


def test_probe_labels(now, then):
    assert (now["labels"] == then["labels"]).mean() >= LABELS_EQUAL
    assert len(np.unique(then["labels"])) > 3
