"""Which faces train, which select, which judge: no test image ever does more than judge."""

import dataclasses

import numpy as np

from insideout_tf.data.classes import EMOTIONS
from insideout_tf.data.faces import PRIVATE_TEST, PUBLIC_TEST, TRAINING, USAGES, content_keys
from insideout_tf.errors import UserError

EVALUATED = ("private", "public", "merged", "validation", "training", "rest")
NAMES = {
    "private": "PrivateTest",
    "public": "PublicTest",
    "merged": "merged",
    "validation": "validation",
    "training": "Training",
    "rest": "the rest of Training",
}


@dataclasses.dataclass(frozen=True)
class Split:
    """Row numbers (int64, ascending) of the faces that train and of those that select the epoch.

    `validation_name` says what selected: "PublicTest" or "stratified validation". `leaks` are the
    rows left out of `training` because a test face has the same pixels, `unlabelled` those that
    `training_fraction` left out.
    """

    training: np.ndarray
    validation: np.ndarray
    validation_name: str
    leaks: np.ndarray
    unlabelled: np.ndarray


def make(faces, split, validation_fraction, seed, drop_leaks, training_fraction=1.0):
    """Divides `faces` into training and validation rows.

    `official` trains on Training and selects on PublicTest. `stratified` selects on
    `validation_fraction` of Training, drawn by `seed` with every class in proportion (at least
    one face of each class on either side), and leaves PublicTest and PrivateTest untouched.
    With `drop_leaks`, training rows pixel-identical to a test face are removed. Of what is left,
    `training_fraction` trains, drawn in the same manner.
    Raises `UserError` when a part would be empty or a class cannot be divided.
    """
    if faces.labels is None:
        raise UserError(
            f"{faces.source}: expected labelled faces; this file has pixels only "
            "(the competition's test.csv). Use train.csv, icml_face_data.csv or "
            "fer2013.csv for training. Received: no 'emotion' column"
        )
    training = np.flatnonzero(faces.usage == TRAINING)
    if not len(training):
        raise UserError(
            f"{faces.source}: expected faces with usage Training. Received: none "
            f"among {len(faces.usage)}"
        )
    if split == "official":
        validation = np.flatnonzero(faces.usage == PUBLIC_TEST)
        name = "PublicTest"
        if not len(validation):
            raise UserError(
                f"{faces.source}: the split 'official' expects PublicTest faces for "
                "validation. Use --set split=stratified to hold out a part of "
                "Training. Received: none with usage PublicTest"
            )
    else:
        validation = _stratified_part(
            faces, training, "validation_fraction", validation_fraction, seed
        )
        training = np.setdiff1d(training, validation)
        name = "stratified validation"
    leaks = training[:0]
    if drop_leaks:
        keys = content_keys(faces.pixels)
        leaked = np.isin(keys[training], keys[faces.usage != TRAINING])
        leaks, training = training[leaked], training[~leaked]
    rows = training
    if training_fraction < 1:
        training = _stratified_part(faces, rows, "training_fraction", training_fraction, seed)
    present = np.bincount(faces.labels[training], minlength=len(EMOTIONS))
    if not len(training) or not present.all():
        missing = [name for name, count in zip(EMOTIONS, present) if not count]
        raise UserError(
            f"{faces.source}: expected training faces of all seven classes. Add some, "
            f"or choose another file. Received: none of {', '.join(missing)}"
        )
    return Split(training, validation, name, leaks, np.setdiff1d(rows, training))


def of_experiment(faces, experiment):
    """Returns the `Split` that an experiment's fields ask for, the same each time."""
    return make(
        faces,
        experiment.split,
        experiment.validation_fraction,
        experiment.seed if experiment.split_seed is None else experiment.split_seed,
        experiment.drop_leaks,
        experiment.training_fraction,
    )


def also_in_training(faces, rows):
    """Returns bool `[len(rows)]`: which faces equal, pixel for pixel, a Training face beside `rows`."""
    others = faces.usage == TRAINING
    others[rows] = False
    keys = content_keys(faces.pixels)
    return np.isin(keys[rows], keys[others])


def list_leaks(faces, leaks):
    """Yields the lines of a CSV: each row of `leaks` and the first test face with the same pixels."""
    keys = content_keys(faces.pixels)
    first: dict[bytes, int] = {}
    for row in np.flatnonzero(faces.usage != TRAINING):
        first.setdefault(keys[row].tobytes(), int(row))
    yield "row,emotion,same_as_row,same_as_usage,same_as_emotion"
    for row in leaks:
        twin = first[keys[row].tobytes()]
        emotions = [EMOTIONS[faces.labels[each]] for each in (row, twin)]
        yield f"{row},{emotions[0]},{twin},{USAGES[faces.usage[twin]]},{emotions[1]}"


def evaluation_rows(faces, split_name, experiment):
    """Returns the rows of one of `EVALUATED`, in file order; `experiment` (or None) recalls the split."""
    if faces.labels is None:
        raise UserError(
            f"{faces.source}: expected labelled faces to judge a model on. "
            "Received: no 'emotion' column"
        )
    of_training = {"validation": "validation", "training": "training", "rest": "unlabelled"}
    if split_name in of_training:
        if experiment is None:
            raise UserError(
                f"--split {split_name}: expected a run directory, which records how "
                "Training was divided. Received: a model file alone"
            )
        division = of_experiment(faces, experiment)
        if split_name == "rest" and not len(division.unlabelled):
            raise UserError(
                "--split rest: expected a run whose training_fraction left faces of Training out. "
                f"Choose another --split. Received: training_fraction {experiment.training_fraction:g}"
            )
        return getattr(division, of_training[split_name])
    wanted = {
        "private": (PRIVATE_TEST,),
        "public": (PUBLIC_TEST,),
        "merged": (PUBLIC_TEST, PRIVATE_TEST),
    }[split_name]
    absent = [usage for usage in wanted if not (faces.usage == usage).any()]
    if absent:
        missing = " and ".join(USAGES[usage] for usage in absent)
        raise UserError(
            f"{faces.source}: --split {split_name} expects faces with usage "
            f"{missing}. Choose another --split or another file. Received: none"
        )
    return np.flatnonzero(np.isin(faces.usage, wanted))


def _stratified_part(faces, training, name, fraction, seed):
    """Returns a part of the rows `training` with every class in it and in the rest; name: its field."""
    from sklearn.model_selection import train_test_split

    labels = faces.labels[training]
    counts = np.bincount(labels, minlength=len(EMOTIONS))
    few = [f"{EMOTIONS[label]}: {count}" for label, count in enumerate(counts) if count < 2]
    if few:
        raise UserError(
            f"{faces.source}: {name} expects at least 2 Training faces "
            f"of each class. Add some, or choose another file. Received: {', '.join(few)}"
        )
    size, classes = round(len(training) * fraction), len(EMOTIONS)
    part = np.zeros(0, np.int64)
    if classes <= size <= len(training) - classes:
        _, part = train_test_split(training, test_size=size, stratify=labels, random_state=seed)
    present = np.bincount(faces.labels[part], minlength=classes)
    if not ((0 < present) & (present < counts)).all():
        raise UserError(
            f"{faces.source}: {name} {fraction:g} expects at least one "
            f"face of each class on either side. Change it with --set. Received: "
            f"{size} of {len(training)} Training faces"
        )
    return np.sort(part)
