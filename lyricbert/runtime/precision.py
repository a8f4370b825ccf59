"""Mixed precision: which number format a device computes in."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def resolve_precision(name: str | None, device: torch.device) -> str:
    """The precision asked for, or the best that `device` has."""
    return name or best_precision(device)


def best_precision(device: torch.device) -> str:
    """bf16 where the device has instructions for it, else fp32."""
    if device.type == "cuda":
        supported = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        supported = torch.cpu._is_avx512_bf16_supported()
    return "bf16" if supported else "fp32"


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Matrix products in `precision`, the rest in float32."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=_DTYPES[precision])
