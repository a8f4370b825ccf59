"""Measure whether adapting helped: compare the base and the adapted model.

    python -m lyricbert.compare --data DATA --base bert-base-uncased \\
        --adapted RUN/model --out DIR

On the held-out songs, the command measures the MLM loss and accuracy and the
ranks of masked words, with the same masks for both models. It then trains the
triplet task from both models, once for each seed. For a seed, both models get
the same triplets. A store is refused if a model was trained on any of its
held-out songs.

It writes DIR/report.md and DIR/report.json. They give each metric for both
models, the paired difference with its 95 % bootstrap interval over songs, and a
verdict.
"""

from lyricbert.config import parse
from lyricbert.errors import UserError, run_command
from lyricbert.files import new_directory, write_json
from lyricbert.tasks.config import CompareConfig


def main(arguments: list[str] | None = None, prog: str | None = None) -> None:
    config = parse(CompareConfig, __doc__, arguments, prog)
    from lyricbert.evaluation.report import format_report
    from lyricbert.runtime.distributed import start_world
    from lyricbert.songs.store import open_store
    from lyricbert.tasks.comparison import make_report  # imports torch: not before --help

    store = open_store(config.data)
    with new_directory(config.out) as directory, start_world() as world:
        if world.size > 1:
            raise UserError("compare runs as one process; start it without torchrun")
        report = make_report(config, store, world)
        write_json(directory / "report.json", report)
        (directory / "report.md").write_text(format_report(report), encoding="utf-8")
    print(format_report(report))


if __name__ == "__main__":
    run_command(main)
