"""The command `lyricbert` with its subcommands prepare, fill and compare."""

import sys

from lyricbert import __version__, compare, fill, prepare
from lyricbert.errors import UserError, run_command

COMMANDS = {"prepare": prepare, "fill": fill, "compare": compare}


def main() -> None:
    """Run the subcommand that the first command-line argument names."""
    run_command(lambda: run(sys.argv[1:]))


def run(arguments: list[str]) -> None:
    """Run `lyricbert` with these arguments. Raises `UserError` if the first one is not a subcommand."""
    name = arguments[0] if arguments else ""
    if name in ("-h", "--help"):
        print(usage())
    elif name == "--version":
        print(f"lyricbert {__version__}")
    elif name in COMMANDS:
        COMMANDS[name].main(arguments[1:], prog=f"lyricbert {name}")
    else:
        problem = f"no command {name}" if name else "no command given"
        raise UserError(f"{problem}; use one of {', '.join(COMMANDS)}, or see lyricbert --help")


def usage() -> str:
    """The text of `lyricbert --help`. It shows the first line of each subcommand's module docstring."""
    lines = ["usage: lyricbert COMMAND [options]", "       lyricbert COMMAND --help", "       lyricbert --version", ""]
    lines += ["commands:"]
    lines += [f"  {name:<9}{(command.__doc__ or '').splitlines()[0]}" for name, command in COMMANDS.items()]
    lines += ["", "The training scripts are in a clone of the repository: torchrun train_mlm.py --help"]
    return "\n".join(lines)
