"""Random sequences of session calls, good and bad: state and results stay consistent, and undo goes back."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from coralbay_core.errors import CoralBayError
from coralbay_core.spatial import Grid, LabelVolume, Volume
from coralbay_viz import Session
from tests.support.made_features import GRID, made_features

pytestmark = pytest.mark.forward

_SCAN = Volume(np.zeros(GRID.shape, np.int16), GRID, name="made")
_FEATURES = made_features()
_BAD_PLACES = (None, "x", (1, 2), (float("nan"), 0, 0), (1e9, 0, 0), (0, float("inf"), 0), (1, None, 2))

places = st.tuples(*(st.floats(0, n - 1) for n in GRID.shape)).map(lambda index: tuple(GRID.to_world(index).tolist()))


class Sequences(RuleBasedStateMachine):
    """A user, or a script, that does anything in any order."""

    @initialize()
    def begin(self):
        self.session = Session(model="hu-patch", store=False)
        self.clicks, self.undone = [()], []
        self.add_scan()

    def give_features(self, scan):
        self.session.controllers.features._set_features(scan, "hu-patch", _FEATURES)

    def count(self):
        now = self.session.clicks
        return (now.positive, now.negative)

    @rule()
    def add_scan(self):
        if len(self.session.scans) < 3:
            self.give_features(self.session.add(_SCAN))

    @precondition(lambda self: self.session.scan is not None)
    @rule(place=places, negative=st.booleans())
    def click(self, place, negative):
        before = self.count()
        try:
            self.session.click(place, negative)
        except CoralBayError:  # a negative click alone asks for nothing
            return
        assert self.count() != before
        after = self.count()
        self.session.undo()
        assert self.count() == before
        self.session.redo()
        assert self.count() == after

    @precondition(lambda self: self.session.scan is not None)
    @rule(step=st.sampled_from(("undo", "redo", "undo_strokes", "redo_strokes", "clear_clicks")))
    def step(self, step):
        getattr(self.session, step)()

    @precondition(lambda self: self.session.scan is not None)
    @rule(place=places, to=places)
    def move_or_remove(self, place, to):
        self.session.move_click(place, to)
        self.session.remove_click(to)

    @precondition(lambda self: self.session.scan is not None)
    @rule(value=st.sampled_from((1, 2, 255, 70000, 2**40)), first=st.integers(0, 20), second=st.booleans())
    def paint(self, value, first, second):
        data = np.zeros(GRID.shape, np.int64)
        data[first : first + 4, 40:44, 30:34] = value
        if second:
            data[70:74, 40:44, 30:34] = 3
        strokes = LabelVolume(data, GRID)
        before = self.session.scan.strokes.now
        if second and value != 3:
            self.session.segment(strokes)
        else:
            self.session.paint(strokes)
        np.testing.assert_array_equal(self.session.scan.strokes.now.labels.data, data)
        self.session.undo_strokes()
        assert self.session.scan.strokes.now is before
        self.session.redo_strokes()

    @precondition(lambda self: self.session.scan is not None)
    @rule(
        name=st.sampled_from(("click", "remove_click", "hover", "mirror", "compute")),
        place=st.sampled_from(_BAD_PLACES),
    )
    def bad_place(self, name, place):
        if place is None and name == "hover":
            return
        if place == (1e9, 0, 0) and name in ("hover", "remove_click"):  # nothing is there
            return
        self.refused(lambda: getattr(self.session, name)(place))

    @precondition(lambda self: self.session.scan is not None)
    @rule(
        setting=st.sampled_from(
            (
                ("weights", {3: 1}), ("weights", {4: float("nan")}), ("weights", {}), ("prior_mm", -1),
                ("prior_mm", "wide"), ("body_fraction", 2), ("body_fraction", None), ("cursor_mm", (1, 2)),
            )
        )
    )  # fmt: skip
    def bad_setting(self, setting):
        self.refused(lambda: setattr(self.session, *setting))

    @precondition(lambda self: self.session.scan is not None)
    @rule(
        strokes=st.sampled_from(
            (None, np.ones(GRID.shape, int), LabelVolume(np.full((3, 3, 3), -4), Grid((3, 3, 3), GRID.affine)))
        )
    )
    def bad_strokes(self, strokes):
        self.refused(lambda: self.session.segment(strokes))
        self.refused(lambda: self.session.paint(strokes))

    @rule(path=st.sampled_from((None, 3, "", "a\0b")))
    def bad_path(self, path):
        for command in (self.session.open, self.session.load, self.session.save):
            self.refused(lambda command=command: command(path))

    @rule(scan=st.sampled_from(("x", 3)))
    def bad_scan(self, scan):
        self.refused(lambda: self.session.activate(scan))
        self.refused(lambda: self.session.add(scan))

    @precondition(lambda self: self.session.scan is not None)
    @rule()
    def other_features(self):
        self.give_features(self.session.scan)

    @precondition(lambda self: len(self.session.scans) > 1)
    @rule(first=st.booleans())
    def link_or_activate(self, first):
        one, other = self.session.scans[:2]
        self.session.activate(one if first else other)
        if first:
            self.session.link_heat(other)
            self.session.link_cursor(other)

    @precondition(lambda self: self.session.scans)
    @rule(last=st.booleans())
    def remove_scan(self, last):
        gone = self.session.scans[-1 if last else 0]
        self.session.remove(gone)
        with pytest.raises(CoralBayError, match="not open"):
            self.session.activate(gone)

    def refused(self, call):
        """A call that cannot be meant: an error of ours, and nothing has changed."""
        before = self.state()
        with pytest.raises(CoralBayError):
            call()
        after = self.state()
        assert all(one is two or one == two for one, two in zip(before, after, strict=True))

    def state(self):
        s = self.session
        per_scan = [
            part for scan in s.scans for part in (scan, scan.clicks.now, scan.strokes.now, scan.results, scan.cursor_mm)
        ]
        return [len(s.scans), s.scan, s.weights, s.prior_mm, s.body_fraction, s.model, *per_scan]

    @invariant()
    def consistent(self):
        session = self.session
        assert (session.scan is None) == (not session.scans)
        assert session.scan is None or session.scan in session.scans
        assert session.linked is None or session.linked in session.scans
        for scan in session.scans:
            source = scan.origin or scan
            assert source in session.scans
            wanted = bool(source.clicks.now.positive) and scan.features is not None
            assert (scan.heat is not None) == wanted
            if scan.heat is not None:
                assert scan.heat.clicks == source.clicks.now
                assert np.isfinite(scan.heat.shown).all()
            painted = scan.strokes.now
            if scan.segmentation is not None:
                assert painted is not None
                assert len(painted.classes) > 1
                assert set(np.unique(scan.segmentation.data)) <= {0, *painted.classes}


Sequences.TestCase.settings = settings(max_examples=20, stateful_step_count=15, deadline=None)
TestSequences = pytest.mark.slow(Sequences.TestCase)
