"""Help, completion, verbosity, former names of options and exit codes."""

import io
import re
import sys

import pytest
import typer

from coralbay_core import errors
from coralbay_core.cli import app, run
from coralbay_core.cli.output import Progress, close_bars, note, start_logging
from coralbay_core.models.encoder import available_devices, resolve_device
from tests.support import ROOT


def walked(command, path=()):
    """All commands with their paths, groups first."""
    yield path, command
    context = typer.Context(command, info_name="coralbay")
    for name in command.list_commands(context) if hasattr(command, "list_commands") else ():
        yield from walked(command.get_command(context, name), (*path, name))


COMMANDS = dict(walked(typer.main.get_command(app)))


# --- help ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_is_complete(coralbay, path):
    code, text, err = coralbay(*path, "--help")
    assert (code, err) == (0, "")
    assert not re.search(r"\.\.\.$", text.partition("\n\n")[2], re.MULTILINE), "a summary is cut"
    assert not re.search(r"<\w", text), "a Python type"
    assert "--weights " not in text
    if len(path) != 1 or not hasattr(COMMANDS[path], "list_commands"):
        assert all(option in text for option in ("--verbose", "--quiet", "--help"))
    for param in COMMANDS[path].params:
        assert param.help, f"{path}: {param.name}"


def test_commands_are_listed_in_sections(coralbay):
    sections = coralbay("--help")[1].split("\n\n")
    titles = [section.partition(":")[0] for section in sections]
    assert titles.index("Scans") < titles.index("Search and comparison") < titles.index("Training")
    assert "\n  query " in sections[titles.index("Search and comparison")]
    assert "\n  view " in sections[titles.index("Scans")]
    assert "Commands" not in titles
    options = coralbay("query", "--help")[1]
    assert (
        options.index("\nOptions: what to find:") < options.index("\nModel options:") < options.index("\nGeneral opt")
    )


def test_the_reference_lists_every_command():
    page = (ROOT / "docs" / "reference" / "commands.md").read_text("utf-8").replace("\\|", "|")
    rows = re.findall(r"^\| `([\w-]+) ?([^` ]*)", page, re.MULTILINE)
    listed = {(name,) for name, _ in rows} | {(name, part) for name, parts in rows for part in parts.split("|")}
    leaves = {path for path, command in COMMANDS.items() if not hasattr(command, "list_commands")}
    assert leaves - listed == set()


