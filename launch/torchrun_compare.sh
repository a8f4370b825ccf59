#!/usr/bin/env bash
# Compares the base and the adapted model on one machine, with one process per GPU, or 2 processes without a GPU. NPROC
# sets another number. After an interruption, run the same command to continue. Flags of lyricbert.compare can follow:
#   DATA=data/store ADAPTED=runs/mlm/model OUT=runs/report bash launch/torchrun_compare.sh --seeds 3
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/torchrun.sh"

# Token store made by lyricbert.prepare.
DATA=${DATA:-data/store}
# The two models: directories or hub names.
BASE=${BASE:-bert-base-uncased}
ADAPTED=${ADAPTED:-runs/mlm/model}
# Output directory of the report.
OUT=${OUT:-runs/report}

require_package
start -m lyricbert.compare --data "$DATA" --base "$BASE" --adapted "$ADAPTED" --out "$OUT" "$@"
