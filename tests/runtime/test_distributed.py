from concurrent.futures import ThreadPoolExecutor

import torch
import torch.distributed as dist

from lyricbert.runtime.distributed import World, _restart_scoped_store


def test_a_sum_over_ranks_leaves_this_rank_its_own_value(monkeypatch):
    monkeypatch.setattr(dist, "all_reduce", lambda tensor: tensor.add_(float("nan")))  # the other rank's loss
    world = World(rank=0, size=2, device=torch.device("cpu"))
    own = torch.tensor(3.0)
    assert world.sum(own).isnan()
    assert own == 3.0


def test_a_start_does_not_see_entries_of_dead_processes():
    """With torchrun --max-restarts, all starts share one store. A process of the second of three starts died early."""
    shared = dist.HashStore()
    first = start(shared, 3)
    first[0].set("address", "of the dead")
    shared.set("started/1", "a name that nobody waits for")
    second = start(shared, 3)
    assert not second[0].check(["address"])
    second[0].set("address", "of the living")
    assert [store.get("address") for store in second] == [b"of the living"] * 3


def start(shared: dist.Store, size: int) -> list[dist.Store]:
    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(lambda rank: _restart_scoped_store(shared, rank, size), range(size)))
