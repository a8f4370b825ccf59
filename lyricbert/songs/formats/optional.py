"""Import the optional libraries: pyarrow for .parquet, zstandard for .zst."""

import importlib
from types import ModuleType

from lyricbert.errors import UserError


def import_optional(module: str, needed_by: str) -> ModuleType:
    """Import `module`, or raise a `UserError` that says which package to install for `needed_by`."""
    try:
        return importlib.import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise UserError(f"{needed_by}: this kind of file needs {package}; run: pip install {package}") from None
