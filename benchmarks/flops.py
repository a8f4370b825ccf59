"""How much arithmetic a training step needs, and how fast this device does matrix products."""

import statistics
import time

import torch
from transformers import BertConfig


def flops_per_token(config: BertConfig, width: float, target_share: float) -> float:
    """Floating-point operations of training on one real token, in matrix products alone.

    A product of [n, k] and [k, m] takes 2 n k m operations, and training does three for each of the forward pass: the
    forward one and those for both gradients (Kaplan et al., "Scaling Laws for Neural Language Models", 2020, section
    2.1). `width`: mean tokens that a token attends to. `target_share`: share of the tokens that the MLM head runs on.
    Padding, embeddings, softmax and normalization count nothing, so what a program spends on them lowers its rate.
    """
    hidden, inner = config.hidden_size, config.intermediate_size
    layer = 4 * hidden * hidden + 2 * hidden * inner + 2 * width * hidden
    head = target_share * (hidden * hidden + hidden * config.vocab_size)
    return 3 * 2 * (config.num_hidden_layers * layer + head)


def matmul_rate(device: torch.device, dtype: torch.dtype, seconds: float = 1.0) -> float:
    """Floating-point operations a second of square matrix products: the median over about `seconds`."""
    size = 8192 if device.type == "cuda" else 2048
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    times, end = [], time.perf_counter() + seconds
    left @ right
    while time.perf_counter() < end or len(times) < 3:
        _synchronize(device)
        started = time.perf_counter()
        left @ right
        _synchronize(device)
        times.append(time.perf_counter() - started)
    return 2 * size**3 / statistics.median(times)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
