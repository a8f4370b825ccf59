"""Each loss equals a loop in plain Python."""

import math
import random
from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from lyricbert.models.triplet_loss import (
    LOSS_FUNCTIONS,
    count_terms,
    distance_matrix,
    hardest,
    pairwise_distance,
    semi_hard_negatives,
    triplet_distances,
    triplet_loss,
)
from lyricbert.tasks.config import DISTANCES, LOSSES

MARGIN = 0.7
MANY_SECTIONS = [0, *[1] * 9, 2]
Case = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def make_rows(songs: list[int], source: random.Random) -> torch.Tensor:
    """A triplet int64 [3, T] for each section with a positive and a negative."""
    rows = []
    for i, song in enumerate(songs):
        positives = [j for j, other in enumerate(songs) if other == song and j != i]
        negatives = [j for j, other in enumerate(songs) if other != song]
        if positives and negatives:
            rows.append((i, source.choice(positives), source.choice(negatives)))
    return torch.tensor(rows, dtype=torch.int64).reshape(-1, 3).T


def make_case(songs: list[int], seed: int = 0) -> Case:
    """(embeddings, songs, rows) with random embeddings."""
    embeddings = torch.randn(len(songs), 5, generator=torch.Generator().manual_seed(seed))
    return embeddings, torch.tensor(songs, dtype=torch.int64), make_rows(songs, random.Random(seed))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """(embeddings, songs, rows) of up to nine sections. Many are equal or equally far away; some are 0."""
    songs = draw(st.lists(st.integers(0, 3), max_size=9))
    embeddings = draw(st.lists(st.lists(st.integers(-1, 1), min_size=2, max_size=2), min_size=9, max_size=9))
    rows = make_rows(songs, random.Random(draw(st.integers(0, 9))))
    return torch.tensor(embeddings[: len(songs)]).reshape(-1, 2).float(), torch.tensor(songs, dtype=torch.int64), rows


def cosine(a: list[float], b: list[float]) -> float:
    norms = math.hypot(*a) * math.hypot(*b)
    return sum(x * y for x, y in zip(a, b, strict=True)) / norms if norms else 0.0


def terms_of_triplets(loss: str, vectors: list[list[float]], rows: list[list[int]], distance: str) -> Iterator[float]:
    for anchor, positive, negative in zip(*rows, strict=True):
        if distance == "cosine":
            gap = cosine(vectors[anchor], vectors[negative]) - cosine(vectors[anchor], vectors[positive])
        else:
            gap = math.dist(vectors[anchor], vectors[positive]) - math.dist(vectors[anchor], vectors[negative])
        yield max(0.0, gap + MARGIN) if loss == "triplet" else math.log1p(math.exp(gap))


def terms_of_mining(loss: str, distances: list[list[float]], songs: list[int]) -> Iterator[float]:
    for i, song in enumerate(songs):
        positives = [distances[i][j] for j, other in enumerate(songs) if other == song and j != i]
        negatives = [distances[i][j] for j, other in enumerate(songs) if other != song]
        if not positives or not negatives:
            continue
        if loss == "batch-hard":
            yield max(0.0, max(positives) - min(negatives) + MARGIN)
            continue
        for positive in positives:
            farther = [negative for negative in negatives if negative > positive]
            yield max(0.0, positive - (min(farther) if farther else max(negatives)) + MARGIN)


def terms_of_infonce(vectors: list[list[float]], songs: list[int], rows: list[list[int]]) -> Iterator[float]:
    for t, anchor in enumerate(rows[0]):
        similarities = [
            cosine(vectors[anchor], vectors[positive]) / 0.05
            for u, positive in enumerate(rows[1])
            if u == t or songs[positive] != songs[anchor]
        ]
        own = cosine(vectors[anchor], vectors[rows[1][t]]) / 0.05
        yield math.log(sum(math.exp(similarity) for similarity in similarities)) - own


def terms_in_plain_python(case: Case, loss: str, distance: str) -> list[float]:
    embeddings, songs, rows = (tensor.tolist() for tensor in case)
    if loss == "infonce":
        return list(terms_of_infonce(embeddings, songs, rows))
    if loss in ("triplet", "soft-margin"):
        return list(terms_of_triplets(loss, embeddings, rows, distance))
    # Rounding decides which of two equally far sections is farther. So both sides mine the same rounded distances.
    return list(terms_of_mining(loss, distance_matrix(case[0], distance).tolist(), songs))


def check(case: Case, loss: str, distance: str) -> None:
    """The loss and its number of terms are those of the loop, and the gradient is finite."""
    embeddings = case[0].clone().requires_grad_()
    terms = terms_in_plain_python(case, loss, distance)
    value = triplet_loss(embeddings, *case[1:], loss, distance, MARGIN)
    value.backward()
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(sum(terms), rel=1e-4, abs=1e-4)
    assert count_terms(*case[1:], loss) == len(terms)
    assert torch.isfinite(embeddings.grad).all()
    if not terms:
        assert value.item() == 0
        assert not embeddings.grad.any()


