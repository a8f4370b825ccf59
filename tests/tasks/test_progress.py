"""The progress bar of a comparison."""

import io

import pytest
from tqdm import tqdm

from lyricbert.tasks.comparison import progress
from lyricbert.tasks.comparison.pieces import Piece


class TrainerStandIn:
    """What the bar looks at: `total_steps` or `total_seconds`, and `fraction_done`."""

    def __init__(self, steps: int | None, seconds: float = float("inf")):
        self.total_steps, self.total_seconds, self.fraction_done = steps, seconds, 0.0

    def train(self, hook: progress.Progress) -> None:
        hook.start(self)
        for step in range(1, 5):
            self.fraction_done = step / 4
            hook.step(self, None)


@pytest.fixture
def shown(monkeypatch) -> io.StringIO:
    """What a terminal shows."""
    terminal = io.StringIO()
    monkeypatch.setattr(progress, "tqdm", lambda disable, **settings: tqdm(**settings, file=terminal, mininterval=0))
    return terminal


def test_the_bar_is_about_all_trainings(shown, world):
    with progress.Progress(3, world) as bar:
        bar.begin(Piece("base", 0))
        for piece in (Piece("base", 0, 0), Piece("adapted", 0, 0), Piece("base", 0, 1)):
            bar.begin(piece)
            TrainerStandIn(4).train(bar)
    states = shown.getvalue().split("\r")
    assert "base model 1, seed 1" in states[-1] and "12/12" in states[-1]
    assert any("adapted model 1, seed 0" in state and "6/12" in state for state in states)


def test_with_a_time_limit_the_bar_counts_seconds(shown, world):
    with progress.Progress(2, world) as bar:
        TrainerStandIn(None, seconds=60.0).train(bar)
        TrainerStandIn(None, seconds=60.0).train(bar)
    assert "120/120" in shown.getvalue().split("\r")[-1]
