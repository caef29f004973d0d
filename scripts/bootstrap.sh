#!/bin/sh
# What `make` does before anything else.
#   bootstrap.sh packages VENV                       a virtual environment with CoralBay, at the versions of constraints.txt
#   bootstrap.sh oldest VENV                         another one, with the oldest versions that pyproject.toml allows
#   bootstrap.sh eva VENV                            another one, with kaiko's eva and the headless part of CoralBay
#   bootstrap.sh browser                             Chromium, for tests of notebooks
#   bootstrap.sh libraries VENV [--virtual-display]  the system libraries of Qt and OpenGL, and Xvfb if it is needed
# Needs a POSIX shell and Python, nothing else. Set PYTHON to choose the interpreter.
set -eu

QT_PACKAGES="libgl1 libegl1 libglib2.0-0 libdbus-1-3 libfontconfig1 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4
  libxcb-keysyms1 libxcb-shape0"
DISPLAY_PACKAGES="xvfb xauth"

fail() {
  echo "error: $*" >&2
  exit 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# Install Debian packages, or say no where this user or system cannot.
apt_install() {
  command -v apt-get >/dev/null && as_root true 2>/dev/null || return 1
  echo "Installing with apt-get:" "$@"
  as_root apt-get update -qq &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

is_new_enough() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# 3.11 first, because constraints.txt was tested with it; else the newest.
find_python() {
  for name in ${PYTHON:-python3.11 $(seq -f 'python3.%g' 20 -1 12) python3}; do
    if is_new_enough "$name"; then
      echo "$name"
      return
    fi
  done
  return 1
}

# Debian ships `venv` without the part that installs pip.
can_make_venv() {
  "$1" -c 'import ensurepip, venv' 2>/dev/null
}

is_usable_venv() {
  is_new_enough "$1/bin/python" && "$1/bin/python" -m pip --version >/dev/null 2>&1
}

make_venv() {
  python=$(find_python) || fail "no usable Python - found ${PYTHON:-none} - expected 3.11 or newer - install it, or set PYTHON"
  package=$("$python" -c 'import sys; print("python3.%d-venv" % sys.version_info[1])')
  can_make_venv "$python" || apt_install "$package" || true
  can_make_venv "$python" || fail "$python cannot make virtual environments - ensurepip is missing - apt-get install $package"
  "$python" -m venv --clear "$1"
}

# Install requirements into an environment, which is made if it is not there.
packages() {
  venv=$1 constraints=$2
  shift 2
  # An environment that works is kept, whoever made it: only what is missing is added.
  is_usable_venv "$venv" || make_venv "$venv"
  echo "Installing CoralBay and its packages into $venv (some GB, once; minutes) ..."
  quiet=
  [ -t 1 ] || quiet=--quiet
  "$venv/bin/python" -m pip install $quiet --disable-pip-version-check -c "$constraints" "$@"
}

# Names of libraries that the dynamic linker does not find and, with a second argument, of tools that are not there.
missing() {
  qt=$("$1/bin/python" -c 'from importlib.util import find_spec as f; print(f("PySide6").submodule_search_locations[0])')
  ldd "$qt"/QtGui.*.so "$qt"/QtWidgets.*.so "$qt"/QtOpenGL*.so "$qt"/Qt/plugins/platforms/libqxcb.so \
    "$qt"/Qt/plugins/xcbglintegrations/*.so | sed -n 's/^[[:space:]]*\([^ ]*\) => not found.*/\1/p'
  # Loaded by name at run time, so the linker's list does not show them.
  for library in libGL.so.1 libEGL.so.1; do
    "$1/bin/python" -c "import ctypes; ctypes.CDLL('$library')" 2>/dev/null || echo "$library"
  done
  if [ -n "$2" ]; then
    for tool in xvfb-run xauth; do command -v "$tool" >/dev/null || echo "$tool"; done
  fi
}

# Chromium drives the notebooks in tests; where it cannot be installed they are skipped and say so.
browser() {
  for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null && return 0
  done
  apt_install chromium || echo "note: no Chromium here, so tests in a browser are skipped - apt-get install chromium" >&2
}

libraries() {
  [ "$(uname -s)" = Linux ] || return 0
  wanted=$QT_PACKAGES
  [ -z "$2" ] || wanted="$wanted $DISPLAY_PACKAGES"
  [ -n "$(missing "$1" "$2")" ] || return 0
  # shellcheck disable=SC2086
  apt_install $wanted || true
  left=$(missing "$1" "$2" | sort -u | tr '\n' ' ')
  # shellcheck disable=SC2086
  [ -z "$left" ] || fail "system libraries are missing - ${left}- run: apt-get install" $wanted
}

cd "$(dirname "$0")/.."
case ${1:-} in
  packages) packages "$2" constraints.txt -e ".[all,dev,docs]" ;;
  oldest) packages "$2" constraints-oldest.txt -e ".[all,dev]" ;;
  # torch by name: with torchvision to please, pip would otherwise look for another one.
  eva) packages "$2" constraints.txt -e ".[eva]" torch pytest ;;
  libraries) libraries "$2" "${3:-}" ;;
  browser) browser ;;
  *) fail "unknown part - found '${1:-}' - expected packages, oldest, eva, libraries or browser" ;;
esac