# --- completion ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("coralbay mod", {"models"}),
        ("coralbay models ver", {"verify"}),
        ("coralbay query --model coralbay-", {"coralbay-mini"}),
        ("coralbay models show hu-", {"hu-patch", "hu-context"}),
        ("coralbay embed --device c", {"cpu", "cuda"}),
        ("coralbay query --stage-w", {"--stage-weights"}),
    ],
)
def test_completion(capsys, monkeypatch, typed, expected):
    monkeypatch.setenv("_CORALBAY_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(typed.count(" ")))
    with pytest.raises(SystemExit) as stop:
        run([])
    assert stop.value.code == 0
    assert set(capsys.readouterr().out.split()) == expected


# --- verbosity ----------------------------------------------------------------------------------------------------

EMBED = ["embed", "--model", "hu-patch", "--stages", "16"]


@pytest.mark.forward
def test_quiet_leaves_out_notes_and_progress(coralbay, scan, tmp_path):
    code, out, err = coralbay(*EMBED, scan / "ct.nii.gz", "-o", tmp_path / "a")
    assert (code, "features of ct: 1/1" in err) == (0, True)
    for arguments in ([*EMBED, "-q"], ["--quiet", *EMBED]):
        code, again, err = coralbay(*arguments, scan / "ct.nii.gz", "-o", tmp_path / arguments[0])
        assert (code, err) == (0, "")
        assert again.splitlines()[0] == out.splitlines()[0]
    assert coralbay("embed", tmp_path / "none", "-q")[2].startswith("error: no such file")


@pytest.mark.forward
def test_verbose_adds_details_and_tracebacks(coralbay, scan, tmp_path):
    code, _, err = coralbay(*EMBED, scan / "ct.nii.gz", "-o", tmp_path / "a", "-v")
    assert code == 0
    assert "debug: 1 chunks computed in" in err
    code, _, err = coralbay("-v", "info", tmp_path / "none")
    assert code == 2
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("error: no such file or folder")
    assert "debug" not in coralbay("info", scan / "ct.nii.gz")[2]  # a choice is one command's


def shown(text: str) -> list[str]:
    """Lines that a terminal shows after `text`."""
    lines = [""]
    column = 0
    for letter in text:
        if letter == "\n":
            lines.append("")
            column = 0
        elif letter == "\r":
            column = 0
        else:
            lines[-1] = lines[-1][:column].ljust(column) + letter + lines[-1][column + 1 :]
            column += 1
    return [line.rstrip() for line in lines]


class Terminal(io.StringIO):
    """Stream that claims to be a terminal."""

    def isatty(self):
        return True


def test_notes_have_lines_of_their_own_beside_a_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    start_logging()
    progress = Progress("features")
    progress(1, 4)
    note("half of the scan is air")
    progress(4, 4)
    note("done")
    Progress("matches")(1, 2)
    assert run(["info", "nowhere"]) == 2
    lines = shown(terminal.getvalue())
    assert "note: half of the scan is air" in lines
    assert "note: done" in lines
    assert [line for line in lines if line.startswith("features: 100%")]
    assert [line for line in lines if line.startswith("error: ")] == [lines[-2]]
    assert not any("note" in line and "features" in line for line in lines)


def test_a_bar_is_one_line(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    start_logging()
    progress = Progress("features")
    for done in range(4):
        progress(done, 3)
    close_bars()
    lines = shown(terminal.getvalue())
    assert len(lines) == 2
    assert lines[0].startswith("features: 100%")
    assert "3/3" in lines[0]


# --- former names and exit codes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("spelled", [["--weights", "4:1"], ["--weights=4:1"], ["--stage-weights", "4:1"]])
@pytest.mark.parametrize("command", ["query", "symmetry", "match"])
def test_stage_weights_are_taken_under_their_former_name(coralbay, scan, command, spelled):
    scans = [scan / "ct.nii.gz"] * (2 if command == "match" else 1)
    code, _, err = coralbay(command, *scans, "--at", "0,0,0", *spelled)
    assert code == 2
    assert err.startswith("error: not valid stage weights - --stage-weights - found 4:1")


def test_a_former_name_belongs_to_its_commands_only(coralbay, tmp_path):
    code, _, err = coralbay("info", tmp_path, "--weights", "4=1")
    assert code == 2
    assert "--weights" in err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InputError("bad"), 2),
        (errors.MissingFileError("bad"), 2),
        (errors.OutsideVolumeError("bad"), 2),
        (errors.WeightsError("bad"), 2),
        (errors.StorageError("bad"), 1),
        (errors.DownloadError("bad"), 1),
        (errors.MissingExtraError("bad"), 1),
        (errors.CoralBayError("bad"), 1),
        (errors.Cancelled("bad"), 130),
    ],
    ids=lambda value: type(value).__name__,
)
def test_exit_codes(coralbay, monkeypatch, error, code):
    def fail(*arguments, **keywords):
        raise error

    monkeypatch.setattr("coralbay_core.io.load_volume", fail)
    assert coralbay("info", "anything") == (code, "", "error: bad\n")


# --- devices ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "gpus", "expected"),
    [
        ("gpu", 1, "cuda"),
        ("GPU", 1, "cuda"),
        ("gpu:1", 2, "cuda:1"),
        ("cuda:0", 1, "cuda:0"),
        ("auto", 1, "cuda"),
        ("auto", 0, "cpu"),
        ("cuda:1", 1, errors.InputError),
        ("cuda", 0, errors.InputError),
        ("gpu", 0, errors.InputError),
        ("cuda:x", 1, errors.InputError),
        ("cuda:", 1, errors.InputError),
        ("tpu", 1, errors.InputError),
    ],
)
def test_devices(monkeypatch, name, gpus, expected):
    from coralbay_core.models import encoder

    monkeypatch.setitem(encoder._AVAILABLE, "cuda", lambda: gpus > 0)
    monkeypatch.setitem(encoder._AVAILABLE, "mps", lambda: False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    if isinstance(expected, str):
        assert str(resolve_device(name)) == expected
        return
    with pytest.raises(expected, match=r"device - --device - found|device is not available - --device - found"):
        resolve_device(name)
    assert available_devices()[-1] == "cpu"


def test_a_device_that_is_absent_names_those_that_are_there(coralbay, scan):
    if available_devices() != ("cpu",):
        pytest.skip("this machine has a GPU")
    code, _, err = coralbay("embed", scan / "ct.nii.gz", "--device", "gpu", "--model", "hu-patch")
    assert code == 2
    assert err == "error: device is not available - --device - found gpu vs expected cpu - use --device cpu\n"
