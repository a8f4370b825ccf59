"""Triplet losses, as functions of the embeddings of a micro-batch, the songs of its sections and its triplets.

Every loss is summed over its terms. The caller divides by the number of terms in the whole step.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F

# As in MultipleNegativesRankingLoss of sentence-transformers, which calls its inverse `scale`.
_TEMPERATURE = 0.05


def triplet_loss(
    embeddings: torch.Tensor, songs: torch.Tensor, rows: torch.Tensor, loss: str, distance: str, margin: float
) -> torch.Tensor:
    """The loss of a micro-batch, summed over its terms: float32 [].

    `embeddings`: float32 [S, hidden], one row for each section. `songs`: int64 [S], the song of each section. `rows`:
    int64 [3, T], the sections that are anchor, positive and negative of each triplet. `loss`: a key of
    `LOSS_FUNCTIONS`. `distance`: "cosine" or "euclidean". S and T may be 0. Then the loss is 0 and has a gradient.
    """
    if len(embeddings) == 0:
        return embeddings.sum()  # `amax` raises an error without rows
    return LOSS_FUNCTIONS[loss](embeddings, songs, rows, distance, margin)


def count_terms(songs: torch.Tensor, rows: torch.Tensor, loss: str) -> int:
    """The number of terms that `triplet_loss` sums. `songs`: int64 [S], `rows`: int64 [3, T], both on the CPU."""
    if loss == "batch-hard":
        return int((_count_positives(songs) > 0).sum())
    if loss == "semi-hard":
        return int(_count_positives(songs).sum())
    return rows.shape[1]


def hinge_loss(
    embeddings: torch.Tensor, songs: torch.Tensor, rows: torch.Tensor, distance: str, margin: float
) -> torch.Tensor:
    """The hinge loss of each triplet (Schroff et al., "FaceNet", 2015). Arguments as in `triplet_loss`."""
    return hinge(*triplet_distances(embeddings, rows, distance), margin).sum()


def soft_margin_loss(
    embeddings: torch.Tensor, songs: torch.Tensor, rows: torch.Tensor, distance: str, margin: float
) -> torch.Tensor:
    """log(1 + exp(positive - negative)) of each triplet, without `margin`. Arguments as in `triplet_loss`.

    Source: Hermans et al., "In Defense of the Triplet Loss for Person Re-Identification", 2017.
    """
    positive, negative = triplet_distances(embeddings, rows, distance)
    return F.softplus(positive - negative).sum()


def batch_hard_loss(
    embeddings: torch.Tensor, songs: torch.Tensor, rows: torch.Tensor, distance: str, margin: float
) -> torch.Tensor:
    """The hinge loss of each section with its farthest positive and its closest negative, without `rows`.

    Arguments as in `triplet_loss`. Source: Hermans et al., 2017.
    """
    return hinge(*hardest(distance_matrix(embeddings, distance), songs), margin).sum()


def semi_hard_loss(
    embeddings: torch.Tensor, songs: torch.Tensor, rows: torch.Tensor, distance: str, margin: float
) -> torch.Tensor:
    """The hinge loss of each pair of anchor and positive with its semi-hard negative, without `rows`.

    Arguments as in `triplet_loss`. Source: Schroff et al., 2015, as in BatchSemiHardTripletLoss of
    sentence-transformers.
    """
    distances = distance_matrix(embeddings, distance)
    terms = hinge(distances, semi_hard_negatives(distances, songs), margin)
    return torch.where(_positives(songs), terms, 0).sum()


def infonce_loss(
    embeddings: torch.Tensor, songs: torch.Tensor, rows: torch.Tensor, distance: str, margin: float
) -> torch.Tensor:
    """The cross-entropy of each triplet's positive among the positives of all triplets, without `margin`.

    A logit is the cosine similarity to the anchor, whatever `distance` is, divided by the temperature 0.05. The other
    positives of the anchor's song are left out. Arguments as in `triplet_loss`. Source: van den Oord et al.,
    "Representation Learning with Contrastive Predictive Coding", 2018. With one pair a song, the loss is that of
    MultipleNegativesRankingLoss of sentence-transformers.
    """
    anchor, positive, _ = rows
    logits = cosine_similarities(embeddings[anchor], embeddings[positive]) / _TEMPERATURE
    logits = logits.masked_fill(_positives(songs[anchor]), -torch.inf)
    return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device), reduction="sum")


Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, str, float], torch.Tensor]

LOSS_FUNCTIONS: dict[str, Loss] = {
    "triplet": hinge_loss,
    "batch-hard": batch_hard_loss,
    "soft-margin": soft_margin_loss,
    "semi-hard": semi_hard_loss,
    "infonce": infonce_loss,
}


def hinge(positive: torch.Tensor, negative: torch.Tensor, margin: float) -> torch.Tensor:
    """max(0, positive - negative + margin) of float32 distances of any one shape."""
    return F.relu(positive - negative + margin)


def triplet_distances(embeddings: torch.Tensor, rows: torch.Tensor, distance: str) -> tuple[torch.Tensor, torch.Tensor]:
    """(distances of anchor and positive, distances of anchor and negative), float32 [T] each.

    `embeddings`: float32 [S, hidden]. `rows`: int64 [3, T], anchor, positive and negative of each triplet.
    """
    anchor, positive, negative = embeddings[rows]
    return pairwise_distance(anchor, positive, distance), pairwise_distance(anchor, negative, distance)


def pairwise_distance(a: torch.Tensor, b: torch.Tensor, distance: str) -> torch.Tensor:
    """float32 [T]: the distance between each row of `a` and the same row of `b`, both float32 [T, hidden].

    `distance`: "cosine" (1 - cosine similarity, from 0 to 2) or "euclidean".
    """
    if distance == "cosine":
        return 1 - F.cosine_similarity(a, b)
    return F.pairwise_distance(a, b)


def distance_matrix(embeddings: torch.Tensor, distance: str) -> torch.Tensor:
    """Distances float32 [S, S] between all rows of `embeddings`, float32 [S, hidden]."""
    if distance == "cosine":
        return 1 - cosine_similarities(embeddings, embeddings)
    # The faster mode, with a matrix product, is inexact if distances are small compared with the embeddings.
    return torch.cdist(embeddings, embeddings, compute_mode="donot_use_mm_for_euclid_dist")


def cosine_similarities(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Cosine similarities float32 [A, B] of all rows of `a`, float32 [A, hidden], and `b`, float32 [B, hidden]."""
    # Autocast would round the product to 8 or 11 bits, so that close distances become equal.
    with torch.autocast(a.device.type, enabled=False):
        return F.normalize(a) @ F.normalize(b).T


