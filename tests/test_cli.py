"""The console command `lyricbert`, and what --help of every command imports."""

import subprocess
import sys

import pytest
from conftest import ROOT
from forked import PATIENCE

from lyricbert import __version__, cli
from lyricbert.errors import UserError

# Prints each command, and which of the slow libraries are imported once it has printed its help.
HELP_IMPORTS = """
import importlib, sys
for name in sys.argv[1:]:
    sys.argv = [name, "--help"]
    try:
        importlib.import_module(name).main()
    except SystemExit as end:
        assert end.code == 0
    print(name, *sorted({"torch", "transformers"} & set(sys.modules)), file=sys.stderr)
"""


def test_help_of_every_command_imports_neither_torch_nor_transformers():
    names = ["lyricbert.prepare", "lyricbert.fill", "lyricbert.compare", "lyricbert.cli", "train_mlm", "train_triplet"]
    done = subprocess.run(
        [sys.executable, "-c", HELP_IMPORTS, *names], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.stderr.splitlines() == names


def test_help_has_a_line_for_each_command(capsys):
    cli.run(["--help"])
    printed = capsys.readouterr().out
    for name, command in cli.COMMANDS.items():
        assert f"\n  {name:<9}{command.__doc__.splitlines()[0]}\n" in printed


def test_version(capsys):
    cli.run(["--version"])
    assert capsys.readouterr().out == f"lyricbert {__version__}\n"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_usage_and_errors_name_the_command_as_the_user_typed_it(name, capsys):
    with pytest.raises(SystemExit) as end:
        cli.run([name, "--help"])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: lyricbert {name} ")
    with pytest.raises(UserError, match=f"see lyricbert {name} --help"):
        cli.run([name])


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [([], "no command given"), (["train"], "no command train"), (["--top"], "no command --top")],
)
def test_without_a_known_command_the_message_lists_them(arguments, problem):
    with pytest.raises(UserError, match=f"^{problem}; use one of prepare, fill, compare"):
        cli.run(arguments)


def test_a_command_gets_the_arguments_that_follow_its_name(model_dir, capsys):
    cli.run(["fill", "over the [MASK] tonight", "--model", str(model_dir), "--top", "1"])
    assert capsys.readouterr().out.startswith("over the [MASK] tonight\n")
