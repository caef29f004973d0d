#!/bin/sh
# What a machine with a GPU has to show, in one run: OUT/gpu.md for docs/measurements/, and a log per part.
#   scripts/gpu_check.sh [--device cuda|cpu] [--small] [OUT]
# A part that fails is named in gpu.md and the others go on. PYTHON is the interpreter; besides torch it needs the
# packages of scripts/gpu_packages.txt. `--device cpu --small` rehearses all parts.
set -u
cd "$(dirname "$0")/.."
device=cuda small= out=gpu-check
while [ $# -gt 0 ]; do
  case $1 in
    --device) device=$2; shift ;;
    --small) small=--small ;;
    -*) echo "unknown option: $1" >&2; exit 2 ;;
    *) out=$1 ;;
  esac
  shift
done
python=${PYTHON:-python3}
export PYTHONPATH="$PWD" PYTHONUNBUFFERED=1 CORALBAY_CACHE="${CORALBAY_CACHE:-$(mktemp -d)}"
mkdir -p "$out"
failed=0

part() { # part TITLE NAME COMMAND...
  title=$1 name=$2
  shift 2
  printf '\n# %s\n\n`%s`\n\n' "$title" "$*" >>"$out/gpu.md"
  if "$python" "$@" >"$out/$name.txt" 2>"$out/$name.log"; then
    cat "$out/$name.txt" >>"$out/gpu.md"
  else
    failed=$((failed + 1))
    printf 'Failed: %s\n' "$(tail -n 1 "$out/$name.log")" >>"$out/gpu.md"
  fi
  echo "$title: done" >&2
}

if [ -n "$small" ]; then
  encoder="--size 64 --embed 12 --repeats 1 --batch 1" dense=whole interactive="--shape 60,60,60 --strides 4,8,16" steps=1 recipe=tiny
else
  encoder="--batch 4" dense="speed whole" interactive= steps=6 recipe=base
fi
: >"$out/gpu.md"
[ "$device" = cuda ] && nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader >>"$out/gpu.md" 2>&1
# shellcheck disable=SC2086  # options are lists of words
{
  part "Encoder, roofline, torch.compile, memory" encoder benchmarks/encoder.py --device "$device" $encoder
  part "Attention, precision, CUDA graphs, NCCL" gpu -m benchmarks.gpu --device "$device" $small
  part "Dense features of a whole scan" dense benchmarks/dense.py $dense --device "$device"
  part "Interactive arithmetic" interactive benchmarks/interactive.py $interactive
  part "Pretraining" pretrain benchmarks/pretrain.py $recipe --device "$device" --steps $steps
}
echo "$out/gpu.md ($failed parts failed)" >&2
exit $((failed > 0))
