"""Which faces train the network, which select its best epoch, and which evaluate it.

Faces with usage PublicTest or PrivateTest never train. PrivateTest never selects an epoch.
"""

import dataclasses

import numpy as np

from insideout_tf import targets
from insideout_tf.data import people
from insideout_tf.data.contract import FER2013
from insideout_tf.data.faces import PRIVATE_TEST, PUBLIC_TEST, TRAINING, USAGES, content_keys
from insideout_tf.errors import UserError

# The values of --split, in the order of its help.
EVALUATED = ("private", "public", "merged", "validation", "training", "rest", "test", "all")
WITHOUT_RUN = ("public", "private", "merged", "test", "all")  # those that need no run
OWN_VALIDATION = "val"
# How tables and figures name them.
NAMES = {
    "private": "PrivateTest",
    "public": "PublicTest",
    "merged": "merged",
    "validation": "validation",
    "training": "Training",
    "rest": "the rest of Training",
    "test": "test",
    "all": "all faces",
}
# Of data other than FER2013.
OWN_NAMES = {
    **NAMES,
    "private": "test",
    "public": "val",
    "merged": "val and test",
    "training": "train",
}


@dataclasses.dataclass(frozen=True)
class Split:
    """Rows of one `Faces`, each an int64 array in ascending order.

    Attributes:
        training: the rows that train with their label.
        validation: the rows that select the best epoch.
        validation_name: "PublicTest", "val", "stratified validation" or "validation by person".
        leaks: Training rows outside `training` because a test face has the same pixels.
        unlabelled: Training rows outside `training` because of `training_fraction`.
    """

    training: np.ndarray
    validation: np.ndarray
    validation_name: str
    leaks: np.ndarray
    unlabelled: np.ndarray


def make(faces, split, validation_fraction, seed, drop_leaks, training_fraction=1.0):
    """Divides faces into training and validation rows.

    Args:
        faces: `Faces` with labels.
        split: "official" validates on PublicTest. "stratified" validates on a part of Training; if the
            data tell the people, no person is on both sides. "auto" is "official" if there are
            PublicTest faces.
        validation_fraction: the size of that part, 0..1. Every class has its share of it.
        seed: the seed of every random draw, a whole number.
        drop_leaks: whether to exclude Training faces that equal a test face, pixel for pixel.
        training_fraction: the share of the remaining Training faces that trains, 0..1. Every class
            has its share of it.

    Returns:
        `Split`.

    Raises:
        UserError: a part or a class in it would be empty.
    """
    _check_labels(faces)
    training = np.flatnonzero(faces.usage == TRAINING)
    if not len(training):
        raise UserError(
            f"{faces.source}: expected faces with usage Training. Add some, or choose another "
            f"file. Received: none among {len(faces.usage)}"
        )
    _check_classes(faces)
    if split == "auto":
        split = "official" if (faces.usage == PUBLIC_TEST).any() else "stratified"
    if split == "official":
        validation = _public_test(faces)
        name = "PublicTest" if faces.contract == FER2013 else OWN_VALIDATION
    else:
        name = "stratified validation"
        field = "validation_fraction"
        if people.groups_of(faces) is None:
            validation = _draw_part(faces, training, field, validation_fraction, seed)
        else:
            name = f"validation by {people.word_of(faces)}"
            validation = _draw_people(faces, training, field, validation_fraction, seed)
        training = np.setdiff1d(training, validation)
    leaks = training[:0]
    if drop_leaks:
        keys = content_keys(faces.pixels)
        is_leak = np.isin(keys[training], keys[faces.usage != TRAINING])
        leaks, training = training[is_leak], training[~is_leak]
    rows = training
    if training_fraction < 1:
        training = _draw_part(faces, rows, "training_fraction", training_fraction, seed)
    counts = np.bincount(faces.labels[training], minlength=len(faces.classes))
    if not counts.all():
        missing = [name for name, count in zip(faces.classes, counts) if not count]
        raise UserError(
            f"{faces.source}: expected training faces of all {len(faces.classes)} classes. Add some, "
            f"or choose another file. Received: none of {', '.join(missing[:20])}"
        )
    return Split(training, validation, name, leaks, np.setdiff1d(rows, training))


