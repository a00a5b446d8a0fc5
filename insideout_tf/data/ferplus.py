"""FER+ (Barsoum et al. 2016, arXiv 1608.01041): ten annotators' labels of FER2013, as soft labels."""

import collections
import csv
import dataclasses

import numpy as np

from insideout_tf.data import inputs
from insideout_tf.data.classes import EMOTIONS, match_classes
from insideout_tf.data.faces import USAGES
from insideout_tf.errors import UserError

# The columns of annotator counts in fer2013new.csv; NF means "not a face".
COLUMNS = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
    "unknown",
    "NF",
)
ANNOTATORS = 10
EMOTION_COLUMNS = 8  # the first of `COLUMNS`; unknown and NF follow
CLASSES = (*EMOTIONS, "contempt")
# The files whose rows have the order of FER+, by the first word of `Faces.identified`.
ORDERED_FILES = ("fer2013.csv", "icml_face_data.csv", "train.csv")


def make_distributions(faces, rows, experiment):
    """Returns the FER+ label distributions of training faces, float32 `[len(rows), 7]`.

    Args:
        faces: `Faces` of a published CSV file, with labels.
        rows: the rows of the training faces. No other row contributes.
        experiment: its field `ferplus` is the path of fer2013new.csv.

    Raises:
        UserError: the experiment names no file, and what `read_counts` raises.
    """
    if experiment.ferplus is None:
        raise UserError(
            "--ferplus: expected the path of fer2013new.csv, the labels of FER+, since "
            f"soft_label_weight is {experiment.soft_label_weight:g}; README says where to get it. "
            "Or give --set soft_label_weight=0. Received: nothing"
        )
    counts = read_counts(experiment.ferplus, faces)
    return fit_distributions(counts[rows], faces.labels[rows])


def read_counts(path, faces):
    """Returns how many annotators chose each of `COLUMNS` for each face, uint8 `[n, 10]`.

    FER+ identifies a face by its row in the published files.

    Args:
        path: the path of fer2013new.csv.
        faces: `Faces` of one of `ORDERED_FILES`, as published (by its SHA-256).

    Raises:
        UserError: other faces, or a file that is not FER+ (with its line).
    """
    if (faces.identified or "").split(" ")[0] not in ORDERED_FILES:
        raise UserError(
            f"--ferplus: expected --data to be {', '.join(ORDERED_FILES)} as published, since FER+ "
            "identifies a face by its row there. Use one of these files, or do without FER+ "
            "(soft_label_weight 0, no --ferplus-labels). "
            f"Received: {faces.source} ({faces.identified or 'not a published file'})"
        )
    rows = _read_rows(path)
    if len(rows) < len(faces):
        raise UserError(
            f"{path}: expected a row for each of the {len(faces):,} faces. Download the file "
            f"again. Received: {len(rows):,} rows"
        )
    counts = np.zeros((len(faces), len(COLUMNS)), np.uint8)
    for position, (row, usage) in enumerate(zip(rows, faces.usage)):
        words = [word.strip() for word in row[2:]]
        is_valid = len(words) == len(COLUMNS) and all(
            word.isascii() and word.isdecimal() and len(word) < 3 and int(word) <= ANNOTATORS
            for word in words
        )
        if not is_valid or row[0] != USAGES[usage]:
            raise UserError(
                f"{path}, line {position + 2}: expected usage {USAGES[usage]}, a name and ten "
                f"counts, 0 to {ANNOTATORS}. Download the file again. Received: {','.join(row)}"
            )
        counts[position] = [int(word) for word in words]
    return counts


def _read_rows(path):
    """Returns the rows of a FER+ file after its header, each a list of texts."""
    header = ["Usage", "Image name", *COLUMNS]
    inputs.check_regular_file(path, "the file fer2013new.csv of FER+")
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            "--ferplus: expected the file fer2013new.csv of FER+. Check the path. "
            f"Received: {path}: {error}"
        ) from None
    if not rows or [name.strip() for name in rows[0]] != header:
        raise UserError(
            f"{path}, line 1: expected the columns of FER+ ({', '.join(header)}). Give the file "
            f"fer2013new.csv. Received: {', '.join(rows[0]) if rows else 'an empty file'}"
        )
    return rows[1:]


def find_majority(counts):
    """Returns the index of the column that has more than half of the counts above one, or None.

    counts: how many annotators chose each of `COLUMNS`, integers `[10]`.
    """
    counts = np.where(np.asarray(counts) > 1, counts, 0)
    best = int(counts.argmax())
    return best if 2 * counts[best] > counts.sum() else None


def relabel_by_majority(faces, path):
    """Returns the faces with the label that most annotators of FER+ chose, one of `CLASSES`.

    Faces without a majority (see `find_majority`), and those that most call unknown or no face, are
    excluded and counted in `Faces.skipped`.

    Args:
        faces, path: as of `read_counts`, whose errors it raises.
    """
    counts = read_counts(path, faces)
    columns = [find_majority(each) for each in counts]
    known = match_classes(COLUMNS[:EMOTION_COLUMNS], CLASSES)
    labels = np.array(
        [-1 if each is None or each >= EMOTION_COLUMNS else known[each] for each in columns]
    )
    words = ["no majority" if each is None else COLUMNS[each] for each in columns]
    excluded = collections.Counter(word for word, label in zip(words, labels) if label < 0)
    rows = np.flatnonzero(labels >= 0)
    return dataclasses.replace(
        faces.select(rows),
        labels=labels[rows].astype(np.uint8),
        classes=CLASSES,
        identified=f"FER+ by majority, {faces.identified}",
        skipped=faces.skipped
        + tuple(f"FER+, {word}: {count:,} faces excluded" for word, count in excluded.items()),
    )


def fit_distributions(counts, labels):
    """Returns the distribution over FER2013's classes for each face, float32 `[n, 7]`.

    A multinomial logistic regression predicts FER2013's label from the annotator counts: from the
    share of each column, and from its square root. It is fitted on these faces and applied to them.
    So it learns from the data what FER2013 calls faces that FER+ calls contempt, unknown or "not a
    face". Give it training faces only.

    Args:
        counts: uint8 `[n, 10]`.
        labels: FER2013's labels, uint8 `[n]`, 0..6.
    """
    from sklearn.linear_model import LogisticRegression

    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    features = np.concatenate([shares, np.sqrt(shares)], axis=1)
    model = LogisticRegression(C=10.0, max_iter=2000).fit(features, labels)
    distributions = np.zeros((len(counts), len(EMOTIONS)), np.float32)
    distributions[:, model.classes_] = model.predict_proba(features)
    return distributions
