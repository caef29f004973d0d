"""What a session asks beyond clicks: other scans, weights, priors and saved queries."""

import numpy as np
import pytest

from coralbay_core.errors import CoralBayError, InputError
from coralbay_viz import Session
from tests.support.sessions import MODEL, places

pytestmark = pytest.mark.forward


def test_a_click_in_one_scan_lights_up_the_other(files, belly):
    session = Session(model=MODEL)
    for path in files:
        session.open(path)
        session.compute()
    first, second = session.scans
    assert session.link_heat(second, first) is None  # nothing is clicked yet
    changed = []
    session.heat_changed.connect(changed.append)
    session.activate(first)
    session.click(places(belly, 0.5)[0])
    assert {scan.name for scan in changed} == {"a", "b"}
    assert second.heat.clicks == first.clicks.now
    session.clear_clicks()
    assert second.heat is None
    session.undo()
    session.remove(first)
    assert second.origin is None
    assert second.heat is None
    with pytest.raises(CoralBayError, match="not open"):
        session.link_heat(second, first)


def test_weights_prior_and_saved_queries(files, belly, tmp_path):
    session = Session(model=MODEL)
    session.open(files[0])
    session.compute()
    here, there = places(belly, 0.5, 0.3)
    session.click(here)
    plain = session.heat.heat
    session.weights = {4: 1}
    assert dict(session.heat.heat.weights) == {4: 1.0}
    session.weights = "auto"
    assert sum(session.heat.heat.weights.values()) == pytest.approx(1)
    session.weights = None
    np.testing.assert_array_equal(session.heat.heat.data, plain.data)
    for wrong in ({}, {4: -1}, {4: 0}, "often", 3):
        with pytest.raises(InputError, match="scale weights"):
            session.weights = wrong
    session.keep_query("here")
    session.clear_clicks()
    session.use_queries("here")
    np.testing.assert_allclose(session.heat.heat.data, plain.data, atol=1e-6)
    session.click(there)
    both = session.heat.heat
    assert both.at(there)[0] > plain.at(there)[0] + 0.1
    assert (both.data >= plain.data - 1e-5).all()
    session.rename_query("here", "center")
    assert [query.name for query in session.scan.queries_in_use] == ["center"]
    path = session.save_query("center", tmp_path / "c.query")
    session.remove_query("center")
    assert session.scan.queries_in_use == ()
    assert session.open_query(path).name == "center"
    session.keep_query("there")
    assert session.merge_queries(["center", "there"], "all").size == 2
    with pytest.raises(CoralBayError, match="no query named"):
        session.use_queries("nothing")
    with pytest.raises(InputError, match="name is taken"):
        session.rename_query("there", "center")


def test_other_weights_put_saved_queries_out_of_use(files, belly):
    session = Session(model=MODEL)
    session.open(files[0])
    session.compute()
    session.click(places(belly, 0.5)[0])
    session.keep_query("here")
    session.use_queries("here")
    session.model = "hu-patch"
    session.compute()
    assert session.scan.queries_in_use == ()
    assert session.heat is not None
    with pytest.raises(InputError, match="another model"):
        session.use_queries("here")
