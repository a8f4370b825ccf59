"""Process group set-up and teardown, reductions, and flags that all ranks agree on."""

import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from lyricbert.errors import FailedElsewhere, UserError
from lyricbert.runtime.allocator import keep_freed_memory
from lyricbert.runtime.parent import die_with_parent

# Seconds in which every rank that waits gives up, once the first has.
_GRACE = 2.0


@dataclass(frozen=True)
class World:
    """This process among `size` processes. Without torchrun there is one, and neither process group nor `store`."""

    rank: int
    size: int
    device: torch.device
    store: Store | None = None

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum of `tensor` over all ranks. `tensor` keeps its values. A CPU tensor does not wait for the GPU."""
        if self.size == 1:
            return tensor
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any rank."""
        return bool(self.sum(torch.tensor(int(flag))).item())

    def broadcast_from_main(self, value: float) -> float:
        """The first rank's value, on every rank."""
        return self.sum(torch.tensor(value if self.is_main else 0.0, dtype=torch.float64)).item()

    def unresponsive_ranks(self) -> str:
        """Which ranks have not given up waiting too, and where they run. For one that has."""
        if self.store is None:  # a process alone waits for none
            return "none"
        self.store.set(f"waited/{self.rank}", "")
        time.sleep(_GRACE)
        late = [rank for rank in range(self.size) if not self.store.check([f"waited/{rank}"])]
        return ", ".join(f"rank {rank} on {self.store.get(f'host/{rank}').decode()}" for rank in late) or "none"

    @contextmanager
    def raise_on_all_ranks(self) -> Iterator[None]:
        """Leave the block when every rank has reached its end. If one raises `UserError` in it, all do."""
        error = None
        try:
            yield
        except UserError as raised:
            error = raised
        if self.any(error is not None):
            raise error or FailedElsewhere("another process of the run could not go on")


@contextmanager
def start_world(timeout_minutes: float = 10.0) -> Iterator[World]:
    """Join the processes that torchrun started, or be the only one. Leaves the process group on the way out.

    A process that waits for the others for `timeout_minutes` raises `RuntimeError`.
    """
    die_with_parent()
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    if torch.cuda.is_available():
        if local_rank >= torch.cuda.device_count():
            raise UserError(
                f"process {local_rank + 1} of this node has no GPU of its own, there are {torch.cuda.device_count()};"
                " lower torchrun's --nproc-per-node"
            )
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
    else:
        device = torch.device("cpu")
        keep_freed_memory()
    if size > 1:
        # Flags and clocks are CPU tensors on gloo, so that agreeing on them never waits for the GPU.
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        timeout = timedelta(minutes=timeout_minutes)
        store = _restart_scoped_store(next(rendezvous("env://", timeout=timeout))[0], rank, size)
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timeout)
        store.set(f"host/{rank}", socket.gethostname())
    try:
        yield World(rank, size, device, store if size > 1 else None)
    finally:
        if size > 1:
            dist.destroy_process_group()


def _restart_scoped_store(store: Store, rank: int, size: int) -> Store:
    """A part of torchrun's store that only the processes that started together have.

    torchrun keeps its store when it restarts the processes (pytorch issue 135712), so the addresses of the dead are
    still in it, and gloo would wait for them. `TORCHELASTIC_RESTART_COUNT` does not tell the starts apart, as each node
    counts its own. The first rank answers every name that it is told until each process has its answer.
    """
    own = uuid.uuid4().hex
    if rank == 0:
        joined = [f"{own}/{other}" for other in range(1, size)]
        while not store.check(joined):
            for other in range(1, size):
                store.set(store.get(f"started/{other}").decode(), own)
            time.sleep(0.01)
        return PrefixStore(own, store)
    store.set(f"started/{rank}", own)
    first = store.get(own).decode()
    store.set(f"{first}/{rank}", "")
    return PrefixStore(first, store)