def of_experiment(faces, experiment):
    """Returns the `Split` of an experiment. The same faces and experiment give the same split.

    Raises:
        UserError: as of `make`; or a person is in two parts of the data, unless the experiment allows it.
    """
    if not experiment.shared_people:
        people.check_parts(faces)
    return make(
        faces,
        experiment.split,
        experiment.validation_fraction,
        experiment.seed if experiment.split_seed is None else experiment.split_seed,
        experiment.drop_leaks,
        experiment.training_fraction,
    )


def evaluation_rows(faces, split_name, experiment):
    """Returns the rows (int64 `[n]`, ascending) of one part of the faces.

    Args:
        faces: `Faces` with labels.
        split_name: one of `EVALUATED`.
        experiment: the experiment of the run, or None. "validation", "training" and "rest" need it.

    Raises:
        UserError: the part is empty, or it needs the experiment of a run.
    """
    if faces.labels is None:
        raise UserError(
            f"{faces.source}: expected labelled faces to evaluate a model on. Choose another file. "
            "Received: no 'emotion' column"
        )
    if split_name in ("validation", "training", "rest"):
        return _rows_of_run(faces, split_name, experiment)
    usages = {
        "private": (PRIVATE_TEST,),
        "public": (PUBLIC_TEST,),
        "merged": (PUBLIC_TEST, PRIVATE_TEST),
        "test": (PRIVATE_TEST,),
        "all": (),
    }[split_name]
    absent = [USAGES[usage] for usage in usages if not (faces.usage == usage).any()]
    if absent:
        raise UserError(
            f"{faces.source}: --split {split_name} expects faces with usage "
            f"{' and '.join(absent)}. Choose another --split or another file. Received: none"
        )
    return np.flatnonzero(np.isin(faces.usage, usages) | (split_name == "all"))


def default_part(faces):
    """Returns the part that a model is evaluated on by default, one of `WITHOUT_RUN`.

    PublicTest of FER2013 and of the drawn faces; of other data the first there is of validation, test
    and all.
    """
    if faces.contract == FER2013 or (faces.usage == PUBLIC_TEST).any():
        return "public"
    return "test" if (faces.usage == PRIVATE_TEST).any() else "all"


def name_of(split_name, faces):
    """Returns how tables and figures name a part: FER2013's names, or those of folders."""
    if faces.source == "drawn":
        return "drawn"
    return (NAMES if faces.contract == FER2013 else OWN_NAMES)[split_name]


def usage_name(faces, row):
    """Returns how tables name the part of one face: "Training" of FER2013, "train" of other data."""
    names = USAGES if faces.contract == FER2013 else ("train", OWN_VALIDATION, "test")
    return names[faces.usage[row]]


def also_in_training(faces, rows, training=None):
    """Returns bool `[len(rows)]`: which faces equal a training face outside `rows`, pixel for pixel.

    training: the rows that trained (see `training_rows`); None takes all faces with usage Training.
    """
    is_other = faces.usage == TRAINING
    if training is not None:
        is_other[:] = False
        is_other[training] = True
    is_other[rows] = False
    keys = content_keys(faces.pixels)
    return np.isin(keys[rows], keys[is_other])


def training_rows(faces, experiment):
    """Returns the rows that trained a run, labelled or not (int64 `[n]`), or None if it is unknown.

    Args:
        faces: `Faces` with labels.
        experiment: the experiment of the run. None: unknown.
    """
    if experiment is None:
        return None
    try:
        split = of_experiment(faces, experiment)
    except UserError:  # data that the run was not trained on
        return None
    if experiment.consistency_weight:
        return np.union1d(split.training, split.unlabelled)
    return split.training


