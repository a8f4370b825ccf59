"""Process group set-up and teardown, sums over ranks, and errors that all ranks raise together."""

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

# All waiting ranks time out within this many seconds of the first.
_GRACE = 2.0


@dataclass(frozen=True)
class World:
    """This process and its place among `size` processes.

    A run without torchrun is a single process. It has no process group, and `store` is None.
    """

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
        """True if `flag` is set on any rank."""
        return bool(self.sum(torch.tensor(int(flag))).item())

    def broadcast_from_main(self, value: float) -> float:
        """Returns the value of rank 0 on every rank."""
        return self.sum(torch.tensor(value if self.is_main else 0.0, dtype=torch.float64)).item()

    def unresponsive_ranks(self) -> str:
        """The ranks that did not time out, with their hosts, such as "rank 1 on node-a", or "none".

        Called by ranks that timed out in a collective operation.
        """
        if self.store is None:  # a single process
            return "none"
        self.store.set(f"waited/{self.rank}", "")
        time.sleep(_GRACE)
        late = [rank for rank in range(self.size) if not self.store.check([f"waited/{rank}"])]
        return ", ".join(f"rank {rank} on {self.store.get(f'host/{rank}').decode()}" for rank in late) or "none"

    @contextmanager
    def raise_on_all_ranks(self) -> Iterator[None]:
        """Barrier with error propagation: if any rank raises `UserError` inside the block, every rank raises."""
        error = None
        try:
            yield
        except UserError as raised:
            error = raised
        if self.any(error is not None):
            raise error or FailedElsewhere("another process of the run failed; see its error message")


@contextmanager
def start_world(timeout_minutes: float = 10.0) -> Iterator[World]:
    """Join torchrun's process group, or run as a single process. Leaves the group at the end of the block.

    Raises `UserError` if there are fewer GPUs than processes on this node. Raises `RuntimeError` in a process that has
    waited `timeout_minutes` for the others.
    """
    # torchrun starts each process in a new session, so killing torchrun and its process group does not end them.
    if "TORCHELASTIC_RUN_ID" in os.environ:
        die_with_parent()
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    if torch.cuda.is_available():
        if local_rank >= torch.cuda.device_count():
            raise UserError(
                f"process {local_rank + 1} of this node has no GPU, because the node has {torch.cuda.device_count()};"
                " lower torchrun's --nproc-per-node"
            )
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
    else:
        device = torch.device("cpu")
        keep_freed_memory()
    if size > 1:
        # Flags and times are CPU tensors and use gloo, so that sums of them never wait for the GPU.
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
    """A part of torchrun's store that only the processes of this start share.

    torchrun keeps its store when it restarts processes (pytorch issue 135712). The addresses of dead processes remain
    in the store, and gloo would wait for these processes. `TORCHELASTIC_RESTART_COUNT` does not identify a start,
    because each node counts separately. So each rank publishes a random name. Rank 0 answers every name with the name
    of this start until all ranks have confirmed it.
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
