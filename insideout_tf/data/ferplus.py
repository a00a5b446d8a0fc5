"""FER+ votes (Barsoum et al. 2016, arXiv 1608.01041) as soft labels."""

import csv

import numpy as np

from insideout_tf.data.classes import EMOTIONS
from insideout_tf.data.faces import USAGES
from insideout_tf.errors import UserError

VOTES = (
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
# The files whose rows stand in the order of FER+, by the first word of `Faces.identified`.
ORDERED_FILES = ("fer2013.csv", "icml_face_data.csv", "train.csv")


def read(path, faces):
    """Returns the votes uint8 `[n, 10]` (columns `VOTES`) of `faces`, matched by row number.

    FER+ names its rows by position, so `faces` must be one of `ORDERED_FILES` as published, told by
    its SHA-256. Raises `UserError` for any other, and with the line where the file is not FER+.
    """
    if (faces.identified or "").split(" ")[0] not in ORDERED_FILES:
        raise UserError(
            f"--ferplus: expected --data to be {', '.join(ORDERED_FILES)} as published, since FER+ "
            "names its rows by their position in it. Use one of these files, or no votes: --set "
            "soft_label_weight=0. "
            f"Received: {faces.source} ({faces.identified or 'not a published file'})"
        )
    header = ["Usage", "Image name", *VOTES]
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"--ferplus: expected the file fer2013new.csv of FER+. Received: {path}: {error}"
        ) from None
    if not rows or [name.strip() for name in rows[0]] != header:
        raise UserError(
            f"{path}, line 1: expected the columns of FER+ ({', '.join(header)}). Give the file "
            f"fer2013new.csv. Received: {', '.join(rows[0]) if rows else 'an empty file'}"
        )
    if len(rows) - 1 < len(faces):
        raise UserError(
            f"{path}: expected a row of votes for each of the {len(faces):,} faces. Fetch the file "
            f"again. Received: {len(rows) - 1:,} rows"
        )
    votes = np.zeros((len(faces), len(VOTES)), np.uint8)
    for position, usage in enumerate(faces.usage):
        row = rows[position + 1]
        counts = [text.strip() for text in row[2:]]
        whole = len(counts) == len(VOTES) and all(
            text.isascii() and text.isdecimal() and int(text) <= 10 for text in counts
        )
        if not whole or row[0] != USAGES[usage]:
            raise UserError(
                f"{path}, line {position + 2}: expected usage {USAGES[usage]}, a name and ten "
                f"counts of votes, 0 to 10. Fetch the file again. Received: {','.join(row)}"
            )
        votes[position] = [int(text) for text in counts]
    return votes


def translate(votes, labels):
    """Returns float32 `[n, 7]`: what FER2013 would call each face, judged by its votes alone.

    votes: `[n, 10]`. labels: uint8 `[n]`, FER2013's own. A multinomial logistic regression of the
    labels on the shares of the ten votes and on their square roots, fitted on these very rows. So no
    rule of thumb is needed for contempt, unknown and "not a face": the regression learns what
    FER2013 calls the faces that got them. Give it training rows only.
    """
    from sklearn.linear_model import LogisticRegression

    shares = votes / np.maximum(votes.sum(1, keepdims=True), 1)
    features = np.concatenate([shares, np.sqrt(shares)], axis=1)
    model = LogisticRegression(C=10.0, max_iter=2000).fit(features, labels)
    translated = np.zeros((len(votes), len(EMOTIONS)), np.float32)
    translated[:, model.classes_] = model.predict_proba(features)
    return translated


def voted_labels(faces, rows, experiment):
    """Returns float32 `[len(rows), 7]`: `translate` of the votes in `experiment.ferplus`, for `rows`.

    Raises `UserError` where the experiment names no file, and what `read` raises.
    """
    if experiment.ferplus is None:
        raise UserError(
            "--ferplus: expected the path of fer2013new.csv, the FER+ votes, since soft_label_weight is "
            f"{experiment.soft_label_weight:g}; README says where to get it. Or give --set soft_label_weight=0. "
            "Received: nothing"
        )
    return translate(read(experiment.ferplus, faces)[rows], faces.labels[rows])
