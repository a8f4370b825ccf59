#!/usr/bin/env bash
# MLM training on one machine, with one process per GPU, or 2 processes without a GPU. NPROC sets another number.
# Flags of train_mlm.py can follow:
#   DATA=data/store MODEL=bert-base-uncased OUT=runs/mlm bash launch/torchrun_mlm.sh --epochs 4
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/torchrun.sh"

# Token store made by lyricbert.prepare.
DATA=${DATA:-data/store}
# BERT to start from: a directory or a hub name.
MODEL=${MODEL:-bert-base-uncased}
# Output directory of the run.
OUT=${OUT:-runs/mlm}

start "$REPO/train_mlm.py" --data "$DATA" --model "$MODEL" --out "$OUT" "$@"
