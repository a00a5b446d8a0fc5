"""An audit of the labels of a data set: likely errors and near-duplicates."""

import typing

import numpy as np

from insideout_tf.api.embed import embed
from insideout_tf.data import images, people, splits
from insideout_tf.data import reading as readings
from insideout_tf.data.classes import match_classes
from insideout_tf.data.faces import Faces
from insideout_tf.data.read import check_path, read
from insideout_tf.errors import UserError, printable
from insideout_tf.evaluation import audit
from insideout_tf.serving import packaged, recognize

FOLDS = 5


class Audit(typing.NamedTuple):
    """What an audit found.

    Attributes:
        faces: the `Faces` that were audited.
        issues: a list of `evaluation.audit.LabelIssue`, the most doubtful label first.
        pairs: a list of `evaluation.audit.Pair`, the most similar first.
        judged_by: what gave the probabilities, as text.
    """

    faces: Faces
    issues: list
    pairs: list
    judged_by: str

    def to_frame(self):
        """Returns the doubtful labels as a pandas DataFrame, one row a face; names are escaped."""
        import pandas as pd

        faces, names = self.faces, self.faces.names
        return pd.DataFrame(
            [
                {
                    "row": each.row,
                    "name": printable(names[each.row]) if names else "",
                    "usage": splits.usage_name(faces, each.row),
                    "label": faces.classes[each.label],
                    "suggested": faces.classes[each.suggested],
                    "probability_of_label": each.probabilities[0],
                    "probability_of_suggested": each.probabilities[1],
                }
                for each in self.issues
            ],
            columns=[
                *("row", "name", "usage", "label", "suggested"),
                *("probability_of_label", "probability_of_suggested"),
            ],
        )

    def to_pairs_frame(self):
        """Returns the near-duplicates as a pandas DataFrame, one row a pair; names are escaped."""
        import pandas as pd

        faces = self.faces
        assert faces.labels is not None
        columns = ["similarity", "is_identical"]
        for number in ("1", "2"):
            columns += [f"row_{number}", f"name_{number}", f"usage_{number}", f"label_{number}"]
        rows = []
        for pair in self.pairs:
            row: dict[str, typing.Any] = {
                "similarity": round(pair.similarity, 4),
                "is_identical": pair.is_identical,
            }
            for number, index in (("1", pair.row), ("2", pair.other)):
                row[f"row_{number}"] = index
                row[f"name_{number}"] = printable(faces.names[index]) if faces.names else ""
                row[f"usage_{number}"] = splits.usage_name(faces, index)
                row[f"label_{number}"] = faces.classes[faces.labels[index]]
            rows.append(row)
        return pd.DataFrame(rows, columns=columns)


def audit_labels(
    data, model=None, split="all", embedder=packaged.DEFAULT, folds=FOLDS, seed=0, **reading
) -> Audit:
    """Finds likely label errors and near-duplicates in a data set.

    Args:
        data: what `read_faces` reads.
        model: a run, .keras or .tflite file or packaged model that did not train on these faces; its
            classes are matched by word. None: classifiers on the embeddings of `embedder`, each of
            which predicts a part of the faces that it did not see.
        split: one of `splits.WITHOUT_RUN`: the faces to audit.
        embedder: a run, .keras file or packaged model, of which the embeddings are.
        folds: the number of parts, without `model`.
        seed: of the division into parts.
        reading: keywords of `read_faces`.

    Returns:
        An `Audit`.

    Raises:
        UserError: the data have no labels, a class has fewer faces than there are parts, or a model
            shares fewer than two classes with the data.
    """
    check_path(data)
    judge = None if model is None else _load_judge(model)
    faces = read(data, readings.Reading(**reading))
    rows = splits.evaluation_rows(faces, split, None)
    faces = faces.select(rows)
    pixels = faces.pixels
    embeddings = embed(list_images(pixels), embedder)
    if judge is not None:
        probabilities = _predict_by_model(faces, judge, model)
        judged_by = f"model {model}"
    else:
        counts = np.bincount(faces.labels, minlength=len(faces.classes))
        few = [
            f"{name}: {count}" for name, count in zip(faces.classes, counts) if 0 < count < folds
        ]
        if few or (counts > 0).sum() < 2:
            raise UserError(
                f"{faces.source}: expected at least {folds} faces of each of two classes or more, for "
                f"{folds} parts. Give fewer --folds, or a --model. Received: "
                f"{', '.join(few[:10]) or 'one class'}"
            )
        groups = people.groups_of(faces)
        probabilities = audit.predict_by_folds(embeddings, faces.labels, folds, seed, groups)
        judged_by = f"classifiers on embeddings of {embedder}, {folds} parts"
    return Audit(
        faces,
        audit.rank_labels(probabilities, faces.labels),
        audit.find_pairs(embeddings, pixels),
        judged_by,
    )


def list_images(pixels):
    """Returns faces as what `embed` takes at any size: an array, or PIL images."""
    from PIL import Image

    return [Image.fromarray(face) for face in pixels]


def _load_judge(model):
    """Returns the `Recognizer` of a model, by Keras unless it is a .tflite file."""
    engine = "litert" if str(model).endswith(".tflite") else "keras"
    return recognize.load_recognizer(str(model), engine, calibrated=False)


def _predict_by_model(faces, recognizer, model):
    """Returns the probabilities `[n, k]` of the classes of `faces` by a model; 0 where it lacks one.

    recognizer: of `_load_judge`. model: its name, for messages.
    """
    found = match_classes(faces.classes, recognizer.contract.classes)
    if sum(index >= 0 for index in found) < 2:
        raise UserError(
            f"--model {model}: expected a model that has at least two of the classes "
            f"{', '.join(faces.classes[:20])}. Received: "
            f"{', '.join(recognizer.contract.classes[:20])}"
        )
    predicted = recognizer(images.to_faces(list_images(faces.pixels), recognizer.contract))
    result = np.zeros((len(faces), len(faces.classes)))
    for label, index in enumerate(found):
        if index >= 0:
            result[:, label] = predicted[:, index]
    # A label that the model does not know is no error.
    unknown = np.flatnonzero(np.array(found)[faces.labels] < 0)
    result[unknown] = 0
    result[unknown, faces.labels[unknown]] = 1
    return result / np.maximum(result.sum(1, keepdims=True), 1e-9)
