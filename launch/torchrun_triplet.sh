#!/usr/bin/env bash
# Triplet training on one machine, with one process per GPU, or 2 processes without a GPU. NPROC sets another number.
# Flags of train_triplet.py can follow:
#   DATA=data/store MODEL=runs/mlm/model OUT=runs/triplet bash launch/torchrun_triplet.sh --max-songs 300
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/torchrun.sh"

# Token store made by lyricbert.prepare.
DATA=${DATA:-data/store}
# BERT to start from: a directory or a hub name.
MODEL=${MODEL:-runs/mlm/model}
# Output directory of the run.
OUT=${OUT:-runs/triplet}

start "$REPO/train_triplet.py" --data "$DATA" --model "$MODEL" --out "$OUT" "$@"
