import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lyricbert.models.ops import attend, dropout, tied_embedding_lookup


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_drops_at_its_rate_and_keeps_the_mean(dtype, rate):
    torch.manual_seed(0)
    x = torch.ones(1003, 101, dtype=dtype)
    dropped = dropout(x, rate)
    assert dropped.dtype == dtype
    kept = dropped != 0
    assert kept.float().mean().item() == pytest.approx(1 - rate, abs=0.005)
    assert dropped[kept].float().unique().item() == pytest.approx(1 / (1 - rate), rel=0.01)
    # Neighbours share a random number, but are dropped independently.
    both = (~kept[:, 1:] & ~kept[:, :-1]).float().mean().item()
    assert both == pytest.approx(rate**2, abs=0.005)


def test_dropout_depends_on_the_seed_and_its_gradient_has_the_same_mask():
    x = torch.randn(37, 5, requires_grad=True)
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(dropout(x, 0.3))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    results[0].sum().backward()
    torch.testing.assert_close(x.grad * x.detach(), results[0].detach())
    assert dropout(x, 0.0) is x


@pytest.mark.parametrize("width", [7, 20])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_equals_that_of_torch(width, masked):
    torch.manual_seed(0)
    arguments = [torch.randn(3, 2, width, 8, requires_grad=True) for _ in range(3)]
    numbers = torch.arange(width) // 3
    visible = (numbers[:, None] == numbers[None, :]).expand(3, 1, width, width) if masked else None
    ours = attend(*arguments, visible, 0.0)
    expected = F.scaled_dot_product_attention(*arguments, visible)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)
    weight = torch.randn_like(ours)
    for a, b in zip(*(torch.autograd.grad((r * weight).sum(), arguments) for r in (ours, expected)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rate", [0.0, 0.3])
@pytest.mark.parametrize("masked", [False, True])
def test_the_gradients_of_attention_are_those_of_finite_differences(masked, rate):
    arguments = [torch.randn(2, 2, 5, 3, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    numbers = torch.tensor([0, 0, 1, 1, 1])
    visible = (numbers[:, None] == numbers[None, :]).expand(2, 1, 5, 5) if masked else None

    def seeded(query, key, value):
        torch.manual_seed(0)  # the same elements are dropped each time
        return attend(query, key, value, visible, rate)

    assert torch.autograd.gradcheck(seeded, arguments)


def test_both_gradients_of_a_shared_matrix_add_up():
    torch.manual_seed(0)
    matrix = torch.randn(11, 4, requires_grad=True)
    ids = torch.tensor([[1, 5, 1], [0, 10, 5]])
    expected = (F.embedding(ids, matrix).tanh() @ matrix.T).logsumexp(-1).sum()
    (expected_gradient,) = torch.autograd.grad(expected, matrix)
    rows, shared = tied_embedding_lookup(matrix, ids)
    loss = (rows.tanh() @ shared.T).logsumexp(-1).sum()
    loss.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(matrix.grad, expected_gradient)
    rows, _ = tied_embedding_lookup(matrix, ids)
    (of_rows_alone,) = torch.autograd.grad(rows.sum(), matrix)
    assert np.array_equal(of_rows_alone.sum(dim=1).numpy() / 4, np.bincount(ids.flatten(), minlength=11))
