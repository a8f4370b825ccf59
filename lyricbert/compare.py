"""Measure whether adapting helped: compare the base and the adapted model.

    python -m lyricbert.compare --data DATA --base bert-base-uncased \\
        --adapted RUN/model --out OUT

On the held-out songs, the command measures the MLM loss and accuracy and the
ranks of masked words, with the same masks for all models. It then trains the
triplet task from each model, once for each seed. For a seed, all models get the
same triplets. A store is refused if a model was trained on any of its held-out
songs.

It writes OUT/report.md and OUT/report.json. They give each metric for the base
and the adapted model, the paired difference with its 95 % confidence interval,
and a verdict: helped, hurt, no difference or cannot tell. All intervals cover
the choice of held-out songs. Those after triplet training also cover the choice
of seeds (docs/verdict.md).

With one adapted model, the verdict covers that model. To test the way of
adapting, adapt the base at least three times with different seeds, and repeat
--adapted. Then the intervals also cover the choice of the adapted model. --base
can be repeated in the same way.

The work is bounded. By default, a training uses at most 1,000 songs, and an
evaluation at most 10,000 triplets and 10,000 lines. They are chosen by hash.
The report says how many were used, and out of how many.

OUT/results keeps the result of each finished training. If the command was
stopped or killed, run the same command to continue. With more seeds, or more
models after those given before, only the new trainings run. Results for another store, another model or other settings
are refused. OUT/report.json exists only if the last command has finished.

To distribute the trainings over several processes, replace `python` with
`torchrun --nproc-per-node 4`. Each process then trains one model at a time. All
processes must see OUT. On CPUs with the same OMP_NUM_THREADS, the number of
processes does not change the report (except with --max-minutes). After an error
or a signal, torchrun also prints its own report, and its exit status is 1.
"""

from lyricbert.config import parse
from lyricbert.errors import run_command
from lyricbert.tasks.config import CompareConfig


def main(arguments: list[str] | None = None, prog: str | None = None) -> None:
    config = parse(CompareConfig, __doc__, arguments, prog)
    from lyricbert.evaluation.report import format_report
    from lyricbert.runtime.distributed import start_world
    from lyricbert.songs.store import open_store
    from lyricbert.tasks.comparison.run import compare_models  # imports torch: not before --help

    store = open_store(config.data)
    with start_world() as world:
        report = compare_models(config, store, world)
    if report is not None:
        print(format_report(report))


if __name__ == "__main__":
    run_command(main)
