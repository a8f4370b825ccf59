"""Format the report of a comparison as Markdown."""

from collections.abc import Iterator
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
_TOO_SMALL = "A larger comparison would probably show `no difference`."
_SEEDS_COVERED = "After triplet training, they also cover the choice of seeds. "
_MODELS_COVERED = "All intervals also cover the choice of the models of a side that has several. "
_NOT_ENOUGH = "needs more songs and more seeds or models: no single factor is enough"
# The verdict of the report is that of this figure, because the triplet task is the purpose of adapting.
DECISIVE = "triplet_loss"


def format_report(report: dict[str, Any]) -> str:
    """The text of report.md. `report`: the content of report.json."""
    lines = [
        f"# Did adapting help? **{report['verdict']}**",
        "",
        f"{_models(report['config'])} The {FIGURES[report['decided_by']][0]} decides the verdict. {report['claim']}",
        "",
        *_figures(report["figures"]),
        "",
        *_paragraphs(report),
        f"Figures after triplet training are means over {report['config']['seeds']} seeds. The figures of each seed:",
        "",
        *_seeds(report["by_seed"]),
        *_by_model(report["by_model"]),
    ]
    return "\n".join([*lines, *(f"\nNote: {note}" for note in report["notes"])]) + "\n"


def _models(config: dict[str, Any]) -> str:
    base, adapted = (", ".join(f"`{name}`" for name in config[side]) for side in ("base", "adapted"))
    return f"Base: {base}. Adapted: {adapted}."


def _figures(figures: dict[str, Any]) -> Iterator[str]:
    yield "| on held-out songs | base | adapted | difference | 95 % interval | verdict |"
    yield "|---|---:|---:|---:|---:|---|"
    for name, row in figures.items():
        what, lower_is_better = FIGURES[name]
        direction = "lower" if lower_is_better else "higher"
        interval = "unknown" if row["low"] is None else f"{row['low']:+.4f} to {row['high']:+.4f}"
        yield (
            f"| {what} ({direction} is better) | {row['base']:.4f} | {row['adapted']:.4f}"
            f" | {row['difference']:+.4f} | {interval} | {row['verdict']} |"
        )


def _paragraphs(report: dict[str, Any]) -> Iterator[str]:
    counts, figures = report["counts"], report["figures"]
    decisive = figures[report["decided_by"]]
    for warning in report["warnings"]:
        yield from (f"Warning: {warning}", "")
    if decisive["power"] is not None:
        yield from (_power(decisive, report), "")
    yield (
        f"Each training used {counts['songs']:,} of {counts['all_songs']:,} songs with at least two different sections."
        f" The figures are those of {counts['triplets']:,} of {counts['all_triplets']:,} held-out triplets and"
        f" {counts['lines']:,} of {counts['all_lines']:,} held-out lines. All were chosen by hash."
    )
    yield ""
    models = _MODELS_COVERED if _has_several(report["by_model"]) else ""
    yield (
        f"The intervals cover the choice of held-out songs: {decisive['songs']} songs with triplets,"
        f" {figures['mlm_loss']['songs']} songs with lines. {_SEEDS_COVERED if report['config']['seeds'] > 1 else ''}"
        f"{models}docs/verdict.md of lyricbert describes the method."
    )
    yield ""


def _power(row: dict[str, Any], report: dict[str, Any]) -> str:
    """What the comparison could have shown, and what the observed difference would need."""
    power, size = row["power"], abs(row["difference"])
    detectable = f"{power['smallest_detectable']:.4f}"
    if row["base"]:
        detectable += f" ({100 * power['smallest_detectable'] / abs(row['base']):.1f} % of the base)"
    levels = {"songs": row["songs"], "seeds": row["seeds"]}
    levels |= {f"{side} models": len(report["config"][side]) for side in ("base", "adapted")}
    *others, last = [_count(factor, levels[factor]) for factor in power["needed"]]
    counts = f"{', '.join(others)} and {last}"
    shown = f"With {counts}, this comparison can show a difference of {detectable} or more with 80 % probability."
    if size <= report["config"]["smallest_difference"] * abs(row["base"]):
        return f"{shown} The observed difference of {size:.4f} is within --smallest-difference. {_TOO_SMALL}"
    needs = [f"about {_count(factor, levels)}" for factor, levels in power["needed"].items() if levels is not None]
    enough = f"needs {', or '.join(needs)}, if all else stays the same" if needs else _NOT_ENOUGH
    return f"{shown} To show the observed difference of {size:.4f} with that probability, it {enough}."


def _count(factor: str, levels: int) -> str:
    return f"{levels:,} {'held-out songs' if factor == 'songs' else factor}"


def _seeds(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield "| seed | base triplet loss | adapted triplet loss | base triplet accuracy | adapted triplet accuracy |"
    yield "|---:|---:|---:|---:|---:|"
    for row in rows:
        yield (
            f"| {row['seed']} | {row['base_triplet_loss']:.4f} | {row['adapted_triplet_loss']:.4f}"
            f" | {row['base_triplet_accuracy']:.4f} | {row['adapted_triplet_accuracy']:.4f} |"
        )


def _has_several(sides: dict[str, list[dict[str, Any]]]) -> bool:
    return any(len(models) > 1 for models in sides.values())


def _by_model(sides: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    """A row for each model, if a side has several."""
    if not _has_several(sides):
        return
    yield from ("", "The figures of each model:", "")
    yield "| model | triplet loss after triplet training | triplet loss before triplet training | MLM loss |"
    yield "|---|---:|---:|---:|"
    for side, models in sides.items():
        for row in models:
            yield (
                f"| {side}: `{row['model']}` | {row['triplet_loss']:.4f} | {row['untrained_triplet_loss']:.4f}"
                f" | {row['mlm_loss']:.4f} |"
            )
