"""Format the report of a comparison as Markdown."""

from typing import Any

FIGURES = {
    # name: (label, True if lower is better)
    "triplet_loss": ("triplet loss after triplet training", True),
    "triplet_accuracy": ("triplet accuracy after triplet training", False),
    "untrained_triplet_loss": ("triplet loss before triplet training", True),
    "untrained_triplet_accuracy": ("triplet accuracy before triplet training", False),
    "mlm_loss": ("MLM loss", True),
    "mlm_accuracy": ("MLM accuracy", False),
    "fill_reciprocal_rank": ("mean reciprocal rank of a masked word", False),
    "fill_top10": ("masked word among the 10 best predictions", False),
}
TRAINED_FIGURES = ("triplet_loss", "triplet_accuracy")
MLM_FIGURES = ("mlm_loss", "mlm_accuracy", "fill_reciprocal_rank", "fill_top10")
# The verdict of the report is that of this figure, because the triplet task is the purpose of adapting.
DECISIVE = "triplet_loss"


def format_report(report: dict[str, Any]) -> str:
    """The text of report.md. `report`: the content of report.json."""
    config = report["config"]
    lines = [
        f"# Did adapting help? **{report['verdict']}**",
        "",
        f"Base: `{config['base'][0]}`. Adapted: `{config['adapted'][0]}`."
        f" The verdict is that of the {FIGURES[report['decided_by']][0]}.",
        "",
        report["claim"],
        "",
        "| on held-out songs | base | adapted | difference | 95 % interval | verdict |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for name, row in report["figures"].items():
        what, lower_is_better = FIGURES[name]
        direction = "lower" if lower_is_better else "higher"
        lines.append(
            f"| {what} ({direction} is better) | {row['base']:.4f} | {row['adapted']:.4f}"
            f" | {row['difference']:+.4f} | {row['low']:+.4f} to {row['high']:+.4f} | {row['verdict']} |"
        )
    counts = report["counts"]
    triplet, masked = report["figures"]["triplet_loss"]["songs"], report["figures"]["mlm_loss"]["songs"]
    lines += [
        "",
        f"Each training used {counts['songs']:,} of {counts['all_songs']:,} songs with at least two different sections."
        f" The figures are those of {counts['triplets']:,} of {counts['all_triplets']:,} held-out triplets and"
        f" {counts['lines']:,} of {counts['all_lines']:,} held-out lines. All were chosen by hash.",
        "",
        f"The intervals cover held-out songs: {triplet} songs with"
        f" triplets, {masked} songs with lines. Figures after triplet training are means over {config['seeds']} seeds."
        " The figures of each seed:",
        "",
        "| seed | base triplet loss | adapted | base triplet accuracy | adapted |",
        "|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row['seed']} | {row['base_triplet_loss']:.4f} | {row['adapted_triplet_loss']:.4f}"
        f" | {row['base_triplet_accuracy']:.4f} | {row['adapted_triplet_accuracy']:.4f} |"
        for row in report["by_seed"]
    ]
    return "\n".join([*lines, *(f"\nNote: {note}" for note in report["notes"])]) + "\n"
