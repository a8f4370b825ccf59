import pytest
import torch
from torch import nn

from lyricbert.training.config import LoopConfig
from lyricbert.training.step import TrainStep


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("clip", [0.5, 1000.0])
def test_an_update_is_that_of_adamw_on_clipped_gradients(precision, clip, world):
    torch.manual_seed(0)
    module, reference = nn.Linear(7, 5), nn.Linear(7, 5)
    reference.load_state_dict(module.state_dict())
    config = LoopConfig(max_steps=10, precision=precision, clip=clip, weight_decay=0.0)
    train_step = TrainStep(module, config, world)
    train_step.set_learning_rate(0.1)
    plain = torch.optim.AdamW(reference.parameters(), lr=0.1, weight_decay=0.0)
    for step in range(4):
        x = torch.randn(3, 7) * 10**step
        train_step.scaler.scale(module(x).square().mean()).backward()
        reference(x).square().mean().backward()
        expected = nn.utils.clip_grad_norm_(reference.parameters(), clip)
        plain.step()
        plain.zero_grad()
        torch.testing.assert_close(train_step.update(torch.zeros(())), expected)
        torch.testing.assert_close(module.weight, reference.weight, rtol=1e-5, atol=1e-5)


def test_an_overflow_in_fp16_changes_nothing_but_the_scale(world):
    module = nn.Linear(7, 5)
    before = module.weight.detach().clone()
    train_step = TrainStep(module, LoopConfig(max_steps=10, precision="fp16"), world)
    train_step.scaler.scale(module(torch.full((1, 7), float("inf"))).sum()).backward()
    scale = train_step.scaler.get_scale()
    train_step.update(torch.zeros(()))
    assert torch.equal(module.weight, before)
    assert train_step.scaler.get_scale() == scale / 2
    assert train_step.skips.tolist() == [
        0,
        0,
    ]  # --max-bad-steps counts losses, not overflows
