"""What evaluation is made of: layouts, clicks, changes, estimates."""

import json

import numpy as np
import pytest
from scipy import ndimage

from coralbay_core import load_encoder
from coralbay_core.errors import InputError, MissingFileError
from coralbay_core.evaluate import find_cases, open_cases, open_methods
from coralbay_core.evaluate.cases import interior, lattice_of, load_case, make_case
from coralbay_core.evaluate.methods import position_features, position_method
from coralbay_core.evaluate.pictures import place, plane
from coralbay_core.evaluate.records import Record
from coralbay_core.evaluate.run import check_tasks
from coralbay_core.evaluate.summary import Estimate, Measure, chance, compare, estimate, measures, summarize
from coralbay_core.evaluate.tables import HEADLINE, make_table, markdown, reading, sections
from coralbay_core.evaluate.tasks import TASKS, Setting
from coralbay_core.evaluate.tasks.changes import CHANGES, TOGETHER
from coralbay_core.evaluate.tasks.fewshot import BACKGROUND, draw_clicks, draw_strokes, probed_structures, truth_of
from coralbay_core.io import save_map
from coralbay_core.spatial import Grid, Volume, geometry

SPL = np.array([[0, 0, -1, 0], [0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1.0]])


def grid_of(shape, spacing=1.5, origin=(60.0, 50.0, -40.0)) -> Grid:
    return Grid(shape, geometry.translate(origin) @ SPL @ geometry.scale(spacing))


@pytest.fixture(scope="module")
def case():
    """Two bones and an organ in a body of muscle."""
    grid = grid_of((64, 64, 64))
    data = np.full(grid.shape, -1000, np.int16)
    data[:, 4:60, 4:60] = 40
    labels = np.zeros(grid.shape, np.uint8)
    labels[8:24, 20:40, 10:20], labels[8:24, 20:40, 44:54], labels[34:58, 16:48, 16:48] = 1, 2, 3
    data[labels == 1], data[labels == 2], data[labels == 3] = 600, 600, 120
    noise = np.random.default_rng(0).normal(0, 10, grid.shape)
    volume = Volume((data + noise).astype(np.int16), grid, "box")
    return make_case("box", volume, labels, {1: "Bone R", 2: "left bone", 3: "organ", 4: "GTV-1"})


# --- cases and clicks ---------------------------------------------------------------------------------------------


def test_lattice_takes_every_other_voxel():
    grid = grid_of((65, 40, 41))
    lattice, taken = lattice_of(grid)
    data = np.random.default_rng(0).random(grid.shape)
    assert data[taken].shape == lattice.shape == (33, 20, 21)
    index = np.array([5, 7, 9])
    assert data[taken][tuple(index)] == data[tuple(np.rint(grid.to_index(lattice.to_world(index))).astype(int))]
    thick, _ = lattice_of(grid_of((20, 60, 60), (5.0, 0.7, 0.7)))
    assert thick.shape == (20, 15, 15)


def test_case_names_and_masks(case):
    assert case.structures == ("bone_left", "bone_right", "organ")
    assert case.lesions == ("GTV-1",)
    assert case.mask("organ").sum() == 12 * 16 * 16
    assert not case.mask("liver").any()


def test_depth_counts_the_edge_of_the_image():
    index, depth = interior(np.ones((5, 5, 5), bool), np.ones(3))
    assert depth[np.all(index == 2, axis=1)] == 3
    assert depth.min() == 1


@pytest.mark.parametrize("count", [1, 5, 20, 5000])
def test_clicks_lie_inside_and_are_the_same_each_time(case, count):
    clicks = case.clicks("organ", count)
    assert clicks.shape == (count, 3)
    np.testing.assert_array_equal(clicks, case.clicks("organ", count))
    assert count == 1 or not np.array_equal(clicks, case.clicks("organ", count, seed=1))
    index = tuple(np.rint(case.lattice.to_index(clicks)).astype(int).T)
    mask = case.mask("organ")
    assert mask[index].all()
    depth = ndimage.distance_transform_edt(mask)
    assert depth[index][0] == depth.max()
    assert depth[index].min() >= np.median(depth[mask])


def test_strokes_and_clicks_are_painted_where_they_belong(case):
    names = probed_structures(case, [case])
    assert names[0] == "organ"  # the largest
    truth = truth_of(case, names)
    for drawn in (draw_strokes(case, names), draw_clicks(case, names, 5, 0)):
        painted = drawn > 0
        assert set(np.unique(drawn)) == {0, BACKGROUND, 2, 3, 4}
        np.testing.assert_array_equal(drawn[painted], truth[painted])
        assert case.body[painted].all()
    assert len(np.unique(np.argwhere(draw_strokes(case, names) == 2)[:, 0])) == 3


