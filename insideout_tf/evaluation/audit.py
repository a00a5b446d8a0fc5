"""Label errors and near-duplicates in a data set, from predictions and embeddings."""

import typing

import numpy as np

from insideout_tf import imports

NEIGHBOURS = 4  # faces that are compared with each face
SIMILAR = 0.9  # correlation of two thumbnails from which faces are near-duplicates
THUMBNAIL = 16  # pixels a side
CHUNK = 4096  # faces in memory at once, where the pixels stay in their files
PROBE_STRENGTH = 0.1  # inverse regularisation of the logistic regression


class LabelIssue(typing.NamedTuple):
    """One face whose label is doubtful.

    Attributes:
        row: of the faces.
        label, suggested: indices of the class that the data give, and of the likeliest other one.
        margin: the probability of the label less that of the other class, -1..1; the lower, the more
            doubtful.
        probabilities: of the label and of the other class.
    """

    row: int
    label: int
    suggested: int
    margin: float
    probabilities: tuple[float, float]


class Pair(typing.NamedTuple):
    """Two faces that are nearly the same.

    Attributes:
        row, other: of the faces, row < other.
        similarity: the correlation of their thumbnails, up to 1.
        is_identical: whether all pixels are equal.
    """

    row: int
    other: int
    similarity: float
    is_identical: bool


def rank_labels(probabilities, labels):
    """Returns the faces whose label is not the likeliest class, the most doubtful first.

    Faces are ranked by the margin between the probability of their label and that of the likeliest other
    class ("normalized margin", Kuan & Mueller 2022, Model-agnostic label quality scoring to detect
    real-world label errors, section 3).

    Args:
        probabilities: float `[n, k]` of a model that did not train on these faces.
        labels: integers `[n]`.

    Returns:
        A list of `LabelIssue`.
    """
    probabilities = np.asarray(probabilities, np.float64)
    rows = np.arange(len(labels))
    own = probabilities[rows, labels]
    others = probabilities.copy()
    others[rows, labels] = -1
    suggested = others.argmax(1)
    best = others[rows, suggested]
    margins = own - best
    chosen = np.flatnonzero(margins < 0)
    chosen = chosen[np.argsort(margins[chosen], kind="stable")]
    return [
        LabelIssue(
            int(row),
            int(labels[row]),
            int(suggested[row]),
            float(margins[row]),
            (float(own[row]), float(best[row])),
        )
        for row in chosen
    ]


def rank_by_cleanlab(probabilities, labels):
    """Returns the label errors that cleanlab finds by confident learning, the most doubtful first.

    Confident learning (Northcutt et al. 2021, arXiv 1911.00068) counts a label as wrong only where another
    class is more likely than that class usually is. Arguments and result as of `rank_labels`, whose order
    it keeps.

    Raises:
        UserError: cleanlab is not installed.
    """
    cleanlab = imports.load("cleanlab.filter", "--method cleanlab")
    probabilities = np.asarray(probabilities, np.float64)
    present, compact = np.unique(
        labels, return_inverse=True
    )  # it expects every class to have faces
    own = probabilities[:, present]
    own = own / np.maximum(own.sum(1, keepdims=True), 1e-9)
    is_issue = cleanlab.find_label_issues(compact, own, n_jobs=1)
    return [each for each in rank_labels(probabilities, labels) if is_issue[each.row]]


def predict_by_folds(embeddings, labels, folds, seed=0, people=None):
    """Returns probabilities of each face by classifiers that did not see it, float64 `[n, k]`.

    A logistic regression on standardised embeddings learns all folds but one and predicts that one.

    Args:
        embeddings: float `[n, d]`.
        labels: integers `[n]`, each class in at least `folds` faces.
        folds: how many, at least 2.
        seed: of the division.
        people: the person of each face; a person is in one fold only. None: every class is divided
            evenly.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    kind = StratifiedKFold if people is None else StratifiedGroupKFold
    division = kind(folds, shuffle=True, random_state=seed)
    found = np.zeros((len(labels), int(np.max(labels)) + 1))
    for known, unknown in division.split(embeddings, labels, people):
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=PROBE_STRENGTH, max_iter=500))
        probe.fit(embeddings[known], labels[known])
        found[np.ix_(unknown, probe.classes_)] = probe.predict_proba(embeddings[unknown])
    return found


def find_pairs(embeddings, pixels, similar=SIMILAR):
    """Returns the near-duplicates, the most similar first.

    The nearest faces by the cosine of their embeddings are compared as thumbnails. So a face that was
    shifted by a pixel, made brighter or saved again as JPEG is found.

    Args:
        embeddings: float `[n, d]`.
        pixels: uint8 `[n, side, side]` or `[n, side, side, 3]`.
        similar: the least correlation of thumbnails, 0..1.

    Returns:
        A list of `Pair`.
    """
    from sklearn.neighbors import NearestNeighbors

    count = len(embeddings)
    if count < 2:
        return []
    unit = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-9)
    search = NearestNeighbors(n_neighbors=min(NEIGHBOURS + 1, count), metric="euclidean")
    neighbours = search.fit(unit).kneighbors(return_distance=False, X=unit)
    first = np.repeat(np.arange(count), neighbours.shape[1])
    pairs = np.stack([first, neighbours.ravel()], 1)
    pairs = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)
    thumbnails = np.concatenate(
        [
            make_thumbnails(np.asarray(pixels[start : start + CHUNK]))
            for start in range(0, count, CHUNK)
        ]
    )
    similarity = (thumbnails[pairs[:, 0]] * thumbnails[pairs[:, 1]]).sum(1)
    chosen = np.flatnonzero(similarity >= similar)
    chosen = chosen[np.argsort(-similarity[chosen], kind="stable")]
    return [
        Pair(
            int(pairs[index, 0]),
            int(pairs[index, 1]),
            float(min(similarity[index], 1.0)),
            bool(np.array_equal(pixels[pairs[index, 0]], pixels[pairs[index, 1]])),
        )
        for index in chosen
    ]


def make_thumbnails(pixels):
    """Returns thumbnails with the mean 0 and the length 1, float32 `[n, 256]`, by averages of blocks."""
    grey = pixels if pixels.ndim == 3 else pixels.mean(-1)
    side = grey.shape[1]
    edges = np.linspace(0, side, THUMBNAIL + 1).round().astype(int)[:-1]
    sums = np.add.reduceat(grey.astype(np.float32), edges, axis=1)
    sums = np.add.reduceat(sums, edges, axis=2)
    sizes = np.diff([*edges, side])
    flat = (sums / np.outer(sizes, sizes)).reshape(len(grey), -1)
    flat -= flat.mean(1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
