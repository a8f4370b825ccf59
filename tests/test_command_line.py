"""What every command says with --help, and that the README explains every flag of the trainers."""

import re

import pytest
from conftest import ROOT, call

import train_mlm
import train_triplet
from lyricbert import compare, fill, prepare

TRAINERS = {"train_mlm.py": train_mlm, "train_triplet.py": train_triplet}
COMMANDS = {"prepare": prepare, "fill": fill, "compare": compare, **TRAINERS}


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


@pytest.mark.parametrize(("column", "trainer"), [(0, "train_mlm.py"), (1, "train_triplet.py")])
def test_the_readme_tells_every_flag_of_the_trainers_with_its_default(column, trainer, capsys):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme[readme.index("## Flags of the trainers") :].split("\n## ")[0]
    rows = re.findall(r"^\| `(--[a-z-]+)` \| (.+?) \| (.+?) \| \S", table, re.MULTILINE)
    told = {flag: defaults[column] for flag, *defaults in rows if defaults[column] != "-"}
    flags = flags_of(help_of(TRAINERS[trainer], capsys))
    assert told == {flag: re.search(r"\((?:default: )?([^()]+)\)$", help)[1] for flag, help in flags.items()}
