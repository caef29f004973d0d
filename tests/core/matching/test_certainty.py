"""Words for the confidence of an aligned place."""

import numpy as np
import pytest

from coralbay_core.matching import Alignment, aligned_match, deform
from coralbay_core.matching.certainty import GRADES, place_in_words
from tests.support.warped_features import GRID, shown_twice


@pytest.mark.parametrize(
    ("confidence", "word"), [(1, "reliable"), (0.6, "reliable"), (0.59, "to be checked"), (0, "not in this scan")]
)
def test_grades_of_a_place(confidence, word):
    assert place_in_words(confidence) == word
    assert [least for least, _ in GRADES] == sorted((least for least, _ in GRADES), reverse=True)


def test_a_place_that_the_other_scan_does_not_show_is_not_in_it():
    alignment = deform(*shown_twice(), prior=Alignment(np.eye(4), 100, 100, 1.0))
    assert aligned_match(alignment, GRID.center_mm).in_words.startswith("reliable (confidence 0.")
    assert aligned_match(alignment, GRID.center_mm + (0, 0, 500)).in_words == "not in this scan (confidence 0.00)"
