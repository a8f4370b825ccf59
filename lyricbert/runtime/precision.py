"""Mixed precision: the dtype of matrix products on a device."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_precision(name: str | None, device: torch.device) -> str:
    """`name` ("bf16", "fp16" or "fp32"), or if it is None the best precision of `device`."""
    return name or best_precision(device)


def best_precision(device: torch.device) -> str:
    """The best precision of `device`: "bf16" if it has instructions for it, else "fp32"."""
    if device.type == "cuda":
        supported = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        supported = torch.cpu._is_avx512_bf16_supported()
    return "bf16" if supported else "fp32"


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """A context in which matrix products run in `precision` and other operations in float32."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=_DTYPES[precision])