def test_position_is_near_where_it_is_near(case):
    """The cosine of two places falls with their distance, over the length of a body."""
    method = position_method()
    features = method.describe(case.volume)
    assert features.fingerprint == position_features(case.volume).fingerprint
    heat = method.heat(features, case.lattice.to_world((16, 16, 8)))
    along = heat.at(case.lattice.to_world([(16, 16, x) for x in (8, 12, 16, 20, 24)]))
    assert (np.diff(along) < 0).all()


# --- changes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [*CHANGES, TOGETHER], ids=lambda change: change.name)
def test_changes_say_where_things_went(change):
    """A bright ball is found in the changed copy where the affine says."""
    grid = grid_of((60, 60, 60))
    center = np.array([34, 26, 36])
    away = np.linalg.norm(np.moveaxis(np.indices(grid.shape), 0, -1) - center, axis=-1)
    volume = Volume(np.where(away < 8, 1200, 0).astype(np.int16), grid)
    copy, there = change.apply(volume, np.random.default_rng(0))
    bright = np.argwhere(copy.data > copy.data.max() / 2 if "lung" not in change.name else copy.data > 100)
    found = copy.grid.to_world(bright.mean(0))
    expected = geometry.apply(there, grid.to_world(center))
    assert np.linalg.norm(found - expected) < 1.5
    assert copy.data.dtype == np.int16


# --- layouts ------------------------------------------------------------------------------------------------------


def write(path, data, grid):
    save_map(path, data, Volume(np.zeros(grid.shape, np.int16), grid))


def small_scan(values, grid):
    """A body with a block for each label value."""
    labels = np.zeros(grid.shape, np.uint8)
    for number, value in enumerate(values):
        labels[4:44, 4:24, 2 + 10 * number : 10 + 10 * number] = value
    return np.where(labels > 0, 200, 30).astype(np.int16), labels


@pytest.fixture
def layouts(tmp_path):
    """One scan in each layout: folder by name, and what the structures are called."""
    grid = grid_of((48, 48, 48))
    ct, labels = small_scan([1, 2, 4], grid)
    root = tmp_path / "folders"
    write(root / "a" / "ct.nii.gz", ct, grid)
    write(root / "a" / "labels.nii.gz", labels, grid)
    (root / "a" / "labels.json").write_text('{"1": "Lung R", "2": "Heart", "4": "GTV-1", "0": "background"}')
    root = tmp_path / "totalsegmentator" / "s0001"
    write(root / "ct.nii.gz", ct, grid)
    for name, value in (("liver", 1), ("spleen", 2), ("vertebrae_L1", 4), ("aorta", 9)):
        write(root / "segmentations" / f"{name}.nii.gz", (labels == value).astype(np.uint8), grid)
    root = tmp_path / "btcv" / "averaged-training"
    write(root / "img" / "img0001.nii.gz", ct, grid)
    write(root / "label" / "label0001.nii.gz", labels, grid)
    root = tmp_path / "amos"
    for number in ("0001", "0600"):  # the second one is an MR image
        write(root / "imagesTr" / f"amos_{number}.nii.gz", ct, grid)
        write(root / "labelsTr" / f"amos_{number}.nii.gz", labels, grid)
    (root / "dataset.json").write_text('{"labels": {"1": "wrong"}}')
    root = tmp_path / "msd"
    write(root / "imagesTr" / "liver_1.nii.gz", ct, grid)
    write(root / "labelsTr" / "liver_1.nii.gz", labels, grid)
    (root / "dataset.json").write_text('{"labels": {"0": "background", "1": "liver", "2": "liver tumour"}}')
    return tmp_path


@pytest.mark.parametrize("explicit", [False, True])
@pytest.mark.parametrize(
    ("layout", "name", "structures"),
    [
        ("folders", "a", ("heart", "lung_right")),
        ("totalsegmentator", "s0001", ("liver", "spleen", "vertebrae_l1")),
        ("btcv", "img0001", ("gallbladder", "kidney_right", "spleen")),
        ("amos", "amos_0001", ("gallbladder", "kidney_right", "spleen")),
        ("msd", "liver_1", ("liver",)),
    ],
)
def test_layouts(layouts, layout, name, structures, explicit):
    (files,) = find_cases(layouts / layout, layout if explicit else "auto")
    assert files.name == name
    assert load_case(files).structures == structures


