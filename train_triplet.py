"""Train a sentence encoder with a triplet loss on the sections of songs.

    torchrun --nproc-per-node 4 train_triplet.py \\
        --data DATA --model MODEL --out RUN

A triplet is an anchor, a positive and a negative: a section of a song, another
section of the same song, and a section of another song.

To train in one process, replace `torchrun --nproc-per-node 4` with `python`.
To resume a stopped run, repeat its command.

The result is RUN/model, which `SentenceTransformer("RUN/model")` loads.
Training curves, held-out loss and accuracy are in RUN/tensorboard and
RUN/metrics.jsonl.
"""

import sys
from dataclasses import dataclass

from lyricbert.config import parse
from lyricbert.errors import run_command
from lyricbert.tasks.config import TripletConfig
from lyricbert.training.config import RunConfig


@dataclass(frozen=True, kw_only=True)
class Config(TripletConfig, RunConfig):
    """train_triplet"""


def main() -> None:
    config = parse(Config, __doc__)
    # Imported here, so that --help does not wait for torch and transformers.
    from lyricbert.runtime.distributed import start_world
    from lyricbert.songs.store import open_store
    from lyricbert.tasks.triplet import TripletTask
    from lyricbert.training.resume import resolve_config
    from lyricbert.training.run import check_run_directory, train_run

    check_run_directory(config)
    store = open_store(config.data)
    with start_world(config.timeout_minutes) as world:
        config = resolve_config(config, world)
        task = TripletTask(config, config.model, store, world)
        if world.is_main:
            print(task.describe_songs(), file=sys.stderr)
        train_run(task, config, world, store)


if __name__ == "__main__":
    run_command(main)
