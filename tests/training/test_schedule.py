from functools import partial

import pytest
import torch
from transformers import (
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

from lyricbert.training.schedule import learning_rate_factor, learning_rate_factor_by_step


@pytest.mark.parametrize(
    ("decay", "reference"),
    [
        ("linear", partial(get_linear_schedule_with_warmup, num_training_steps=100)),
        ("cosine", partial(get_cosine_schedule_with_warmup, num_training_steps=100)),
        ("constant", get_constant_schedule_with_warmup),
    ],
)
def test_agrees_with_transformers(decay, reference):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = reference(optimizer, num_warmup_steps=20)
    for step in range(100):
        expected = pytest.approx(scheduler.get_last_lr()[0], abs=1e-9)
        assert learning_rate_factor(step / 100, 0.2, decay) == expected
        assert learning_rate_factor_by_step(step, 100, 20, decay) == expected
        optimizer.step()
        scheduler.step()


def test_ends_at_zero_and_may_start_at_the_peak():
    for decay in ("linear", "cosine"):
        assert learning_rate_factor(1.0, 0.1, decay) == pytest.approx(0, abs=1e-12)
        assert learning_rate_factor(1.3, 0.1, decay) == pytest.approx(0, abs=1e-12)
        assert learning_rate_factor(0.0, 0.0, decay) == 1


def test_a_constant_rate_does_not_depend_on_the_length_of_the_run():
    for step in range(40):
        short, long = (learning_rate_factor_by_step(step + 0.5, steps, 7, "constant") for steps in (40, 1001))
        assert short == long


def test_a_warm_up_can_last_for_the_whole_run_or_for_no_step():
    assert learning_rate_factor_by_step(9.5, 10, 10, "linear") == 0.95
    assert learning_rate_factor_by_step(0.5, 10, 0, "linear") == 0.95
