"""The folds of a cross-validation: by person, by picture, or by face."""

import dataclasses

import numpy as np

from insideout_tf.data.faces import PRIVATE_TEST, TRAINING, content_keys
from insideout_tf.errors import UserError


def person_folds(faces, count, seed=None):
    """Divides all faces into folds by person, for data without a published test part.

    Args:
        faces: `Faces` with `people`.
        count: the number of folds, from 2 to the number of people. With all of them, each fold leaves
            one person out.
        seed: the seed of the order of the people, a whole number. None: the sorted order, as usual for
            CK+. A fold tests every `count`-th person.

    Returns:
        A list of tuples (training rows, test rows), int64 in ascending order. Each face is in the test
        rows of one fold.

    Raises:
        UserError: the people are unknown, or too few for so many folds.

    Example:
        >>> len(person_folds(read_faces("jaffe"), 10))
        10
    """
    if faces.people is None:
        raise UserError(
            f"{faces.source}: expected faces whose file names tell the person, as in CK+, JAFFE and "
            "KDEF. Choose another split. Received: no people"
        )
    names, person = np.unique(np.array(faces.people), return_inverse=True)
    if not 2 <= count <= len(names):
        raise UserError(
            f"{faces.source}: expected 2 to {len(names)} folds, since there are {len(names)} people. "
            f"Choose such a number. Received: {count}"
        )
    order = np.arange(len(names))
    if seed is not None:
        order = np.random.default_rng(seed).permutation(order)
    is_test = [np.isin(person, order[fold::count]) for fold in range(count)]
    return [(np.flatnonzero(~each), np.flatnonzero(each)) for each in is_test]


def choose_fold(faces, number, count, seed=0):
    """Returns the faces of Training, with one fold of a cross-validation as the test part.

    Faces of one person, or else of one picture, or else with the same pixels stay together. People are
    divided as by `person_folds`; without people, the classes have about the same share in each fold.
    Faces of other parts are not used.

    Args:
        faces: `Faces` with labels.
        number: the fold, from 1 to `count`.
        count: the number of folds.
        seed: of the division without people, a whole number.

    Raises:
        UserError: a class has fewer faces that can be told apart than there are folds, or there are
            too few people.
    """
    from sklearn.model_selection import StratifiedKFold

    if faces.labels is None:
        raise UserError(
            f"{faces.source}: expected labelled faces for a cross-validation. Give data with labels: class folders or a table. Received: no labels"
        )
    faces = faces.select(np.flatnonzero(faces.usage == TRAINING))
    if faces.people is not None:
        _, test = person_folds(faces, count)[number - 1]
    else:
        keys = content_keys(faces.pixels) if faces.pictures is None else np.array(faces.pictures)
        _, first, group = np.unique(keys, return_index=True, return_inverse=True)
        labels = faces.labels[first]
        counts = np.bincount(labels, minlength=len(faces.classes))
        few = [f"{name}: {n}" for name, n in zip(faces.classes, counts) if 0 < n < count]
        if few or not len(faces):
            raise UserError(
                f"{faces.source}: expected at least {count} different faces of each class in Training, "
                f"for {count} folds. Give fewer folds. Received: {', '.join(few[:10]) or 'none'}"
            )
        division = StratifiedKFold(count, shuffle=True, random_state=seed).split(labels, labels)
        _, chosen = list(division)[number - 1]
        test = np.flatnonzero(np.isin(group, chosen))
    usage = np.full(len(faces), TRAINING, np.uint8)
    usage[test] = PRIVATE_TEST
    return dataclasses.replace(faces, usage=usage)
