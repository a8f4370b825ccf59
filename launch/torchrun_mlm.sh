#!/usr/bin/env bash
# Second-stage pre-training on one machine, with one process per GPU, or 2 processes where there is no GPU. NPROC sets
# another number. Flags of train_mlm.py may follow:
#   DATA=data/store MODEL=bert-base-uncased OUT=runs/mlm bash launch/torchrun_mlm.sh --epochs 4
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/torchrun.sh"

# Token store made by lyricbert.prepare.
DATA=${DATA:-data/store}
# The BERT to start from: a directory or a hub name.
MODEL=${MODEL:-bert-base-uncased}
# The run's directory.
OUT=${OUT:-runs/mlm}

start train_mlm.py --data "$DATA" --model "$MODEL" --out "$OUT" "$@"
