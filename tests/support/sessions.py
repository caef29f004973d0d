"""Sessions with content, for tests of what is saved and restored."""

import numpy as np

from coralbay_core.matching import Landmark
from coralbay_core.spatial import LabelVolume
from coralbay_viz import Session

MODEL = "hu-context"


def places(belly, *fractions):
    return [tuple(belly.grid.to_world(np.array(belly.shape) * f)) for f in fractions]


def made(files, belly, **settings) -> Session:
    """A session with everything that is kept."""
    session = Session(model=MODEL, **settings)
    for path in files:
        session.open(path)
        session.compute()
    first, second = session.scans
    session.activate(first)
    here, there, third = places(belly, 0.5, 0.3, 0.6)
    session.click(here)
    session.click(there, negative=True)
    session.keep_query("middle")
    session.click(third)
    session.weights, session.prior_mm, session.body_fraction = {4: 1, 8: 2}, 60.0, 0.1
    data = np.zeros(first.label_grid.shape, np.uint8)
    data[8:12, 8:12, 8:12], data[20:24, 20:24, 20:24] = 2, 7
    session.segment(LabelVolume(data, first.label_grid, "strokes", names={7: "bone"}))
    session.apply_probe([second])
    session.compute_pca((2, 1, 0))
    session.lock_basis()
    session.mirror(here)
    session.cursor_mm = third
    session.link_cursor(second)
    session.link_heat(second, first)
    session.propagate([Landmark("one", here)], second, prior_mm=None)
    return session


def assert_same(found: Session, expected: Session) -> None:
    """Compare what two sessions keep and show."""
    assert [scan.name for scan in found.scans] == [scan.name for scan in expected.scans]
    assert found.scans.index(found.scan) == expected.scans.index(expected.scan)
    assert (found.model, found.body_fraction) == (expected.model, expected.body_fraction)
    assert (found.weights, found.prior_mm) == (expected.weights, expected.prior_mm)
    assert list(found.queries) == list(expected.queries)
    for new, old in zip(found.scans, expected.scans, strict=True):
        assert new.clicks.now == old.clicks.now
        assert new.cursor_mm == old.cursor_mm
        np.testing.assert_array_equal(new.heat.heat.data, old.heat.heat.data)
        np.testing.assert_array_equal(new.segmentation.data, old.segmentation.data)
    new, old = found.scans[0], expected.scans[0]
    assert found.components == expected.components
    np.testing.assert_array_equal(found.basis.mean, expected.basis.mean)
    np.testing.assert_array_equal(new.strokes.now.labels.data, old.strokes.now.labels.data)
    assert new.strokes.now.names == old.strokes.now.names
    # Two processes may round a color differently: sums over threads have no fixed order.
    assert new.pca.shown.dtype == np.uint8
    np.testing.assert_allclose(new.pca.shown.astype(int), old.pca.shown.astype(int), rtol=0, atol=1)
    np.testing.assert_allclose(new.symmetry.counterpart_mm, old.symmetry.counterpart_mm)
    assert found.scans[1].origin is found.scans[0]
    assert found.linked is found.scans[1]
    np.testing.assert_allclose(found.linked.matched.position_mm, expected.linked.matched.position_mm)
    assert found.scans[1].follow_up_rows == expected.scans[1].follow_up_rows
