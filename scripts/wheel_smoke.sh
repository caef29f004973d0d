#!/bin/sh
# Build sdist and wheel, install the wheel into an environment of its own and use it from a directory without the sources.
# The other packages are borrowed from the environment of PYTHON, so that torch is not installed twice.
#   wheel_smoke.sh PYTHON
set -eu
cd "$(dirname "$0")/.."
python=$(pwd)/$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export CORALBAY_CACHE="$work/cache"
unset PYTHONPATH

echo "Building ..."
"$python" -m build --no-isolation --outdir "$work/dist" . >"$work/build.log" 2>&1 || { cat "$work/build.log" >&2; exit 1; }

echo "Installing into an empty environment ..."
"$python" -m venv --without-pip "$work/venv"
"$python" -m pip --quiet --python "$work/venv/bin/python" install --no-deps --no-index "$work"/dist/*.whl
# A line in a .pth file adds a directory but not the .pth files in it: the editable install of the sources stays out.
site='import sysconfig; print(sysconfig.get_path("purelib"))'
"$python" -c "$site" >"$("$work/venv/bin/python" -c "$site")/borrowed.pth"

mkdir "$work/elsewhere"
cd "$work/elsewhere"
"$work/venv/bin/python" - "$work" <<'PYTHON'
import sys
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path

import coralbay
import coralbay_core
import coralbay_viz
from npe2 import PluginManifest

assert coralbay.load_volume is coralbay_core.load_volume
for module in (coralbay, coralbay_core, coralbay_viz):
    assert Path(module.__file__).is_relative_to(Path(sys.argv[1]).resolve()), module.__file__
assert PluginManifest.from_distribution("coralbay").name == "coralbay"
for name in ("canvas.js", "canvas.css"):
    assert (files("coralbay_viz.jupyter_ui") / name).read_text(), name
assert callable(coralbay_viz.show)
assert {"view", "demo"} <= {command.load() and command.name for command in entry_points(group="coralbay.commands")}
PYTHON

coralbay=$work/venv/bin/coralbay
"$coralbay" --help >/dev/null
"$coralbay" models list | grep coralbay-mini
"$coralbay" phantom -o phantom --seed 1 >/dev/null
at=$("$python" -c 'import json; print(*json.load(open("phantom/landmarks.json"))["carina"], sep=",")')
"$coralbay" query phantom/ct.nii.gz --at="$at" -o heat.nii.gz --top 3
test -s heat.nii.gz
echo "The wheel works."
