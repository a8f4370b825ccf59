"""What a hook does with a file that it cannot write."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

from lyricbert.errors import UserError
from lyricbert.training.loop import Trainer


@contextmanager
def stop_or_warn_on_write_error(trainer: Trainer, keep_going: bool) -> Iterator[None]:
    """What cannot be written in this block ends the run at the next step boundary, or is only warned of."""
    try:
        yield
    except UserError as error:
        if keep_going:
            tqdm.write(f"warning: {error}", file=sys.stderr)
        else:
            trainer.error = error
