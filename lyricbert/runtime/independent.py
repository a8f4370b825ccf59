"""A barrier for work that takes a different time on each rank."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lyricbert.errors import UserError
from lyricbert.runtime.distributed import World

_PAUSE = 0.2  # seconds between two looks at what the other ranks have done
_FAILED = "independent/failed"


@contextmanager
def work_independently(world: World, sleep: Callable[[float], None] = time.sleep) -> Iterator[Callable[[], bool]]:
    """Barrier with error propagation, as `World.raise_on_all_ranks`, for work that may take hours longer on one rank.

    A collective operation would time out, and no signal handler would run while it waits. Yields a function that tells
    if another rank has failed, so that this one can end early. `sleep` is called with the seconds to wait between two
    looks at the other ranks. Use it once in a run, because its keys stay in the store.
    """
    store, error = world.store, None
    try:
        yield lambda: store is not None and store.check([_FAILED])
    except UserError as raised:
        error = raised
    if store is not None:
        if error is not None:
            store.set(_FAILED, "")
        store.set(f"independent/{world.rank}", "")
        while not store.check([f"independent/{rank}" for rank in range(world.size)]):
            sleep(_PAUSE)
    with world.raise_on_all_ranks():
        if error is not None:
            raise error
