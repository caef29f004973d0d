#!/bin/sh
# Pretrain on a machine with a GPU within a time budget, evaluate, and leave results in files below 16 MiB.
#   scripts/gpu_pretrain.sh [--device cuda|cpu] [--small] [--minutes 8] [--recipe base] PARTS OUT
# PARTS is a folder of archives by scripts/pack_store.py. OUT gets the log of the run, the evaluation on phantoms, and
# the weights as weights.00, weights.01 ..., to be joined by cat, with their checksum. `--device cpu --small`
# rehearses it with the recipe `tiny`.
set -eu
cd "$(dirname "$0")/.."
device=cuda small= minutes=8 recipe=base
while [ $# -gt 2 ]; do
  case $1 in
    --device) device=$2; shift ;;
    --minutes) minutes=$2; shift ;;
    --recipe) recipe=$2; shift ;;
    --small) small=yes ;;
    *) echo "unknown option: $1" >&2; exit 2 ;;
  esac
  shift
done
[ $# -eq 2 ] || { echo "expected PARTS and OUT" >&2; exit 2; }
parts=$1 out=$2
python=${PYTHON:-python3}
export PYTHONPATH="$PWD" CORALBAY_CACHE="${CORALBAY_CACHE:-$(mktemp -d)}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

coralbay() { # the command, without an installation
  "$python" -c 'from coralbay_core.cli import main; main()' "$@"
}

"$python" scripts/pack_store.py unpack "$parts" "$work/store"
[ -z "$small" ] || recipe=tiny minutes=0.2
coralbay pretrain "$recipe" "data=$work/store" "output=$work/run" "device=$device" steps=auto "minutes=$minutes"
cp "$work/run/log.jsonl" "$work/run/run.json" "$out/"
set -- "$work"/run/*.safetensors
[ -f "$1" ] || { echo "the run left no weights" >&2; exit 1; }
split -b 15m -d "$1" "$out/weights."
(cd "$work/run" && sha256sum -- *.safetensors) >"$out/weights.sha256"
coralbay evaluate --model "$1" --no-baselines --tasks retrieval,across -o "$work/report" >"$out/evaluation.txt"
cp "$work/report"/*.json "$work/report"/*.md "$out/" 2>/dev/null || true
echo "results in $out; join the weights with: cat weights.?? > $(basename "$1")"
