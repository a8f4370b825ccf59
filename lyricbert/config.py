"""Parse the command line into a dataclass. Each field is a flag; its metadata holds the help and the checks."""

import argparse
import dataclasses
import math
import re
import sys
import textwrap
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from lyricbert.errors import UserError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


def option(
    help: str,
    default: Any = dataclasses.MISSING,
    *,
    advice: str = "",
    choices: tuple[str, ...] = (),
    check: str = "",
    metavar: str = "",
    omit_default: bool = False,
) -> Any:
    """A dataclass field that is also a flag.

    `help`: what the flag sets, in lower case, with its unit; it names every choice. It may end with "(default: ...)" if
    the default is not a plain value. `advice`: when to change the flag, as Markdown for docs/flags.md. `check`: the
    range of a number, a key of `RANGES`. `metavar`: makes a positional argument. `omit_default`: `to_json`
    leaves the field out while it has its default. This is for flags that are newer than the first release: files and
    checkpoints of a run that does not use them stay the same.

    A flag without a default is required. A flag of type tuple may be repeated.
    """
    metadata = {
        "help": help,
        "advice": advice,
        "choices": choices,
        "check": check,
        "metavar": metavar,
        "omit_default": omit_default,
    }
    return dataclasses.field(default=default, metadata=metadata)


def with_default(config: type[Any], name: str, default: Any) -> Any:
    """The option `name` of the dataclass `config` with another default, for a subclass that declares it again."""
    field = next(field for field in dataclasses.fields(config) if field.name == name)
    return dataclasses.field(default=default, metadata=field.metadata)


RANGES = {
    "positive": ("greater than 0 and finite", lambda value: 0 < value < math.inf),
    "non-negative": ("at least 0 and finite", lambda value: 0 <= value < math.inf),
    "seed": ("at least 0 and less than 2^63", lambda value: 0 <= value < 2**63),
    "fraction": ("greater than 0 and less than 1", lambda value: 0 < value < 1),
    "share": ("at least 0 and less than 1", lambda value: 0 <= value < 1),
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of the description, and does not break lines at hyphens."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, break_on_hyphens=False)


def groups(config: type[Any]) -> list[tuple[str, list[dataclasses.Field[Any]]]]:
    """(title, flags) of each dataclass in the bases of `config`. Groups with a required flag come first.

    A field that a subclass declares again, with another default, stays in the group of the base.
    """
    fields = {field.name: field for field in dataclasses.fields(config)}
    found = []
    for owner in reversed([base for base in config.__mro__ if dataclasses.is_dataclass(base)]):
        own = [fields.pop(name) for name in owner.__annotations__ if name in fields]
        if own:
            found.append(((owner.__doc__ or "").splitlines()[0].rstrip("."), own))
    return sorted(found, key=lambda group: not any(map(_is_required, group[1])))


def flag(name: str) -> str:
    """The flag of a field."""
    return f"--{name.replace('_', '-')}"


def help_and_default(field: dataclasses.Field[Any]) -> tuple[str, str]:
    """(what a flag sets, its default in words)."""
    text = field.metadata["help"]
    if written := re.fullmatch(r"(.*) \(default: (.*)\)", text):
        return written[1], written[2]
    if _is_required(field):
        return text, "required"
    if field.default is None:
        return text, "none"
    return text, "off" if field.default is False else str(field.default)


def parse(config: type[T], description: str, arguments: list[str] | None = None, prog: str | None = None) -> T:
    """Parse the command line into the dataclass `config`, whose bases become groups of flags. Raises `UserError`.

    `arguments`: by default those of this process. `prog`: how the usage names the command, by default as it was
    started: "python -m MODULE", or the script's name.
    """
    module = getattr(sys.modules["__main__"], "__spec__", None)
    parser = _Parser(
        prog=prog or (f"python -m {module.name}" if module else None),
        description=description,
        allow_abbrev=False,
        formatter_class=_Formatter,
    )
    hints = typing.get_type_hints(config)
    fields = {field.name: field for field in dataclasses.fields(config)}
    required = []
    for title, members in groups(config):
        group = parser.add_argument_group(title)
        for field in members:
            usage = _add_flag(group, field, hints[field.name])
            required += [usage] if _is_required(field) else []
    parser.usage = " ".join(["%(prog)s", *required, "[options]"])
    values = vars(parser.parse_args(arguments))
    for name, value in values.items():
        wording, holds = RANGES.get(fields[name].metadata["check"], ("", lambda _: True))
        if value is not None and not holds(value):
            raise UserError(f"{flag(name)} {value}: must be {wording}")
    return config(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def to_json(config: Any) -> dict[str, Any]:
    """The dataclass as a dictionary that JSON can hold."""
    values = dataclasses.asdict(config)
    for field in dataclasses.fields(config):
        if field.metadata.get("omit_default") and values[field.name] == field.default:
            del values[field.name]
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING


def _add_flag(group: argparse._ArgumentGroup, field: dataclasses.Field[Any], hint: Any) -> str:
    """Add the flag of a field to a group. Returns how it is written on the command line."""
    metadata = field.metadata
    text, default = help_and_default(field)
    many = typing.get_origin(hint) is tuple
    kind = _plain_type(hint)
    reader = _path if kind is Path else kind
    options: dict[str, Any] = {"help": text.replace("%", "%%")}
    if metadata["metavar"]:
        group.add_argument(field.name, type=reader, metavar=metadata["metavar"], nargs="+" if many else None, **options)
        return f"{metadata['metavar']}{'...' if many else ''}"
    options["help"] += " (required)" if _is_required(field) else f" (default: {default.replace('%', '%%')})"
    name = flag(field.name)
    if kind is bool:
        group.add_argument(name, action="store_true", **options)
        return name
    if many:
        options["action"] = "append"
    if _is_required(field):
        options["required"] = True
    else:
        initial: Any = field.default
        options["default"] = list(initial) if many else initial  # argparse appends to a list only
    value = {int: "N", float: "X", Path: "PATH", str: field.name.upper()}[kind]
    if metadata["choices"]:
        options["choices"], value = metadata["choices"], f"{{{','.join(metadata['choices'])}}}"
    group.add_argument(name, type=reader, metavar=value, **options)
    return f"{name} {value}"


def _path(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("an empty path; give the name of a file or directory")
    path = Path(text)
    try:
        path.exists()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text[:40]} ...: {error.strerror}") from None
    return path


def _plain_type(hint: Any) -> type:
    """The type of a single value: `Path` for `Path`, `tuple[Path, ...]` and `Path | None`."""
    plain: type = typing.get_args(hint)[0] if typing.get_origin(hint) in (tuple, types.UnionType) else hint
    return plain
