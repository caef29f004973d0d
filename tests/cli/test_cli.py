"""The command line as users and scripts meet it."""

import json
import subprocess
import sys
from importlib.metadata import EntryPoint

import nibabel as nib
import numpy as np
import pytest
import typer

from coralbay_core.cli import main, plugins
from coralbay_core.cli.output import Progress, start_logging
from coralbay_core.extraction.cache import open_features
from coralbay_core.io import load_labels, load_volume, save_map
from coralbay_core.spatial import Grid, Volume, geometry
from tests.support.dicom import write_rtstruct, write_series

pytestmark = pytest.mark.forward

# --- info, phantom, models ----------------------------------------------------------------------------------------


def test_info_of_a_dicom_folder(coralbay, succeed, tmp_path):
    write_series(tmp_path / "s", np.random.default_rng(0).integers(-1000, 1000, (5, 6, 7)), Modality="PT")
    write_rtstruct(tmp_path / "s" / "rs.dcm")
    told = succeed("info", tmp_path / "s")
    assert told["command"] == "info"
    assert set(told) == {"command", "inputs", "outputs", "results"}
    results = told["results"]
    assert results["shape"] == [5, 6, 7]
    assert results["file_shape"] == [7, 6, 5]
    assert results["file_orientation"] == "LPS"
    assert results["modality"] == "PT"
    np.testing.assert_allclose(results["spacing_mm"], (3, 0.8, 0.7))
    np.testing.assert_allclose(results["affine"], load_volume(tmp_path / "s").affine)
    code, out, err = coralbay("info", tmp_path / "s")
    assert (code, err) == (0, "")
    for text in ("5 x 6 x 7", "3 x 0.8 x 0.7 mm", "warning", "RTSTRUCT", "modality is PT", "S -31.5..-16.5"):
        assert text in out


def test_phantom_writes_what_the_readers_read(succeed, tmp_path):
    told = succeed("phantom", "-o", tmp_path / "new", "--seed", 3, "--spacing", 6)
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == sorted(
        ["ct.nii.gz", "labels.nii.gz", "labels.json", "landmarks.json"]
    )
    volume = load_volume(told["outputs"]["ct"])
    assert volume.notes == ()
    labels = load_labels(told["outputs"]["labels"], like=volume)
    assert "liver" in labels.names.values()
    assert set(np.unique(labels.data)) - {0} <= set(labels.names)
    landmarks = json.loads((tmp_path / "new" / "landmarks.json").read_text())
    assert len(landmarks) > 20
    for position in landmarks.values():
        volume.grid.require_inside(position)


def test_models(coralbay, succeed):
    told = succeed("models", "list")["results"]
    assert told["default"] in [model["name"] for model in told["models"]]
    shown = succeed("models", "show", told["default"])["results"]
    assert shown["preprocessing"]["spacing_mm"] == 1.5
    assert told["default"] in coralbay("models", "list")[1]
    assert "architecture" in coralbay("models", "show", told["default"])[1]


# --- query --------------------------------------------------------------------------------------------------------


def test_query_writes_a_heat_map_on_the_grid_of_the_ct(coralbay, succeed, scan, click, tmp_path):
    told = succeed("query", scan / "ct.nii.gz", "--at", click, "-o", tmp_path / "heat.nii.gz", "--top", 4)
    source, image = nib.load(scan / "ct.nii.gz"), nib.load(tmp_path / "heat.nii.gz")
    assert image.shape == source.shape
    np.testing.assert_array_equal(image.affine, source.affine)
    assert image.get_data_dtype() == np.float32
    heat = image.get_fdata(dtype=np.float32)
    assert np.isfinite(heat).all()
    low, high = told["results"]["score_range"]
    assert low - 1e-5 <= heat.min() < heat.max() <= high + 1e-5

    top = told["results"]["top"]
    assert 1 <= len(top) <= 4
    assert all(set(entry) == {"position_mm", "score", "size_ml"} for entry in top)
    assert [entry["score"] for entry in top] == sorted((entry["score"] for entry in top), reverse=True)
    clicked = np.array([float(v) for v in click.split(",")])
    assert np.linalg.norm(np.array(top[0]["position_mm"]) - clicked) < 10
    assert told["results"]["score_at"][0] > np.percentile(heat, 99)
    assert told["inputs"]["at_mm"] == [clicked.tolist()]

    # The second time features come from disk: nothing is counted any more. Both spellings of the option are one.
    code, out, err = coralbay("query", scan / "ct.nii.gz", f"--at={click}", "--top", 4)
    assert (code, err) == (0, "")
    assert f"{top[0]['score']:.3f}" in out


