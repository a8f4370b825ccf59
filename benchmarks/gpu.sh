#!/usr/bin/env bash
# Compares all layouts of lyricbert with the Hugging Face Trainer on a GPU, with a randomly initialised BERT base.
#
#   SONGS=songs.jsonl TOKENIZER=bert-base-uncased bash benchmarks/gpu.sh
#
# SONGS is a source that lyricbert.prepare reads. TOKENIZER is a directory or hub name with the vocabulary of
# bert-base-uncased. Arguments are passed to mlm_throughput.py.
set -euo pipefail
cd "$(dirname "$0")/.."
SONGS=${SONGS:?lyrics to train on}
TOKENIZER=${TOKENIZER:-bert-base-uncased}
# Number of lines per step.
BATCH_LINES=${BATCH_LINES:-3072}
STEPS=${STEPS:-50}
REPEATS=${REPEATS:-3}
OUT=${OUT:-gpu.json}
CONTENDERS=${CONTENDERS:-lyricbert lyricbert-packed lyricbert-compiled trainer}
PYTHON=${PYTHON:-python3}

MODEL=$(mktemp -d)
trap 'rm -rf "$MODEL"' EXIT
"$PYTHON" - "$TOKENIZER" "$MODEL" <<'PYTHON'
import sys

import torch
from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

tokenizer, directory = AutoTokenizer.from_pretrained(sys.argv[1]), sys.argv[2]
torch.manual_seed(0)
BertForMaskedLM(BertConfig(vocab_size=len(tokenizer))).save_pretrained(directory)
tokenizer.save_pretrained(directory)
PYTHON
# shellcheck disable=SC2086  # several names in one variable
"$PYTHON" benchmarks/mlm_throughput.py --songs "$SONGS" --model "$MODEL" --batch-lines "$BATCH_LINES" \
    --steps "$STEPS" --repeats "$REPEATS" --contenders $CONTENDERS --out "$OUT" "$@"
