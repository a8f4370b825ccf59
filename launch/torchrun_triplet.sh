#!/usr/bin/env bash
# Downstream triplet training on one machine, with one process per GPU, or 2 processes where there is no GPU. NPROC
# sets another number. Flags of train_triplet.py may follow:
#   DATA=data/store MODEL=runs/mlm/model OUT=runs/triplet bash launch/torchrun_triplet.sh --max-songs 300
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/torchrun.sh"

# Token store made by lyricbert.prepare.
DATA=${DATA:-data/store}
# The BERT to start from: a directory or a hub name.
MODEL=${MODEL:-runs/mlm/model}
# The run's directory.
OUT=${OUT:-runs/triplet}

start train_triplet.py --data "$DATA" --model "$MODEL" --out "$OUT" "$@"
