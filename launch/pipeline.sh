#!/usr/bin/env bash
# Submits all jobs from lyrics to report to SLURM and prints their ids. The jobs are prepare, MLM training, triplet
# training from the base, triplet training from the adapted model, and compare. Each job waits for those that it needs.
#
#   SOURCE=/data/lyrics OUT=/runs/songs bash launch/pipeline.sh
#
# OUT gets store, mlm, triplet-base, triplet-adapted, report and the logs. An existing store is used, and an unfinished
# training run resumes. Settings are environment variables: see below and slurm.sh. The variables of sbatch also work,
# for example SBATCH_PARTITION, SBATCH_ACCOUNT or SBATCH_GPUS_PER_NODE.
set -euo pipefail
REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export REPO

# Lyrics: a file or a folder of .txt, .json, .jsonl, .csv, on a file system that every node sees.
SOURCE=${SOURCE:-lyrics}
# The BERT to start from: a directory or a hub name.
MODEL=${MODEL:-bert-base-uncased}
# Output directory, on a file system that every node sees.
OUT=${OUT:-runs/pipeline}
# Number of nodes of each training job.
NODES=${NODES:-1}
# Number of CPUs per node of each job. Empty: 32 for training, 8 for prepare and compare.
CPUS=${CPUS-}
# Flags of lyricbert.prepare, train_mlm.py, train_triplet.py and lyricbert.compare.
PREPARE_FLAGS=${PREPARE_FLAGS-}
MLM_FLAGS=${MLM_FLAGS-}
TRIPLET_FLAGS=${TRIPLET_FLAGS-}
COMPARE_FLAGS=${COMPARE_FLAGS-}

# fail MESSAGE: a user's mistake ends with one line and status 2.
fail() {
    echo "$*" >&2
    exit 2
}

# submit NAME JOBS NODES SCRIPT FLAG...: submits the script to start after JOBS (ids, each with a colon before it). Sets
# `job` to its id and prints the id. If one of JOBS fails, SLURM cancels the job.
submit() {
    job=$(sbatch --parsable --job-name "$1" ${2:+--dependency "afterok$2" --kill-on-invalid-dep yes} \
        --nodes "$3" ${CPUS:+--cpus-per-task "$CPUS"} --output "$logs/%x-%j.log" "$REPO/launch/$4" "${@:5}")
    job=${job%%;*} # the name of the cluster can follow the id
    echo "$1 $job"
}

command -v sbatch > /dev/null || fail "sbatch: no such program; this script needs a SLURM cluster. On one machine, use launch/quickstart.sh"
[ -e "$SOURCE" ] || fail "SOURCE=$SOURCE: no such file or folder; check the path"
mkdir -p "$OUT" 2> /dev/null || fail "OUT=$OUT: cannot be created; give another OUT"
OUT=$(cd "$OUT" && pwd)
[ ! -e "$OUT/report" ] || fail "$OUT/report: exists already and is not overwritten; remove it or give another OUT"
if [ -d "$MODEL" ]; then
    MODEL=$(cd "$MODEL" && pwd)
fi
logs=$OUT
export SOURCE DATA="$OUT/store" BASE="$MODEL" ADAPTED="$OUT/mlm/model"

prepared=
if [ ! -e "$DATA" ]; then
    MODEL=$BASE submit prepare "" 1 prepare.sbatch $PREPARE_FLAGS
    prepared=:$job
fi
MODEL=$BASE OUT=$logs/mlm submit mlm "$prepared" "$NODES" mlm.sbatch $MLM_FLAGS
adapted=:$job
MODEL=$BASE OUT=$logs/triplet-base submit triplet-base "$prepared" "$NODES" triplet.sbatch $TRIPLET_FLAGS
trained=$adapted:$job
MODEL=$ADAPTED OUT=$logs/triplet-adapted submit triplet-adapted "$adapted" "$NODES" triplet.sbatch $TRIPLET_FLAGS
trained=$trained:$job
OUT=$logs/report submit compare "$trained" 1 compare.sbatch $COMPARE_FLAGS
