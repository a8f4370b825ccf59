"""The report of a comparison as Markdown."""

from typing import Any

from lyricbert.evaluation.bootstrap import RESAMPLES

FIGURES = {
    # name: (what it is, whether lower is better)
    "triplet_loss": ("triplet loss after training", True),
    "triplet_accuracy": ("triplet accuracy after training", False),
    "untrained_triplet_loss": ("triplet loss before training", True),
    "untrained_triplet_accuracy": ("triplet accuracy before training", False),
    "mlm_loss": ("MLM loss", True),
    "mlm_accuracy": ("MLM accuracy", False),
    "fill_reciprocal_rank": ("mean reciprocal rank of a masked word", False),
    "fill_top10": ("masked word among the first ten", False),
}
MLM_FIGURES = ("mlm_loss", "mlm_accuracy", "fill_reciprocal_rank", "fill_top10")
# Whether adapting was worth it is decided by the task it was meant for.
DECISIVE = "triplet_loss"


def format_report(report: dict[str, Any]) -> str:
    """The text of report.md, from what report.json holds."""
    config = report["config"]
    lines = [
        f"# Did adapting help? **{report['verdict']}**",
        "",
        f"Base: `{config['base']}`. Adapted: `{config['adapted']}`. Decided by the {FIGURES[report['decided_by']][0]}.",
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
    triplet, masked = report["figures"]["triplet_loss"]["songs"], report["figures"]["mlm_loss"]["songs"]
    lines += [
        "",
        f"Intervals: {RESAMPLES} paired bootstrap samples of the held-out songs ({triplet} with triplets, {masked} with"
        f" lines), figures after training averaged over {config['seeds']} seeds. How much the seeds differ:",
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
