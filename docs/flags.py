"""Write docs/flags.md from the config dataclasses. From the repository root: python -m docs.flags"""

import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path

import train_mlm
import train_triplet
from lyricbert.config import flag, groups, help_and_default
from lyricbert.fill import FillConfig
from lyricbert.prepare import PrepareConfig
from lyricbert.tasks.config import CompareConfig, MaskedLMConfig, TripletConfig
from lyricbert.training.config import RunConfig

PAGE = Path(__file__).with_name("flags.md")

TEMPLATE = """\
# Flags

This page is generated from the config dataclasses. To update it, run `python -m docs.flags` in the repository root.

Each command prints its flags and their defaults with `--help`. *Required* flags have no default; *none* means that
the flag is not set.

- [`prepare`](#prepare)
- [`train_mlm.py` and `train_triplet.py`](#train_mlmpy-and-train_tripletpy)
- [`compare`](#compare)
- [`fill`](#fill)

## prepare

{prepare}

## train_mlm.py and train_triplet.py

Both trainers have these flags. In TensorBoard, the held-out loss is `eval/loss` for `train_mlm.py` and
`eval/triplet_loss` for `train_triplet.py`.

{shared}

### masked language model (only train_mlm.py)

{mlm}

### triplet task (only train_triplet.py)

{triplet}

## compare

{compare}

`compare` runs each triplet training in one process. It also takes these flags of `train_triplet.py`, with the same
meaning, although `--compress-gradients` has no effect in one process. A default that differs is in parentheses.

{borrowed}

## fill

{fill}
"""


def page() -> str:
    """The content of docs/flags.md."""
    return TEMPLATE.format(
        prepare=_table(_fields(PrepareConfig)),
        shared=_shared_tables(),
        mlm=_table(_group(MaskedLMConfig)),
        triplet=_table(_group(TripletConfig)),
        compare=_table(_group(CompareConfig)),
        borrowed=_borrowed(),
        fill=_table(_fields(FillConfig)),
    )


def _fields(config: type) -> dict[str, dataclasses.Field]:
    return {field.name: field for field in dataclasses.fields(config)}


def _group(config: type) -> dict[str, dataclasses.Field]:
    """The flags that stand in the group of `config` itself."""
    members = dict(groups(config))[config.__doc__]
    return {field.name: field for field in members}


def _shared_tables() -> str:
    """A table for each group of the flags that both trainers have."""
    trainers = _fields(train_mlm.Config), _fields(train_triplet.Config)
    columns = ("`train_mlm.py`", "`train_triplet.py`")
    tables = []
    for title, members in groups(RunConfig):
        rows = [[trainer[field.name] for trainer in trainers] for field in members]
        tables.append(f"### {title}\n\n{_format(columns, rows)}")
    return "\n\n".join(tables)


def _table(fields: dict[str, dataclasses.Field]) -> str:
    return _format(("default",), [[field] for field in fields.values()])


def _format(columns: Iterable[str], rows: list[list[dataclasses.Field]]) -> str:
    """A table with a column of defaults for each of a row's variants of the same flag."""
    lines = [_row("flag", *columns, "what it sets", "when to change it"), _row(*["---"] * (3 + len(rows[0])))]
    for variants in rows:
        field = variants[0]
        name = f"`{field.metadata['metavar'] or flag(field.name)}`"
        text = re.sub(r"--[a-z][a-z-]+", r"`\g<0>`", help_and_default(field)[0])
        defaults = [help_and_default(variant)[1] for variant in variants]
        lines.append(_row(name, *defaults, text, field.metadata["advice"]))
    return "\n".join(lines)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _borrowed() -> str:
    """The flags that `compare` takes from the triplet trainer, with the defaults that differ."""
    trainer, own = _fields(train_triplet.Config), _group(CompareConfig)
    names = []
    for name, field in _fields(CompareConfig).items():
        if name not in own:
            default = help_and_default(field)[1]
            differs = default != help_and_default(trainer[name])[1]
            names.append(f"`{flag(name)}`" + (f" ({default})" if differs else ""))
    return ", ".join(names)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