def test_positions_that_start_with_a_minus(coralbay, scan, click):
    point = "-12.5," + click.split(",", 1)[1]
    spaced = coralbay("query", scan / "ct.nii.gz", "--at", point, "--json")
    joined = coralbay("query", scan / "ct.nii.gz", f"--at={point}", "--json")
    assert spaced[0] == 0
    assert spaced[1] == joined[1]


def test_query_with_a_counter_example(succeed, scan, click, tmp_path):
    succeed("query", scan / "ct.nii.gz", "--at", click, "-o", tmp_path / "plain.nii.gz")
    plain = load_volume(tmp_path / "plain.nii.gz")
    index = np.unravel_index(np.argsort(plain.data, axis=None)[int(0.97 * plain.data.size)], plain.shape)
    assert plain.data[index] > 0
    counter = "--not=" + ",".join(f"{v:.1f}" for v in plain.grid.to_world(index))
    succeed("query", scan / "ct.nii.gz", "--at", click, counter, "-o", tmp_path / "against.nii.gz")
    assert load_volume(tmp_path / "against.nii.gz").data[index] < plain.data[index]


def test_query_in_another_ct(succeed, scan, click, tmp_path):
    volume = load_volume(scan / "ct.nii.gz")
    other = Volume(volume.data[4:], Grid((36, 32, 40), geometry.translate((100, 0, 0)) @ volume.affine))
    save_map(tmp_path / "other.nii.gz", other.data, other)
    outputs = succeed(
        "query", scan / "ct.nii.gz", "--at", click, "--in", tmp_path / "other.nii.gz", "-o", tmp_path / "heat.nii"
    )["outputs"]
    assert nib.load(outputs["heat"]).shape == (40, 32, 36)
    np.testing.assert_array_equal(nib.load(outputs["heat"]).affine, nib.load(tmp_path / "other.nii.gz").affine)


# --- project, probe, embed ----------------------------------------------------------------------------------------


def test_project_writes_colors_and_a_picture(succeed, scan, tmp_path):
    image_module = pytest.importorskip("matplotlib.image")
    told = succeed("project", scan / "ct.nii.gz", "-o", tmp_path / "rgb.nii.gz", "--png", tmp_path / "new" / "o.png")
    image = nib.load(tmp_path / "rgb.nii.gz")
    assert image.header["datatype"] == 128
    assert image.shape == nib.load(scan / "ct.nii.gz").shape
    assert len(told["results"]["explained"]) == 3
    picture = image_module.imread(told["outputs"]["png"])
    # 80 x 64 x 80 model voxels: axial 64 high, the others 80, twice with a gap; 80 + 80 + 64 wide.
    assert picture.shape == (80 * 2 + 6, 80 + 80 + 64 + 12, 3)
    upper, lower = picture[:64, :80], picture[70:134, :80]
    assert np.ptp(upper, axis=-1).max() == 0  # the CT is gray
    assert np.ptp(lower, axis=-1).max() > 0.2  # the features are not


@pytest.mark.parametrize("kind", ["ridge", "prototype"])
def test_probe_keeps_the_painted_values(succeed, scan, tmp_path, kind):
    probe = tmp_path / "new" / "probe.safetensors"
    fitted = succeed(
        "probe", "fit", scan / "ct.nii.gz", "--labels", scan / "strokes.nii.gz", "-o", probe, "--kind", kind
    )
    assert fitted["results"]["values"] == [3, 7]
    assert fitted["results"]["names"] == {"3": "bone", "7": "muscle"}
    outputs = ("-o", tmp_path / "seg.nii.gz", "--probability", tmp_path / "p.nii.gz")
    applied = succeed("probe", "apply", probe, scan / "ct.nii.gz", *outputs)
    segmentation = nib.load(tmp_path / "seg.nii.gz")
    assert segmentation.shape == nib.load(scan / "ct.nii.gz").shape
    values = np.asarray(segmentation.dataobj)
    assert np.issubdtype(values.dtype, np.integer)
    assert set(np.unique(values)) <= {0, 3, 7}
    strokes = np.asarray(nib.load(scan / "strokes.nii.gz").dataobj)
    painted = strokes > 0
    assert (values[painted] == strokes[painted]).mean() > 0.85
    probability = nib.load(tmp_path / "p.nii.gz").get_fdata()
    assert 0 <= probability.min() <= probability.max() <= 1
    assert {entry["name"] for entry in applied["results"]["classes"]} == {"bone", "muscle"}


