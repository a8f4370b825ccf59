"""Counts the floating-point operations of training, and measures the device's rate of matrix products."""

import statistics
import time

import torch
from transformers import BertConfig


def flops_per_token(config: BertConfig, width: float, target_share: float) -> float:
    """Floating-point operations of the matrix products that training needs for one real token.

    A product of [n, k] and [k, m] takes 2 n k m operations. Training does three products for each one of the forward
    pass: the forward one and two for the gradients (Kaplan et al., "Scaling Laws for Neural Language Models", 2020,
    section 2.1). Padding, embeddings, softmax and normalization count as 0. So time spent on them lowers a program's
    rate.

    `width`: mean number of tokens that a token attends to. `target_share`: share of the tokens that the MLM head
    processes.
    """
    hidden, inner = config.hidden_size, config.intermediate_size
    layer = 4 * hidden * hidden + 2 * hidden * inner + 2 * width * hidden
    head = target_share * (hidden * hidden + hidden * config.vocab_size)
    return 3 * 2 * (config.num_hidden_layers * layer + head)


def matmul_rate(device: torch.device, dtype: torch.dtype, seconds: float = 1.0) -> float:
    """Floating-point operations per second of square matrix products: the median over about `seconds` seconds."""
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
