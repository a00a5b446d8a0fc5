"""An audit of the labels of a data set: likely errors and near-duplicates."""

import typing

import numpy as np

from insideout_tf.api.embed import embed
from insideout_tf.data import images, people, splits
from insideout_tf.data import reading as readings
from insideout_tf.data.classes import match_classes
from insideout_tf.data.faces import TRAINING, Faces
from insideout_tf.data.read import check_path, read
from insideout_tf.errors import UserError, printable
from insideout_tf.evaluation import audit
from insideout_tf.serving import packaged, recognize

FOLDS = 5
METHODS = ("margin", "cleanlab")


class Audit(typing.NamedTuple):
    """What an audit found.

    Attributes:
        faces: the `Faces` that were audited.
        issues: a list of `evaluation.audit.LabelIssue`, the most doubtful label first.
        pairs: a list of `evaluation.audit.Pair`, the most similar first.
        predicted_by: what gave the probabilities, as text.
    """

    faces: Faces
    issues: list
    pairs: list
    predicted_by: str

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
    data,
    model=None,
    split="all",
    embedder=packaged.DEFAULT,
    folds=FOLDS,
    seed=0,
    *,
    recipe=None,
    run_dir=None,
    method="margin",
    **reading,
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
        recipe: instead of classifiers on embeddings, train this recipe once for each part, such as
            "finetune". It audits the training part of the data: `split` must be "all".
        run_dir: the folder of these trainings. Those that are finished there are not repeated.
        method: "margin": every face whose label is not the likeliest class (see
            `evaluation.audit.rank_labels`); or "cleanlab": those that confident learning calls wrong.
        reading: keywords of `read_faces`.

    Returns:
        An `Audit`.

    Raises:
        UserError: the data have no labels, a class has fewer faces than there are parts, or a model
            shares fewer than two classes with the data; or options that do not go together.
    """
    _check_options(model, recipe, run_dir, split, method)
    check_path(data)
    recognizer = None if model is None else recognize.load_for_evaluation(model)
    faces = read(data, readings.Reading(**reading))
    rows = splits.evaluation_rows(faces, split, None)
    if recipe is not None:
        rows = np.flatnonzero(faces.usage == TRAINING)
    faces = faces.select(rows)
    embeddings = np.concatenate([embed(part, embedder) for part in _list_parts(faces.pixels)])
    if recognizer is not None:
        probabilities, predicted_by = _predict_by_model(faces, recognizer, model), f"model {model}"
    elif recipe is not None:
        probabilities = _predict_by_recipe(recipe, data, folds, run_dir, seed, reading)
        predicted_by = f"recipe {recipe}, {folds} parts"
    else:
        probabilities = _predict_by_probes(faces, embeddings, folds, seed)
        predicted_by = f"classifiers on embeddings of {embedder}, {folds} parts"
    rank = {"margin": audit.rank_labels, "cleanlab": audit.rank_by_cleanlab}[method]
    return Audit(
        faces,
        rank(probabilities, faces.labels),
        audit.find_pairs(embeddings, faces.pixels),
        predicted_by,
    )


def _check_options(model, recipe, run_dir, split, method):
    """Raises `UserError` unless the options of `audit_labels` go together."""
    if method not in METHODS:
        raise UserError(
            f"--method: expected one of {', '.join(METHODS)}. Choose one. Received: {method!r}"
        )
    if recipe is None:
        return
    if model is not None or run_dir is None or split != "all":
        raise UserError(
            "--recipe: expected a folder for its runs (--out), no --model, and no --split. Change the "
            f"options. Received: model {model}, folder {run_dir}, split {split}"
        )


def _predict_by_recipe(recipe, data, folds, run_dir, seed, reading):
    """Returns the probabilities `[n, k]` of each face of Training by a run that did not see it."""
    from insideout_tf.api.cross_validate import cross_validate

    given = {name: value for name, value in reading.items() if value}
    return cross_validate(
        recipe, data, folds, run_dir=run_dir, resume=True, split_seed=seed, **given
    ).probabilities


def _predict_by_probes(faces, embeddings, folds, seed):
    """Returns the probabilities `[n, k]` of each face by a classifier that did not see it."""
    counts = np.bincount(faces.labels, minlength=len(faces.classes))
    few = [f"{name}: {count}" for name, count in zip(faces.classes, counts) if 0 < count < folds]
    if few or (counts > 0).sum() < 2:
        raise UserError(
            f"{faces.source}: expected at least {folds} faces of each of two classes or more, for "
            f"{folds} parts. Give fewer --folds, or a --model. Received: "
            f"{', '.join(few[:10]) or 'one class'}"
        )
    return audit.predict_by_folds(embeddings, faces.labels, folds, seed, people.groups_of(faces))


def _list_parts(pixels):
    """Yields faces as what `embed` takes at any size, some at a time: lists of PIL images."""
    from PIL import Image

    for start in range(0, len(pixels), audit.CHUNK):
        yield [Image.fromarray(face) for face in np.asarray(pixels[start : start + audit.CHUNK])]


def _predict_by_model(faces, recognizer, model):
    """Returns the probabilities `[n, k]` of the classes of `faces` by a model; 0 where it lacks one.

    recognizer: its `Recognizer`. model: its name, for messages.
    """
    found = match_classes(faces.classes, recognizer.contract.classes)
    if sum(index >= 0 for index in found) < 2:
        raise UserError(
            f"--model {model}: expected a model that has at least two of the classes "
            f"{', '.join(faces.classes[:20])}. Received: "
            f"{', '.join(recognizer.contract.classes[:20])}"
        )
    predicted = np.concatenate(
        [
            recognizer(images.to_faces(part, recognizer.contract))
            for part in _list_parts(faces.pixels)
        ]
    )
    result = np.zeros((len(faces), len(faces.classes)))
    for label, index in enumerate(found):
        if index >= 0:
            result[:, label] = predicted[:, index]
    # A label that the model does not know is no error.
    unknown = np.flatnonzero(np.array(found)[faces.labels] < 0)
    result[unknown] = 0
    result[unknown, faces.labels[unknown]] = 1
    return result / np.maximum(result.sum(1, keepdims=True), 1e-9)
