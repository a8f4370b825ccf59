"""Triplet losses and batch-hard mining, as functions of embeddings.

Every loss is summed over its terms. The caller divides by the number of terms in the whole step.
"""

import torch
import torch.nn.functional as F


def pairwise_distance(a: torch.Tensor, b: torch.Tensor, distance: str) -> torch.Tensor:
    """float32 [T]: the distance between each row of `a` and the same row of `b`, both float32 [T, hidden].

    `distance`: "cosine" (1 - cosine similarity, from 0 to 2) or "euclidean".
    """
    if distance == "cosine":
        return 1 - F.cosine_similarity(a, b)
    return F.pairwise_distance(a, b)


def triplet_distances(embeddings: torch.Tensor, distance: str) -> tuple[torch.Tensor, torch.Tensor]:
    """(distances of anchor and positive, distances of anchor and negative), float32 [T] each.

    `embeddings`: float32 [3 * T, hidden], all anchors, then all positives, then all negatives.
    """
    anchor, positive, negative = embeddings.chunk(3)
    return pairwise_distance(anchor, positive, distance), pairwise_distance(anchor, negative, distance)


def distance_matrix(embeddings: torch.Tensor, distance: str) -> torch.Tensor:
    """Distances float32 [N, N] between all rows of `embeddings`, float32 [N, hidden]."""
    if distance == "cosine":
        unit = F.normalize(embeddings)
        return 1 - unit @ unit.T
    squared = torch.cdist(embeddings, embeddings, compute_mode="donot_use_mm_for_euclid_dist").square()
    # The distance of a row to itself is 0, and the square root has no finite gradient there.
    return squared.clamp(min=1e-12).sqrt()


def hinge(positive: torch.Tensor, negative: torch.Tensor, margin: float) -> torch.Tensor:
    """max(0, positive - negative + margin), float32 [T] (Schroff et al., "FaceNet", 2015)."""
    return F.relu(positive - negative + margin)


def soft_margin(positive: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
    """log(1 + exp(positive - negative)), float32 [T] (Hermans et al., "In Defense of the Triplet Loss", 2017)."""
    return F.softplus(positive - negative)


def hardest(distances: torch.Tensor, songs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Batch-hard mining (Hermans et al., 2017).

    For each anchor, finds the farthest row of the same song and the closest row of another song. `distances`: float32
    [N, N]. `songs`: int64 [N]. Returns (positive, negative) distances, float32 [A], of the A rows that have both.
    """
    same = songs[:, None] == songs[None, :]
    positives = same & ~torch.eye(len(songs), dtype=torch.bool, device=songs.device)
    anchors = has_positive_and_negative(songs)
    positive = distances.masked_fill(~positives, -torch.inf).amax(dim=1)
    negative = distances.masked_fill(same, torch.inf).amin(dim=1)
    return positive[anchors], negative[anchors]


def has_positive_and_negative(songs: torch.Tensor) -> torch.Tensor:
    """bool [N]: True for rows with another row of the same song and a row of another song. `songs`: int64 [N]."""
    same = (songs[:, None] == songs[None, :]).sum(dim=1)
    return (same > 1) & (same < len(songs))


def triplet_loss(
    embeddings: torch.Tensor, songs: torch.Tensor, loss: str, distance: str, margin: float
) -> torch.Tensor:
    """The loss of T triplets, summed over its terms: float32 [].

    `embeddings`: float32 [3 * T, hidden], all anchors, then all positives, then all negatives. `songs`: int64 [3 * T],
    the song of each row. `loss`: "triplet", "batch-hard" or "soft-margin".
    """
    if loss == "batch-hard":
        positive, negative = hardest(distance_matrix(embeddings, distance), songs)
        return hinge(positive, negative, margin).sum()
    positive, negative = triplet_distances(embeddings, distance)
    if loss == "soft-margin":
        return soft_margin(positive, negative).sum()
    return hinge(positive, negative, margin).sum()


def count_terms(songs: torch.Tensor, loss: str) -> int:
    """The number of terms that `triplet_loss` sums. `songs`: int64 [3 * T]."""
    if loss == "batch-hard":
        return int(has_positive_and_negative(songs).sum())
    return len(songs) // 3
