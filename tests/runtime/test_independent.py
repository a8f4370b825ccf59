import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.distributed as dist

from lyricbert.errors import FailedElsewhere, UserError
from lyricbert.runtime.distributed import World
from lyricbert.runtime.independent import work_independently


class Rank(World):
    """A rank that is a thread: it has a store but no process group."""

    def any(self, flag: bool) -> bool:
        """Would time out if a rank came late."""
        self.store.add("failed", int(flag))
        self.store.set(f"any/{self.rank}", "")
        self.store.wait([f"any/{rank}" for rank in range(self.size)])
        return self.store.add("failed", 0) > 0


def run(work, size: int = 3, kind: type[Rank] = Rank) -> list[UserError | None]:
    """Call `work(rank, has_failed_elsewhere)` in so many ranks. Returns the error of each."""
    store = dist.HashStore()

    def one(rank: int) -> UserError | None:
        try:
            with work_independently(kind(rank, size, torch.device("cpu"), store), lambda _: None) as has_failed:
                work(rank, has_failed)
        except UserError as error:
            return error

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(one, range(size)))


def test_no_rank_begins_a_collective_operation_before_all_have_finished():
    order = []

    class RecordingRank(Rank):
        def any(self, flag):
            order.append("collective operation")
            return super().any(flag)

    def work(rank, has_failed):
        if rank == 1:
            time.sleep(0.2)
        order.append("work")

    assert run(work, kind=RecordingRank) == [None] * 3
    assert order == ["work"] * 3 + ["collective operation"] * 3


def test_an_error_is_raised_in_every_rank_and_the_others_can_end_early():
    def work(rank, has_failed):
        if rank == 1:
            raise UserError("no disk")
        while not has_failed():
            pass

    first, second, third = run(work)
    assert str(second) == "no disk"
    assert isinstance(first, FailedElsewhere) and isinstance(third, FailedElsewhere)


def test_a_single_process_raises_its_error(world):
    with pytest.raises(UserError, match="no disk"), work_independently(world) as has_failed:
        assert not has_failed()
        raise UserError("no disk")
