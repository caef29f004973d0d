"""Constraints that pin each requirement of pyproject.toml to its lower bound, on standard output.

Packages that only others require stay free. What pip makes of it is kept in constraints-oldest.txt, which `make
test-oldest` installs: to find out takes pip many minutes.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Each version of torch is a build for one set of hardware: the tested one stays, as in the main environment.
KEPT = ("torch",)
# kaiko-eva pins packages that CoralBay leaves free, and has an environment of its own. The bounds of onnx are what was
# tested. The site is built with the main environment alone.
OTHER_ENVIRONMENTS = ("docs", "eva", "onnx")
_BOUND = re.compile(r"([\w.-]+)(?:\[[\w,]+\])?>=([\w.]+)[^;]*(?:;(.*))?")


def oldest(pyproject: Path = ROOT / "pyproject.toml", tested: Path = ROOT / "constraints.txt") -> Iterator[str]:
    """Yield one constraint per requirement with a lower bound."""
    project = tomllib.loads(pyproject.read_text())["project"]
    extras = project["optional-dependencies"]
    chosen = [name for name in extras if name not in OTHER_ENVIRONMENTS]
    found = {line for group in (project["dependencies"], *map(extras.get, chosen)) for line in group}
    for line in sorted(found):
        bound = _BOUND.fullmatch(line)
        if bound and bound[1] not in KEPT:
            yield f"{bound[1]}=={bound[2]}" + (f" ;{bound[3]}" if bound[3] else "")
    yield from (line for line in tested.read_text().splitlines() if line.split("==")[0] in KEPT)


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in oldest())