def test_the_settings_name_the_losses():
    assert tuple(LOSS_FUNCTIONS) == LOSSES


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("distance", DISTANCES)
@settings(max_examples=60, deadline=None)
@given(case=cases())
def test_a_loss_equals_a_loop_in_plain_python(loss, distance, case):
    check(case, loss, distance)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize(
    "songs",
    [
        pytest.param([], id="no sections"),
        pytest.param([0], id="one section"),
        pytest.param([0, 1, 2], id="no positives"),
        pytest.param([0, 0, 0], id="no negatives"),
        pytest.param([0, 1, 1, 0], id="two songs"),
        pytest.param([0, 1, 1], id="a song with one section is negative only"),
        pytest.param(MANY_SECTIONS, id="a song with many sections"),
        pytest.param([5, 3, 5, 8, 3, 5, 8, 2, 2, 3, 7, 5], id="many songs"),
    ],
)
def test_edge_cases_equal_the_loop(loss, distance, songs):
    check(make_case(songs), loss, distance)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("distance", DISTANCES)
def test_equal_embeddings_have_finite_gradients(loss, distance):
    _, songs, rows = make_case([0, 0, 1, 1, 1, 2])
    check((torch.ones(6, 4), songs, rows), loss, distance)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("distance", DISTANCES)
def test_the_gradient_equals_finite_differences(loss, distance):
    embeddings, songs, rows = make_case([0, 0, 1, 1, 1, 2])
    embeddings = embeddings.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda e: triplet_loss(e, songs, rows, loss, distance, 3.0), embeddings)
    triplet_loss(embeddings, songs, rows, loss, distance, 3.0).backward()
    assert embeddings.grad.any()


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("distance", DISTANCES)
def test_autocast_does_not_round_distances(loss, distance):
    """A bf16 product would make distances of nearly equal sections equal."""
    embeddings, songs, rows = make_case([0, 0, 1, 1, 1, 2])
    close = (1 + 0.01 * embeddings).requires_grad_()
    exact = triplet_loss(close, songs, rows, loss, distance, MARGIN)
    (exact_gradient,) = torch.autograd.grad(exact, close)
    with torch.autocast("cpu", torch.bfloat16):
        value = triplet_loss(close, songs, rows, loss, distance, MARGIN)
    (gradient,) = torch.autograd.grad(value, close)
    assert value.dtype == torch.float32
    assert torch.equal(value, exact)
    assert torch.equal(gradient, exact_gradient)


def test_infonce_with_one_pair_a_song_is_the_multiple_negatives_ranking_loss():
    """Their formula: cross-entropy of the cosine similarities of all anchors and all positives, times 20."""
    embeddings, songs, _ = make_case([0, 0, 1, 1, 2, 2, 3, 3])
    rows = torch.tensor([[0, 2, 4, 6], [1, 3, 5, 7], [2, 4, 6, 0]])
    anchors, positives = (F.normalize(embeddings[i]) for i in rows[:2])
    expected = F.cross_entropy(20 * anchors @ positives.T, torch.arange(4))
    value = triplet_loss(embeddings, songs, rows, "infonce", "cosine", MARGIN) / count_terms(songs, rows, "infonce")
    torch.testing.assert_close(value, expected)


def test_infonce_ignores_the_other_sections_of_the_song():
    """Each of the four anchors has its own positive, and the two positives of the other song as negatives."""
    embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    songs, rows = torch.tensor([0, 0, 1, 1]), torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2], [2, 2, 0, 0]])
    value = triplet_loss(embeddings, songs, rows, "infonce", "cosine", MARGIN)
    assert value.item() == pytest.approx(4 * math.log1p(2 * math.exp(-20)), abs=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("distance", DISTANCES)
def test_a_gradient_step_moves_sections_of_a_song_together(loss, distance):
    embeddings, songs, rows = make_case([0, 1, 0, 1, 2, 3])
    embeddings.requires_grad_()
    triplet_loss(embeddings, songs, rows, loss, distance, margin=2.0).backward()
    moved = (embeddings - 0.02 * embeddings.grad).detach()

    def gap(points: torch.Tensor) -> torch.Tensor:
        positive, negative = triplet_distances(points, rows, distance)
        return (positive - negative).mean()

    assert gap(moved) < gap(embeddings.detach())


def test_hardest_distances_equal_a_calculation_by_hand():
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0], [4.0, 0.0]])
    positive, negative = hardest(distance_matrix(points, "euclidean"), torch.tensor([0, 0, 0, 1]))
    torch.testing.assert_close(positive, torch.tensor([3.0, 10**0.5, 10**0.5, -math.inf]))
    torch.testing.assert_close(negative, torch.tensor([4.0, 3.0, 5.0, 3.0]))


def test_the_first_of_equally_far_negatives_gets_the_gradient():
    """An unstable sort picks another one, which may differ between devices."""
    songs = torch.tensor([0, 0, *[1] * 60])
    distances = torch.ones(62, 62)
    distances[0, 1] = 0.5
    distances.requires_grad_()
    semi_hard_negatives(distances, songs)[0, 1].backward()
    assert distances.grad.nonzero().tolist() == [[0, 2]]


@pytest.mark.parametrize("offset", [0, 100])
@pytest.mark.parametrize("distance", DISTANCES)
def test_the_matrix_holds_the_pairwise_distances(distance, offset):
    embeddings = offset + make_case([0] * 6)[0]
    matrix = distance_matrix(embeddings, distance)
    expected = pairwise_distance(embeddings[:3], embeddings[3:], distance)
    torch.testing.assert_close(matrix[:3, 3:].diagonal(), expected, rtol=1e-4, atol=1e-5)