def list_leaks(faces, leaks):
    """Yields the lines of a CSV that names, for each leak, the first test face with its pixels.

    leaks: `Split.leaks`.
    """
    keys = content_keys(faces.pixels)
    first: dict[bytes, int] = {}
    for row in np.flatnonzero(faces.usage != TRAINING):
        first.setdefault(keys[row].tobytes(), int(row))
    yield "row,emotion,same_as_row,same_as_usage,same_as_emotion"
    for row in leaks:
        twin = first[keys[row].tobytes()]
        first_class, second_class = (
            targets.escape_cell(faces.classes[faces.labels[each]], " ") for each in (row, twin)
        )
        cells = (row, first_class, twin, USAGES[faces.usage[twin]], second_class)
        yield targets.format_row(cells).removesuffix("\n")


def _check_labels(faces):
    if faces.labels is None:
        raise UserError(
            f"{faces.source}: expected labelled faces; this file has pixels only "
            "(the competition's test.csv). Use train.csv, icml_face_data.csv or "
            "fer2013.csv for training. Received: no 'emotion' column"
        )


def _check_classes(faces):
    """Raises `UserError` for data of a single class."""
    if len(faces.classes) < 2:
        raise UserError(
            f"{faces.source}: expected faces of at least two classes. Add a class folder. Received: "
            f"{', '.join(faces.classes)} alone"
        )


def _public_test(faces):
    """Returns the rows with usage PublicTest, at least one."""
    rows = np.flatnonzero(faces.usage == PUBLIC_TEST)
    if not len(rows):
        raise UserError(
            f"{faces.source}: the split 'official' expects PublicTest faces for "
            "validation. Use --set split=stratified to hold out a part of "
            "Training. Received: none with usage PublicTest"
        )
    return rows


def _rows_of_run(faces, split_name, experiment):
    """Returns the rows of "validation", "training" or "rest", as the run of `experiment` had them."""
    if experiment is None:
        raise UserError(
            f"--split {split_name}: expected a run folder, since its experiment divides "
            "Training. Give one, or choose another --split. Received: a model file alone"
        )
    split = of_experiment(faces, experiment)
    if split_name == "rest" and not len(split.unlabelled):
        raise UserError(
            "--split rest: expected a run whose training_fraction left faces of Training out. "
            f"Choose another --split. Received: training_fraction {experiment.training_fraction:g}"
        )
    return {
        "validation": split.validation,
        "training": split.training,
        "rest": split.unlabelled,
    }[split_name]


def _draw_part(faces, rows, field, fraction, seed):
    """Returns a part of `rows` (ascending) by a random draw in which every class has its share.

    At least one face of each class is in the part, and one outside. field: the name of the fraction
    in the experiment, for messages.
    """
    from sklearn.model_selection import train_test_split

    labels, classes = faces.labels[rows], len(faces.classes)
    counts = np.bincount(labels, minlength=classes)
    few = [f"{name}: {count}" for name, count in zip(faces.classes, counts) if count < 2]
    if few:
        raise UserError(
            f"{faces.source}: {field} expects at least 2 Training faces "
            f"of each class. Add some, or choose another file. Received: {', '.join(few[:20])}"
        )
    size = round(len(rows) * fraction)
    part = np.zeros(0, np.int64)
    if classes <= size <= len(rows) - classes:
        _, part = train_test_split(rows, test_size=size, stratify=labels, random_state=seed)
    part_counts = np.bincount(faces.labels[part], minlength=classes)
    if not ((0 < part_counts) & (part_counts < counts)).all():
        raise UserError(
            f"{faces.source}: {field} {fraction:g} expects at least one "
            f"face of each class on either side. Change it with --set. Received: "
            f"{size} of {len(rows)} Training faces"
        )
    return np.sort(part)


def _draw_people(faces, rows, field, fraction, seed):
    """Returns a part of `rows` (ascending) as `_draw_part`, with all faces of some people."""
    part = people.draw_part(people.groups_of(faces)[rows], faces.labels[rows], fraction, seed)
    if part is None:
        word = people.word_of(faces)
        count = len(np.unique(people.groups_of(faces)[rows]))
        raise UserError(
            f"{faces.source}: {field} {fraction:g} expects each class on either side with no {word} on "
            f"both. Change it with --set, or add faces. Received: {len(rows)} "
            f"Training faces of {count} {word}{'' if count == 1 else 's'}"
        )
    return rows[part]
