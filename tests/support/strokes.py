"""Strokes with a real mouse in the Segment tab."""

from qtpy.QtCore import Qt
from qtpy.QtTest import QTest


def choose(hand, dock, value):
    """A real click on the row of a class."""
    tree = dock.segment_panel.classes.rows_of
    item = row_of(dock, value)
    place = tree.visualItemRect(item).center()
    place.setX(40)
    QTest.mouseClick(tree.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, place)
    hand.settle()


def row_of(dock, value):
    tree = dock.segment_panel.classes.rows_of
    items = [tree.topLevelItem(number) for number in range(tree.topLevelItemCount())]
    return next(item for item in items if item.data(0, Qt.ItemDataRole.UserRole) == value)


def paint_two(hand, dock, liver):
    """A stroke of background and one of liver."""
    choose(hand, dock, 1)
    hand.drag(liver + [30, -40, 0], liver + [40, -30, 0])
    choose(hand, dock, 2)
    hand.drag(liver, liver + [10, 0, 0])


def strokes_of(dock):
    """How many painted voxels the session has."""
    strokes = dock.session.scan.strokes.now
    return 0 if strokes is None else len(strokes)
