"""The task of the clicked structure, on features that are known."""

import numpy as np
import pytest

from coralbay_core.evaluate.cases import Case, make_case
from coralbay_core.evaluate.methods import Method
from coralbay_core.evaluate.tasks import Setting
from coralbay_core.evaluate.tasks.structure import (
    LARGEST,
    MOST_STRUCTURES,
    chosen_structures,
    clicked_structure,
    next_click,
)
from coralbay_core.spatial import Volume
from tests.support.made_features import GRID, made_features, tissue_map


@pytest.fixture(scope="module")
def case() -> Case:
    kinds = tissue_map()
    data = np.choose(kinds, (40, 120, 90, 60)).astype(np.int16)
    data[:, :4] = -1000
    return make_case("made", Volume(data, GRID, "made"), kinds, {1: "liver", 2: "spleen", 3: "aorta"})


def test_records_of_known_features(case):
    method = Method("made", lambda volume, keep: made_features())
    records = list(clicked_structure(Setting(method, [case])))
    assert [record.keys["structure"] for record in records] == ["aorta", "liver", "spleen"]
    for record in records:
        assert len(record.values["ap"]) == 3
        assert min(record.values["ap"]) > 0.8
        assert record.values["dice_1"] > 0.6
        assert record.values["dice_5"] >= record.values["dice_1"] - 0.1
        assert record.values["dice_largest"] == record.values["dice_1"]


def test_corrections_go_to_the_largest_error(case):
    wanted = np.zeros(case.lattice.shape, bool)
    wanted[10:19, 10:19, 10:19] = True
    missed, spilled = wanted.copy(), wanted.copy()
    missed[12:17, 12:17, 12:17] = False
    missed[30:32, 30:32, 20:22] = True
    spilled[30:39, 20:29, 20:29] = True
    position, positive = next_click(missed, wanted, case)
    assert positive
    np.testing.assert_allclose(case.lattice.to_index(position), (14, 14, 14), atol=1e-6)
    position, positive = next_click(spilled, wanted, case)
    assert not positive
    np.testing.assert_allclose(case.lattice.to_index(position), (34, 24, 24), atol=1e-6)
    assert next_click(wanted, wanted, case) is None


def test_structures_of_a_crowded_scan_are_bounded_and_seeded():
    labels = np.zeros(GRID.shape, np.int16)
    for value in range(1, 31):
        z, y = divmod(value - 1, 6)
        labels[z * 18 : z * 18 + 12 + value // 6, 8 + y * 12 : 18 + y * 12, 10:40] = value
    data = np.full(GRID.shape, 40, np.int16)
    data[:, :4] = -1000
    crowded = make_case("crowded", Volume(data, GRID, "crowded"), labels, {v: f"part_{v}" for v in range(1, 31)})
    chosen = chosen_structures(crowded, 0)
    assert len(chosen) == MOST_STRUCTURES
    assert chosen == chosen_structures(crowded, 0) != chosen_structures(crowded, 1)
    sizes = sorted((int(crowded.mask(name).sum()) for name in crowded.structures), reverse=True)
    assert sum(crowded.mask(name).sum() >= sizes[LARGEST - 1] for name in chosen) >= LARGEST
