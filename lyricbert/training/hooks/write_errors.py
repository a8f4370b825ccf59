"""Handles write errors in hooks."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from lyricbert.errors import UserError
from lyricbert.training.loop import Trainer


@contextmanager
def stop_or_warn_on_write_error(trainer: Trainer, keep_going: bool) -> Iterator[None]:
    """Turn a write error in this block into a stop at the next step, or into a warning with `keep_going`."""
    try:
        yield
    except UserError as error:
        if keep_going:
            tqdm.write(f"warning: {error}", file=sys.stderr)
        else:
            trainer.error = error
