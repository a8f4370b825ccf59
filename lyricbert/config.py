"""Dataclasses <-> command line: a field is a flag, its metadata the help, its type and default the parsing."""

import argparse
import dataclasses
import math
import sys
import types
import typing
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from lyricbert.errors import UserError

T = TypeVar("T")


def option(
    help: str, default: Any = dataclasses.MISSING, *, choices: tuple = (), check: str = "", metavar: str = ""
) -> Any:
    """A dataclass field that is also a flag. `check` names the range of a number: see `RANGES`.

    A flag without a default must be given; one of type tuple may be given several times. `metavar` makes it a
    positional argument.
    """
    metadata = {"help": help, "choices": choices, "check": check, "metavar": metavar}
    return dataclasses.field(default=default, metadata=metadata)


RANGES = {
    "positive": ("more than 0, and finite", lambda value: 0 < value < math.inf),
    "non-negative": ("0 or more, and finite", lambda value: 0 <= value < math.inf),
    "seed": ("0 or more, and less than 2^63", lambda value: 0 <= value < 2**63),
    "fraction": ("between 0 and 1, both excluded", lambda value: 0 < value < 1),
    "share": ("0 or more, and less than 1", lambda value: 0 <= value < 1),
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


def parse(config: type[T], description: str, arguments: list[str] | None = None) -> T:
    """Parse the command line into the dataclass `config`, whose bases become groups of flags. Raises `UserError`.

    A field that a subclass declares again, with another default, stays in the group of the base.
    """
    module = getattr(sys.modules["__main__"], "__spec__", None)
    parser = _Parser(
        prog=f"python -m {module.name}" if module else None,
        description=description,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    hints = typing.get_type_hints(config)
    fields = {field.name: field for field in dataclasses.fields(config)}
    ungrouped = set(fields)
    for owner in reversed([base for base in config.__mro__ if dataclasses.is_dataclass(base)]):
        group = parser.add_argument_group((owner.__doc__ or "").splitlines()[0].rstrip("."))
        for name in owner.__annotations__:
            if name in ungrouped:
                _add_flag(group, fields[name], hints[name])
                ungrouped.remove(name)
    values = vars(parser.parse_args(arguments))
    for name, value in values.items():
        wording, holds = RANGES.get(fields[name].metadata["check"], ("", lambda _: True))
        if value is not None and not holds(value):
            raise UserError(f"{_flag(name)} {value}: must be {wording}")
    return config(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def to_json(config: Any) -> dict[str, Any]:
    """The dataclass as a dictionary that JSON can hold."""
    return {
        name: str(value) if isinstance(value, Path) else value for name, value in dataclasses.asdict(config).items()
    }


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _add_flag(group: argparse._ArgumentGroup, field: dataclasses.Field, hint: Any) -> None:
    metadata = field.metadata
    options: dict[str, Any] = {"help": metadata["help"]}
    many = typing.get_origin(hint) is tuple
    kind = _plain_type(hint)
    reader = _path if kind is Path else kind
    if metadata["metavar"]:
        group.add_argument(
            field.name,
            type=reader,
            metavar=metadata["metavar"],
            nargs="+" if many else None,
            **options,
        )
        return
    if many:
        options["action"] = "append"
    if kind is bool:
        options["help"] += " (default: off)"
        group.add_argument(_flag(field.name), action="store_true", **options)
        return
    if field.default is dataclasses.MISSING:
        options["required"] = True
        options["help"] += " (required)"
    else:
        options["default"] = field.default
        if "(default:" not in options["help"]:
            options["help"] += " (default: none)" if field.default is None else " (default: %(default)s)"
    options["metavar"] = {int: "N", float: "X", Path: "PATH", str: "NAME"}[kind]
    if metadata["choices"]:
        options["choices"], options["metavar"] = metadata["choices"], None
    group.add_argument(_flag(field.name), type=reader, **options)


def _path(text: str) -> Path:
    path = Path(text)
    try:
        path.exists()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text[:40]} ...: {error.strerror}") from None
    return path


def _plain_type(hint: Any) -> type:
    """The type of one value: `Path` of `Path`, of `tuple[Path, ...]` and of `Path | None`."""
    if typing.get_origin(hint) in (tuple, types.UnionType):
        return typing.get_args(hint)[0]
    return hint