def test_embed_writes_a_folder_of_scans(succeed, scan, tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    content = (scan / "ct.nii.gz").read_bytes()
    for name in ("a.nii.gz", "deep/a.nii.gz"):
        (tmp_path / "in" / name).write_bytes(content)
    told = succeed("embed", tmp_path / "in", "-o", tmp_path / "out", "--stages", "8,16")["results"]["scans"]
    assert [entry["name"] for entry in told] == ["a", "deep--a"]
    features = open_features(tmp_path / "out" / "deep--a")
    assert features.strides == (8, 16)
    assert list(features.stages[8].data.shape) == told[1]["stages"]["8"]["shape"]
    assert features.grid.contains(load_volume(scan / "ct.nii.gz").grid.to_world((5, 5, 5)))


@pytest.mark.slow
def test_embed_with_two_jobs(coralbay, succeed, scan, tmp_path):
    pytest.importorskip("distributed")
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.nii.gz").write_bytes((scan / "ct.nii.gz").read_bytes())
    told = succeed("embed", folder, "-o", tmp_path / "out", "--stages", "16", "--jobs", 2)["results"]["scans"]
    assert [entry["name"] for entry in told] == ["a", "b"]
    alone = succeed("embed", scan / "ct.nii.gz", "-o", tmp_path / "alone", "--stages", "16")["results"]["scans"]
    spread, single = open_features(tmp_path / "out" / "b"), open_features(tmp_path / "alone" / "ct")
    assert alone[0]["stages"] == told[0]["stages"]
    np.testing.assert_allclose(spread.stages[16].data, single.stages[16].data, atol=0.05)
    # One that cannot be read costs nothing but itself.
    (folder / "broken.nii.gz").write_bytes(b"nothing")
    code, _, err = coralbay("embed", folder, "-o", tmp_path / "out", "--stages", "16", "--jobs", 2)
    assert code == 1
    assert "features of 1 of 3 scans could not be computed - found broken" in err.splitlines()[-1]


def test_cache_commands(coralbay, succeed, scan, click, monkeypatch, tmp_path):
    monkeypatch.setenv("CORALBAY_CACHE", str(tmp_path))
    assert "the cache is empty" in coralbay("cache", "list")[1]
    succeed("embed", scan / "ct.nii.gz", "--stages", "16", "--model", "hu-patch", "--first", click)
    (entry,) = succeed("cache", "list")["results"]["entries"]
    assert (entry["model"], entry["strides"]) == ("hu-patch", [16])
    assert "hu-patch" in coralbay("cache", "list")[1]
    assert succeed("cache", "info")["results"]["bytes"] == entry["bytes"]
    assert succeed("cache", "verify")["results"]["damaged"] == 0
    assert "no cached features of this model" in coralbay("cache", "clear", "--model", "random", "--yes")[2]
    assert succeed("cache", "clear", "--yes")["results"]["removed"] == 1
    assert succeed("cache", "list")["results"]["entries"] == []


def test_embed_of_a_region(succeed, scan, click, tmp_path):
    told = succeed("embed", scan / "ct.nii.gz", "-o", tmp_path, "--stages", "4", "--roi", f"{click},{click}")
    shape = told["results"]["scans"][0]["stages"]["4"]["shape"]
    assert max(shape[1:]) <= 8


# --- bad input ----------------------------------------------------------------------------------------------------

AT = ["--at", "0,0,0"]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["bogus"], "No such command 'bogus'"),
        (["info"], "Missing argument"),
        (["info", "{scan}/ct.nii.gz", "--bogus"], "No such option"),
        (["models"], "Missing command"),
        (["models", "show", "bogus"], "unknown model"),
        (["info", "{scan}/nothing.nii.gz"], "no such file or folder - {scan}/nothing.nii.gz"),
        (["info", "{scan}/strokes.json"], "neither NIfTI nor DICOM"),
        (["info", "{scan}/truncated.nii.gz"], "truncated or damaged"),
        (["phantom", "-o", "{scan}/ct.nii.gz"], "not a folder"),
        (["phantom", "-o", "{tmp}", "--spacing", "0"], "--spacing"),
        (["query", "{scan}/ct.nii.gz"], "--at"),
        (["query", "{scan}/ct.nii.gz", "--at", "1,2"], "found 1,2 vs expected 3 numbers in mm"),
        (["query", "{scan}/ct.nii.gz", "--at", "1,nan,3"], "not a position"),
        (
            ["query", "{scan}/ct.nii.gz", "--at", "9999,0,0"],
            "point outside the volume - --at - found 9999, 0, 0 vs expected mm within R",
        ),
        (["query", "{scan}/ct.nii.gz", *AT, "-o", "{tmp}/heat.png"], "not the name of a map"),
        (["query", "{scan}/ct.nii.gz", *AT, "-o", "{scan}/ct.nii.gz"], "would overwrite the input"),
        (["query", "{scan}/ct.nii.gz", *AT, "--stages", "4,x"], "not a list of strides - --stages"),
        (["query", "{scan}/ct.nii.gz", "--at", "{click}", "--stages", "5"], "unknown stages"),
        (["query", "{scan}/ct.nii.gz", "--at", "{click}", "--model", "bogus"], "unknown model"),
        (["query", "{scan}/ct.nii.gz", "--at", "{click}", "--device", "bogus"], "unknown device"),
        (["query", "{scan}/ct.nii.gz", *AT, "--series", "1.2"], "no series"),
        (["project", "{scan}/ct.nii.gz"], "no output file"),
        (["project", "{scan}/ct.nii.gz", "--components", "1,2", "-o", "{tmp}/x.nii"], "not a list of components"),
        (["project", "{scan}/ct.nii.gz", "--components", "0,1,2", "-o", "{tmp}/x.nii"], "not a list of components"),
        (
            ["project", "{scan}/ct.nii.gz", "--clusters", "4", "-o", "{tmp}/x.nii"],
            "--clusters and --labels belong together",
        ),
        (["project", "{scan}/ct.nii.gz", "--save-basis", "{tmp}/b.npz"], "not a basis name"),
        (["project", "{scan}/ct.nii.gz", "--basis", "{tmp}/b.safetensors", "-o", "{tmp}/x.nii"], "no such basis"),
        (["project", "{scan}/ct.nii.gz", "--scatter", "{tmp}/x.txt"], "not a table name"),
        (["project", "{scan}/ct.nii.gz", "--method", "tsne", "-o", "{tmp}/x.nii"], "--method"),
        (["project", "{scan}/ct.nii.gz", "--png", "{tmp}/x.jpg"], "not a picture name"),
        (["embed", "{scan}/ct.nii.gz", "--roi", "900,900,900,950,950,950"], "region lies outside the volume"),
        (["embed", "{scan}/ct.nii.gz", "--first", "900,900,900"], "point outside the volume - --first"),
        (["embed", "{scan}/ct.nii.gz", "--memory", "0"], "unusable memory budget"),
        (["embed", "{scan}/ct.nii.gz", "--memory", "0.001", "--stages", "2"], "not enough memory for one tile"),
        (["embed", "{scan}/ct.nii.gz", "--jobs", "2", "--roi", "1,2,3,4,5,6"], "option works on a single scan only"),
        (["embed", "{scan}/ct.nii.gz", "--model", "hu-patch:compact"], "no compact form of this model"),
        (["embed", "{scan}/ct.nii.gz", "--roi", "1,2,3", "-o", "{tmp}"], "6 numbers in mm"),
        (["probe", "fit", "{scan}/ct.nii.gz", "--labels", "{scan}/ct.nii.gz", "-o", "{tmp}/p.bin"], "not a probe name"),
        (["probe", "apply", "{scan}/ct.nii.gz", "{scan}/ct.nii.gz", "-o", "{tmp}/s.nii.gz"], "not a probe"),
        (
            ["probe", "fit", "{scan}/ct.nii.gz", "{scan}/ct.nii.gz", "--labels", "{scan}/strokes.nii.gz"]
            + ["-o", "{tmp}/p.safetensors"],
            "numbers of CTs and label maps differ - found 1 label maps for 2 CTs",
        ),
        (["probe", "suggest", "{tmp}/none.safetensors", "{scan}/ct.nii.gz", "--skip", "1,2"], "not a position"),
        (["probe", "stats", "{scan}/strokes.nii.gz", "--csv", "{tmp}/t.txt"], "not a table name"),
        (["probe", "stats", "{scan}/nothing.nii.gz"], "no such file"),
        (["probe", "apply", "{tmp}/none.safetensors", "{scan}/ct.nii.gz", "-o", "{tmp}/s.nii.gz"], "no such probe"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(coralbay, scan, click, tmp_path, arguments, match):
    truncated = scan / "truncated.nii.gz"
    if not truncated.exists():
        truncated.write_bytes((scan / "ct.nii.gz").read_bytes()[:-5000])
    filled = [a.format(scan=scan, tmp=tmp_path, click=click) for a in arguments]
    code, out, err = coralbay(*filled, *["--json"] * (len(filled) > 1))
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert match.format(scan=scan) in err
    assert not list(tmp_path.iterdir())


def test_several_series_name_the_option(coralbay, tmp_path):
    for name in "ab":
        write_series(tmp_path / name, np.zeros((4, 5, 6), int), SeriesDescription=name * 3)
    code, _, err = coralbay("info", tmp_path)
    assert code == 2
    assert all(word in err for word in ("--series", "aaa", "bbb"))


def test_a_process_exits_2_without_a_traceback(tmp_path):
    (tmp_path / "broken.nii.gz").write_bytes(b"\x1f\x8b broken")
    call = [sys.executable, "-c", "from coralbay_core.cli import main; main()", "info", str(tmp_path / "broken.nii.gz")]
    done = subprocess.run(call, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: truncated or damaged file")
    assert done.stderr.count("\n") == 1


def test_main_exits_with_the_code():
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (PermissionError(13, "Permission denied", "/secret"), 2, "error: Permission denied - /secret\n"),
        (MemoryError(), 1, "error: out of memory - the scan is too large for this machine\n"),
    ],
)
def test_what_the_system_says(coralbay, monkeypatch, error, code, line):
    def fail(*arguments, **keywords):
        raise error

    monkeypatch.setattr("coralbay_core.io.load_volume", fail)
    assert coralbay("info", "anything") == (code, "", line)