def test_folders_without_scans_say_what_is_expected(tmp_path, layouts):
    with pytest.raises(MissingFileError, match="no such folder"):
        find_cases(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no labeled scans.*labels.json"):
        find_cases(tmp_path / "empty")
    with pytest.raises(InputError, match="unknown layout"):
        find_cases(layouts / "msd", "cityscapes")
    (layouts / "folders" / "a" / "labels.json").write_text("[1, 2]")
    with pytest.raises(InputError, match="unreadable names"):
        find_cases(layouts / "folders")
    with pytest.raises(InputError, match="scans have the same name"):
        open_cases([layouts / "btcv", layouts / "btcv"], phantom=False)


# --- estimates and tables -----------------------------------------------------------------------------------------


def retrieval(method, domain, structure, ap):
    values = {"ap": ap, "precision_at_size": ap, "prevalence": 0.01}
    return Record("retrieval", method, domain, {"case": "a", "structure": structure}, values)


def test_estimates_group_values_and_never_mix_domains():
    records = [
        retrieval("net", "real", "liver", [0.2, 0.4]),
        retrieval("net", "real", "spleen", [0.6, None, float("nan")]),
        retrieval("net", "phantom", "liver", [1.0]),
    ]
    summary = summarize(records)
    made = summary["real"]["net"]["retrieval_ap"]
    assert made.value == pytest.approx(0.4)
    assert (made.groups, made.values) == (2, 3)
    assert summary["phantom"]["net"]["retrieval_ap"].value == 1
    assert chance(records, "real")["retrieval_ap"] == pytest.approx(0.01)
    measure = Measure("x", "x", "retrieval", "ap", only=(("structure", "spleen"),))
    assert estimate(measure, records[:2]).values == 1
    assert estimate(Measure("x", "x", "other", "ap"), records) is None


def test_records_are_json_that_any_reader_takes():
    line = retrieval("net", "real", "liver", np.array([0.25, np.nan])).as_line()
    assert json.loads(line)["values"]["ap"] == [0.25, None]


def test_tables_keep_domains_apart_and_mark_the_best():
    summary = {
        "real": {
            "net": {"retrieval_ap": Estimate(0.2, 0.1, 0.3, 4, 20), "copy_mm": Estimate(5, 4, 6, 4, 20)},
            "box": {"retrieval_ap": Estimate(0.5, 0.4, 0.6, 4, 20), "copy_mm": Estimate(20, 18, 22, 4, 20)},
        },
        "phantom": {"net": {"retrieval_ap": Estimate(0.9, 0.8, 1.0, 2, 10)}},
    }
    table = make_table(HEADLINE, summary, {"real": {"retrieval_ap": 0.01}})
    assert table.columns[0].endswith("(real)")
    assert table.columns[1].endswith("(phantom)")
    text = markdown(table)
    assert "| box | **0.500** (0.400..0.600) | - |" in text
    assert "**5.0** (4.0..6.0)" in text
    assert "| (chance) | 0.010 |" in text
    apart = {
        "retrieval_ap": {"box": Estimate(-0.3, -0.4, -0.2, 4, 20)},
        "copy_mm": {"box": Estimate(-15, -17, 1, 4, 20)},
    }
    assert list(reading(summary, {"real": {"net": apart}})) == [
        "net, click retrieval, mAP, real: 0.200, worse than box (0.500).",
        "net, changed copy, error, real: 5.0 mm, not told apart from box (20.0).",
    ]


def test_methods_are_compared_on_the_same_structures():
    """Structures differ by much more than the methods do, which a paired interval sees through."""
    rng = np.random.default_rng(0)
    names = [f"s{i}" for i in range(20)]
    levels = rng.random(20)
    records = [retrieval("net", "real", name, [level, level + 0.01]) for name, level in zip(names, levels, strict=True)]
    records += [retrieval("box", "real", name, [level + 0.05]) for name, level in zip(names, levels, strict=True)]
    made = compare(records, ["net"], ["box"], ["retrieval_ap"])["real"]["net"]["retrieval_ap"]["box"]
    assert made.value == pytest.approx(-0.045)
    assert made.low == pytest.approx(-0.045)
    assert made.high < 0
    own = summarize(records)["real"]["net"]["retrieval_ap"]
    assert own.high - own.low > 0.1


def test_every_column_is_a_measure_and_every_measure_has_a_name_of_its_own():
    keys = [measure.key for measure in measures()]
    assert len(keys) == len(set(keys))
    assert {key for section in sections() for key in section.keys} <= set(keys)


def test_planes_are_shown_the_way_radiologists_see_them():
    """A voxel on the patient's left, front and top is on the right, up and up."""
    data = np.zeros((10, 20, 30))
    index = (8, 3, 25)
    data[index] = 1
    for name, right, up in (("axial", True, True), ("coronal", True, True), ("sagittal", False, True)):
        shown = plane(data, index, name)
        column, row = place(index, data.shape, name)
        assert shown[row, column] == 1
        assert (column > shown.shape[1] / 2) == right
        assert (row < shown.shape[0] / 2) == up


# --- methods and tasks --------------------------------------------------------------------------------------------


def test_baselines_always_run():
    methods = open_methods([], device="cpu")
    assert [method.name for method in methods] == [
        "coralbay-mini",
        "random",
        "hu-context",
        "hu-patch",
        "position",
        "hu-patch + position",
    ]
    assert [method.is_baseline for method in methods] == [False] + [True] * 5
    asked = open_methods(["hu-context", "random"], device="cpu")
    assert [method.name for method in asked][:2] == ["hu-context", "random"]
    assert len({method.name for method in asked}) == len(asked) == 5
    # Same architecture, tiling and precision as the model that it is compared with.
    assert {k: v for k, v in methods[1].about.items() if k != "fingerprint"} == {
        k: v for k, v in methods[0].about.items() if k != "fingerprint"
    }


def test_tasks_by_name():
    assert check_tasks(None) == list(TASKS)
    assert check_tasks(["regions", "retrieval"]) == ["retrieval", "regions"]
    with pytest.raises(InputError, match="unknown tasks - --tasks - found color"):
        check_tasks(["retrieval", "color"])


@pytest.fixture(scope="module")
def setting(case):
    """The box and a mirrored patient with the same structures, under HU statistics and position."""
    data, labels = (np.ascontiguousarray(a[..., ::-1]) for a in (case.volume.data, _labels(case)))
    other = make_case("other", Volume(data, case.volume.grid, "other"), labels, {1: "bone l", 2: "bone r", 3: "organ"})
    (method,) = [m for m in open_methods(["hu-patch"], device="cpu") if m.name == "hu-patch + position"]
    return Setting(method, [case, other])


def _labels(case):
    return case.labels.repeat(2, 0).repeat(2, 1).repeat(2, 2)


@pytest.mark.forward
@pytest.mark.parametrize("task", list(TASKS))
def test_tasks_measure_and_are_repeatable(setting, task):
    records = list(TASKS[task](setting))
    assert records
    assert [r.as_line() for r in records] == [r.as_line() for r in TASKS[task](setting)]
    assert {r.domain for r in records} == {"real"}
    found = summarize(records)["real"][setting.method.name]
    assert found
    for key, made in found.items():
        assert np.isfinite(made.value), key


@pytest.mark.forward
def test_a_match_that_returns_is_confirmed(setting):
    records = [r for r in TASKS["across"](setting) if r.task == "across"]
    assert {r.keys["pair"] for r in records} == {"alike"}
    for record in records:
        values = record.values
        assert values["confirmed"] == [back <= 24 for back in values["return_mm"]]
        assert len(values["confirmed_hit"]) == sum(values["confirmed"])
        assert all((distance == 0) == hit for distance, hit in zip(values["distance_mm"], values["hit"], strict=True))
    organ = [r for r in records if r.keys["structure"] == "organ"]
    assert np.mean([r.values["hit"] for r in organ]) > 0.9


@pytest.mark.forward
def test_the_scan_itself_is_found_again(case):
    """Noise hardly moves what HU statistics over 48 mm find."""
    (method,) = open_methods(["hu-context"], device="cpu", baselines=False)
    records = [r for r in TASKS["changes"](Setting(method, [case])) if r.keys["change"] == "noise 40 HU"]
    assert records
    assert np.median(records[0].values["error_mm"]) < 12
    assert np.mean(records[0].values["rank_correlation"]) > 0.95
    assert records[0].values["cosine_4"] > 0.9


def test_hu_context_has_an_encoder_of_the_same_name():
    assert load_encoder("hu-context", device="cpu").name == "hu-context"
