"""Continue the masked-language-model (MLM) pre-training of a BERT on a token store.

    torchrun --nproc-per-node 4 train_mlm.py --data DATA --model MODEL --out RUN

To train in one process, replace `torchrun --nproc-per-node 4` with `python`.
To resume a stopped run, repeat its command.

The result is RUN/model, a Hugging Face model directory.
Training curves are in RUN/tensorboard and RUN/metrics.jsonl.
"""

import sys
from dataclasses import dataclass

from lyricbert.config import parse
from lyricbert.errors import run_command
from lyricbert.tasks.config import MaskedLMConfig
from lyricbert.training.config import RunConfig


@dataclass(frozen=True, kw_only=True)
class Config(MaskedLMConfig, RunConfig):
    """train_mlm"""


def main() -> None:
    config = parse(Config, __doc__)
    # Imported here, so that --help does not wait for torch and transformers.
    from lyricbert.models.loading import load_masked_lm
    from lyricbert.runtime.distributed import start_world
    from lyricbert.songs.store import open_store
    from lyricbert.tasks.mlm import MaskedLMTask
    from lyricbert.training.resume import resolve_config
    from lyricbert.training.run import check_run_directory, train_run

    check_run_directory(config)
    store = open_store(config.data)
    with start_world(config.timeout_minutes) as world:
        config = resolve_config(config, world)
        model, has_head = load_masked_lm(config.model, config.seed)
        if not has_head and world.is_main:
            advice = "" if config.head_warmup_steps else " To train it alone first, use --head-warmup-steps N."
            message = f"{config.model} has no MLM head. A randomly initialised head is trained."
            print(message + advice, file=sys.stderr)
        task = MaskedLMTask(model, config, config.model, store, world)
        train_run(task, config, world, store, task.head_warmup)


if __name__ == "__main__":
    run_command(main)
