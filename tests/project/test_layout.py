"""Test modules stand on their own: what several of them share is in `tests.support` or in a conftest."""

import ast

import pytest

from tests.support import ROOT

TESTS = ROOT / "tests"
MODULES = sorted(TESTS.rglob("*.py"))


def imported(path):
    """Dotted names of modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(TESTS).as_posix())
def test_no_module_imports_a_test_module(path):
    own = {module.stem for module in MODULES if module.parent.name != "support"} - {"__init__"}
    for name in imported(path):
        assert not name.startswith("."), f"{path} has a relative import"
        parts = name.split(".")
        if path.parent.name == "with_eva" and parts[0] in ("tiny", "eva_command"):
            continue  # helpers of the folder with an environment of its own
        of_tests = parts[0] == "tests" and parts[:2] != ["tests", "support"] and parts != ["tests"]
        assert not of_tests, f"{path} imports {name}"
        assert parts[0] not in own, f"{path} imports {name}"
