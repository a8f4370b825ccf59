#!/usr/bin/env bash
# Submits all jobs from lyrics to report to SLURM and prints their ids. The jobs are those of prepare.sh, MLM training,
# triplet training from the base, triplet training from the adapted model, and compare. Each job waits for those that it
# needs.
#
#   SOURCE=/data/lyrics OUT=/runs/songs bash launch/pipeline.sh
#
# OUT gets store, mlm, triplet-base, triplet-adapted, report and the logs. If a job failed or was cancelled, wait until
# squeue shows no job of this pipeline. Then run the same command: it uses an existing store, and continues unfinished
# trainings and comparisons. Settings are environment variables: see below, prepare.sh and slurm.sh. The variables of
# sbatch also work, for example SBATCH_PARTITION, SBATCH_ACCOUNT or SBATCH_GPUS_PER_NODE.
set -euo pipefail
REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export REPO

# Lyrics: a file of a kind in docs/formats.md, or a folder of them, on a file system that every node sees.
SOURCE=${SOURCE:-lyrics}
# The BERT to start from: a directory or a hub name.
MODEL=${MODEL:-bert-base-uncased}
# Output directory, on a file system that every node sees.
OUT=${OUT:-runs/pipeline}
# Number of nodes of each job that trains: mlm, triplet-base and triplet-adapted. compare gets one node.
NODES=${NODES:-1}
# Number of CPUs per node of each job. Empty: 32 for training and compare, 8 for the tasks of prepare, 2 for the join.
export CPUS=${CPUS-}
# Flags of lyricbert.prepare (those of its join: JOIN_FLAGS), train_mlm.py, train_triplet.py and lyricbert.compare.
PREPARE_FLAGS=${PREPARE_FLAGS-}
MLM_FLAGS=${MLM_FLAGS-}
TRIPLET_FLAGS=${TRIPLET_FLAGS-}
COMPARE_FLAGS=${COMPARE_FLAGS-}

source "$REPO/launch/submit.sh"
[ -e "$SOURCE" ] || fail "SOURCE=$SOURCE: no such file or folder; check the path"
mkdir -p "$OUT" 2> /dev/null || fail "OUT=$OUT: cannot be created; give another OUT"
OUT=$(cd "$OUT" && pwd)
[ ! -e "$OUT/report/report.json" ] || fail "$OUT/report/report.json: is finished; remove it to compare again, or give another OUT"
if [ -d "$MODEL" ]; then
    MODEL=$(cd "$MODEL" && pwd)
fi
LOGS=$OUT
export SOURCE LOGS DATA="$OUT/store" BASE="$MODEL" ADAPTED="$OUT/mlm/model"

prepared=
if [ ! -e "$DATA" ]; then
    ids=$(MODEL=$BASE bash "$REPO/launch/prepare.sh" $PREPARE_FLAGS)
    echo "$ids"
    prepared=:${ids##* } # that of the join, the last one
fi
MODEL=$BASE OUT=$LOGS/mlm submit mlm "$prepared" --nodes "$NODES" -- mlm.sbatch $MLM_FLAGS
adapted=:$job
MODEL=$BASE OUT=$LOGS/triplet-base submit triplet-base "$prepared" --nodes "$NODES" -- triplet.sbatch $TRIPLET_FLAGS
MODEL=$ADAPTED OUT=$LOGS/triplet-adapted submit triplet-adapted "$adapted" --nodes "$NODES" -- triplet.sbatch $TRIPLET_FLAGS
OUT=$LOGS/report submit compare "$adapted" -- compare.sbatch $COMPARE_FLAGS
