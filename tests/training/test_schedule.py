import pytest
import torch
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

from lyricbert.training.schedule import learning_rate_factor


@pytest.mark.parametrize(
    ("decay", "reference"), [("linear", get_linear_schedule_with_warmup), ("cosine", get_cosine_schedule_with_warmup)]
)
def test_agrees_with_transformers(decay, reference):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = reference(optimizer, num_warmup_steps=20, num_training_steps=100)
    for step in range(100):
        assert learning_rate_factor(step / 100, 0.2, decay) == pytest.approx(scheduler.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        scheduler.step()


def test_ends_at_zero_and_may_start_at_the_peak():
    for decay in ("linear", "cosine"):
        assert learning_rate_factor(1.0, 0.1, decay) == pytest.approx(0, abs=1e-12)
        assert learning_rate_factor(1.3, 0.1, decay) == pytest.approx(0, abs=1e-12)
        assert learning_rate_factor(0.0, 0.0, decay) == 1
