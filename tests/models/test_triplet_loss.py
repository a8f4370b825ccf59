import numpy as np
import pytest
import torch

from lyricbert.batches.examples import section_examples
from lyricbert.batches.triplets import draw_triplets
from lyricbert.errors import UserError
from lyricbert.models.triplet_loss import count_terms, distance_matrix, hardest, pairwise_distance, triplet_loss
from lyricbert.songs.store import TRAIN, VALIDATION
from lyricbert.tasks.config import TripletConfig
from lyricbert.tasks.triplet import TripletTask

ANCHOR = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
NEAR = torch.tensor([[1.0, 0.1], [0.1, 2.0]])
FAR = torch.tensor([[-1.0, 0.3], [3.0, -1.0]])
SONGS = torch.tensor([0, 1, 0, 1, 2, 3])


@pytest.mark.parametrize("loss", ["triplet", "batch-hard", "soft-margin"])
@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_closer_positives_give_a_smaller_loss(loss, distance):
    good = triplet_loss(torch.cat([ANCHOR, NEAR, FAR]), SONGS, loss, distance, margin=0.5)
    bad = triplet_loss(torch.cat([ANCHOR, FAR, NEAR]), SONGS, loss, distance, margin=0.5)
    assert good < bad


@pytest.mark.parametrize("loss", ["triplet", "batch-hard", "soft-margin"])
@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_a_gradient_step_moves_sections_of_a_song_together(loss, distance):
    embeddings = torch.randn(6, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    triplet_loss(embeddings, SONGS, loss, distance, margin=2.0).backward()
    assert torch.isfinite(embeddings.grad).all()
    moved = (embeddings - 0.05 * embeddings.grad).detach()

    def gap(rows: torch.Tensor) -> torch.Tensor:
        matrix = distance_matrix(rows, distance)
        positive, negative = hardest(matrix, SONGS)
        return (positive - negative).mean()

    assert gap(moved) < gap(embeddings.detach())


def test_triplet_loss_equals_a_calculation_by_hand():
    embeddings = torch.cat([ANCHOR, NEAR, FAR])
    cosine = [1 - torch.cosine_similarity(a, b, dim=0) for a, b in ((ANCHOR[0], NEAR[0]), (ANCHOR[0], FAR[0]))]
    other = [1 - torch.cosine_similarity(a, b, dim=0) for a, b in ((ANCHOR[1], NEAR[1]), (ANCHOR[1], FAR[1]))]
    expected = sum(max(0.0, (p - n + 1.9).item()) for p, n in (cosine, other))
    assert triplet_loss(embeddings, SONGS, "triplet", "cosine", 1.9).item() == pytest.approx(expected, rel=1e-5)
    assert count_terms(SONGS, "triplet") == 2


def test_batch_hard_mining_equals_brute_force():
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(12, 4, generator=generator)
    songs = torch.tensor([0, 0, 0, 1, 1, 2, 3, 3, 4, 4, 4, 5])
    distances = distance_matrix(rows, "euclidean")
    positive, negative = hardest(distances, songs)
    expected = []
    for i in range(12):
        same = [distances[i, j].item() for j in range(12) if songs[i] == songs[j] and i != j]
        other = [distances[i, j].item() for j in range(12) if songs[i] != songs[j]]
        if same:
            expected.append((max(same), min(other)))
    assert torch.allclose(torch.stack([positive, negative], dim=1), torch.tensor(expected))
    assert count_terms(songs, "batch-hard") == len(expected) == 10


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_the_matrix_holds_the_pairwise_distances(distance):
    matrix = distance_matrix(torch.cat([ANCHOR, FAR]), distance)
    torch.testing.assert_close(
        matrix[:2, 2:].diagonal(), pairwise_distance(ANCHOR, FAR, distance), rtol=1e-4, atol=1e-5
    )


def test_positives_are_of_the_same_song_and_negatives_of_another(store):
    triplets = draw_triplets(store, TRAIN, key=1, max_length=64)
    anchor, positive, negative = triplets.rows
    song, sections = triplets.song, triplets.sections
    assert np.array_equal(song[anchor], song[positive])
    assert np.all(anchor != positive)
    assert np.all(song[anchor] != song[negative])
    assert np.array_equal(np.sort(anchor), np.arange(len(sections)))
    distinct = section_examples(store, TRAIN)
    counts = np.unique(store.song_of_line()[distinct.first_line], return_counts=True)[1]
    assert len(sections) == counts[counts >= 2].sum()
    assert sections.lengths.max() <= 64


def test_the_key_determines_the_triplets(store):
    one, same, other = (draw_triplets(store, TRAIN, key, 64).rows for key in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_max_songs_limits_the_labelled_songs(store):
    few = draw_triplets(store, TRAIN, key=1, max_length=64, max_songs=5)
    assert len(np.unique(few.song)) == 5
    assert set(few.song[few.rows[2]]) <= set(few.song)
    with pytest.raises(UserError, match="two songs"):
        draw_triplets(store, VALIDATION, key=1, max_length=64, max_songs=1)


def test_a_batch_contains_the_song_of_every_row(store, model_dir, world):
    config = TripletConfig(max_length=64)
    task = TripletTask(config, str(model_dir), store, world)
    indices = np.array([5, 0, 3])
    batch = task.micro_batch(indices[:, None], epoch=0)
    ids, _, _, songs = batch.inputs
    assert songs.tolist() == task.training.song[task.training.rows[:, indices]].flatten().tolist()
    assert len(ids) == 9
    assert batch.terms == 3