def hardest(distances: torch.Tensor, songs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The distance of each section to its farthest positive and to its closest negative: float32 [S] each.

    `distances`: float32 [S, S]. `songs`: int64 [S]. Without a positive, the first is -inf. Without a negative, the
    second is inf. Either way, the hinge loss is 0.
    """
    positive = distances.masked_fill(~_positives(songs), -torch.inf).amax(dim=1)
    negative = distances.masked_fill(_same_song(songs), torch.inf).amin(dim=1)
    return positive, negative


def semi_hard_negatives(distances: torch.Tensor, songs: torch.Tensor) -> torch.Tensor:
    """float32 [S, S]: for anchor i and positive j, the distance of i to its closest negative that is farther than j.

    If none is farther, the farthest negative. Without a negative, inf. `distances`: float32 [S, S]. `songs`: int64 [S].
    """
    same = _same_song(songs)
    ascending = distances.masked_fill(same, torch.inf).sort(dim=1, stable=True).values
    farther = torch.searchsorted(ascending.detach(), distances.detach(), right=True)
    farthest = (~same).sum(dim=1, keepdim=True) - 1
    return ascending.gather(1, farther.minimum(farthest).clamp(min=0))


def _same_song(songs: torch.Tensor) -> torch.Tensor:
    """bool [S, S]: True if both sections are of the same song."""
    return songs[:, None] == songs[None, :]


def _positives(songs: torch.Tensor) -> torch.Tensor:
    """bool [S, S]: True if the second section is a positive of the first: another section of its song."""
    return _same_song(songs).fill_diagonal_(False)


def _count_positives(songs: torch.Tensor) -> torch.Tensor:
    """int64 [S]: the number of positives of each section, or 0 if it has no negative."""
    same = _same_song(songs).sum(dim=1)
    return (same - 1) * (same < len(songs))
