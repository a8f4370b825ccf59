#!/usr/bin/env bash
# Prepares a token store under SLURM, on several nodes. Submits three jobs and prints their ids. The first divides the
# songs into ranges. The second is a job array: each task makes a part of the store from one range. The third joins the
# parts. Flags of lyricbert.prepare can follow, except those of the split, which are in JOIN_FLAGS:
#   JOIN_FLAGS="--val-fraction 0.1" SOURCE=/data/lyrics DATA=/data/store bash launch/prepare.sh --max-tokens 128
# The variables of sbatch also work, for example SBATCH_PARTITION or SBATCH_ACCOUNT.
set -euo pipefail
REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export REPO

# Lyrics: a file of a kind in docs/formats.md, or a folder of them, on a file system that every node sees.
export SOURCE=${SOURCE:-lyrics}
# Token store to create, on a file system that every node sees. The parts are in DATA.parts until they are joined.
export DATA=${DATA:-data/store}
# BERT whose tokenizer is used: a directory or a hub name.
export MODEL=${MODEL:-bert-base-uncased}
# Number of tasks of the job array.
export TASKS=${TASKS:-8}
# Flags of the join: --val-fraction, --seed and --near-duplicates.
JOIN_FLAGS=${JOIN_FLAGS-}
# Number of CPUs of each job. Empty: 8 for a task, 2 for the join.
CPUS=${CPUS-}
# Directory for the logs.
LOGS=${LOGS:-.}

source "$REPO/launch/submit.sh"
[ -e "$SOURCE" ] || fail "SOURCE=$SOURCE: no such file or folder; check the path"
[ ! -e "$DATA" ] || fail "DATA=$DATA: exists already and is not overwritten; remove it or give another DATA"
submit scan "" -- scan.sbatch "$@"
submit prepare ":$job" --array "0-$((TASKS - 1))" -- prepare.sbatch "$@"
submit join ":$job" -- join.sbatch $JOIN_FLAGS