def test_help_lists_the_commands(coralbay):
    for arguments in ([], ["--help"], ["-h"]):
        code, out, _ = coralbay(*arguments)
        assert code == 0
        for command in ("info", "phantom", "models", "embed", "query", "project", "probe", "view", "demo"):
            assert f"\n  {command} " in out


# --- commands of other packages -----------------------------------------------------------------------------------


def register_good(app: typer.Typer) -> None:
    @app.command("good")
    def good(name: str) -> None:
        """Greet somebody."""
        typer.echo(f"hello {name}")


def register_nothing(app: typer.Typer) -> None:
    """Forget to add a command."""


@pytest.fixture
def plugged(monkeypatch):
    entries = [
        EntryPoint("good", f"{__name__}:register_good", plugins.GROUP),
        EntryPoint("absent", "no_such_package.commands:register", plugins.GROUP),
        EntryPoint("empty", f"{__name__}:register_nothing", plugins.GROUP),
        EntryPoint("info", f"{__name__}:register_nothing", plugins.GROUP),
    ]

    def entry_points(group, name=None):
        return [entry for entry in entries if entry.group == group and name in (None, entry.name)]

    monkeypatch.setattr(plugins, "entry_points", entry_points)


@pytest.mark.usefixtures("plugged")
def test_plugins_add_commands(coralbay):
    assert coralbay("good", "reef") == (0, "hello reef\n", "")
    help_text = coralbay("--help")[1]
    assert "Greet somebody." in help_text
    assert help_text.count("\n  info ") == 1


@pytest.mark.usefixtures("plugged")
@pytest.mark.parametrize(("name", "reason"), [("absent", "no_such_package"), ("empty", "KeyError")])
def test_a_broken_plugin_costs_its_own_command_only(coralbay, name, reason):
    code, out, err = coralbay(name, "--any", "thing")
    assert (code, out) == (1, "")
    assert err.startswith(f"error: command is not available - {name} - found")
    assert reason in err
    assert err.count("\n") == 1
    assert "Not available" in coralbay("--help")[1]


# --- progress -----------------------------------------------------------------------------------------------------


def test_progress_is_a_line_a_quarter_outside_a_terminal(capsys):
    start_logging()
    progress = Progress("features")
    for done in range(41):
        progress(done, 40)
    assert capsys.readouterr().err.splitlines() == [f"features: {n}/40" for n in (0, 10, 20, 30, 40)]
