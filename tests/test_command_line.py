"""--help of every command, and docs/flags.md."""

import dataclasses
import re

import pytest
from conftest import call

import train_mlm
import train_triplet
from docs.flags import PAGE, page
from lyricbert import compare, fill, prepare
from lyricbert.fill import FillConfig
from lyricbert.prepare import PrepareConfig
from lyricbert.tasks.config import CompareConfig

COMMANDS = {
    "train_mlm.py": train_mlm,
    "train_triplet.py": train_triplet,
    "prepare": prepare,
    "fill": fill,
    "compare": compare,
}
CONFIGS = (train_mlm.Config, train_triplet.Config, PrepareConfig, FillConfig, CompareConfig)
FIELDS = [field for config in CONFIGS for field in dataclasses.fields(config)]


def help_of(command, capsys) -> str:
    with pytest.raises(SystemExit) as end:
        call(command.main, "--help")
    assert end.value.code == 0
    return capsys.readouterr().out


def flags_of(text: str) -> dict[str, str]:
    """Flag -> its help, in one line."""
    entries = re.split(r"\n  (?=--)", text[text.index("options:") :])[1:]
    return {entry.split()[0]: " ".join(entry.split("\n\n")[0].split()) for entry in entries}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_every_flag_stands_in_a_named_group_with_its_default(command, capsys):
    text = help_of(command, capsys)
    ungrouped = text[text.index("options:") :].split("\n\n")[0]
    assert set(re.findall(r"--[a-z-]+", ungrouped)) == {"--help"}
    flags = flags_of(text)
    assert len(flags) >= 5
    for flag, explained in flags.items():
        assert "(default: " in explained or "(required)" in explained, flag


def documented(command: str) -> dict[str, str]:
    """Flag -> default of a command, from the tables of docs/flags.md that are about it."""
    found = {}
    for section in re.split(r"\n(?=##)", page()):
        heading = section.splitlines()[0]
        columns = re.search(r"^\| flag \| (.+) \| what it sets", section, re.MULTILINE)
        names = columns[1].split(" | ") if columns else []
        if f"`{command}`" in names:
            column = names.index(f"`{command}`")
        elif names == ["default"] and command in re.findall(r"[\w.]+", heading):
            column = 0
        else:
            continue
        for row in re.findall(r"^\| `--.*", section, re.MULTILINE):
            flag, *cells = row.strip("| ").split(" | ")
            found[flag.strip("`")] = cells[column]
    return found


@pytest.mark.parametrize("command", ["train_mlm.py", "train_triplet.py", "prepare", "fill"])
def test_docs_list_every_flag_with_the_default_that_help_prints(command, capsys):
    flags = flags_of(help_of(COMMANDS[command], capsys))
    printed = {flag: re.search(r"\((?:default: )?([^()]+)\)$", text)[1] for flag, text in flags.items()}
    assert documented(command) == printed


def test_docs_list_every_flag_of_compare(capsys):
    flags = flags_of(help_of(compare, capsys))
    section = page().split("\n## compare\n")[1].split("\n## ")[0]
    assert set(re.findall(r"`(--[a-z-]+)`", section)) == set(flags)
    assert "`--tokens-per-batch` (2048)" in section  # a default of its own
    assert "`--epochs`," in section  # the default of train_triplet.py


def test_docs_are_generated_from_the_current_flags():
    assert PAGE.read_text(encoding="utf-8") == page(), "stale; run: python -m docs.flags"


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_every_flag_has_advice_and_its_help_names_every_choice(field):
    assert field.metadata["advice"]
    for choice in field.metadata["choices"]:
        assert re.search(rf"\b{choice}\b", field.metadata["help"])


def test_required_flags_come_first_in_usage_and_groups(capsys):
    text = help_of(compare, capsys)
    assert text.startswith("usage: ")
    assert "--data PATH --base BASE --adapted ADAPTED --out PATH [options]" in text.splitlines()[0]
    flags = list(flags_of(text))
    assert flags[:4] == ["--data", "--base", "--adapted", "--out"]
