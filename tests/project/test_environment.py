"""Every environment variable of the code is in the reference, and the reference lists no other."""

import re

from tests.support import ROOT

PAGE = (ROOT / "docs" / "reference" / "environment.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
NAME = re.compile(r"(?<![A-Z_])CORALBAY_[A-Z_]+[A-Z]")


def used_in(*folders):
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*")) if path.suffix in (".py", ".sh")]
    return {name for path in files for name in NAME.findall(path.read_text("utf-8"))}


OF_USERS = used_in("coralbay_core", "coralbay_viz")


def test_variables_of_users_are_listed():
    assert set(NAME.findall(SECTIONS["Of CoralBay"])) == OF_USERS


def test_variables_of_developers_are_listed():
    assert (
        set(NAME.findall(SECTIONS["Of tests and developers"])) == used_in("tests", "benchmarks", "scripts") - OF_USERS
    )
