"""Comparison of models on the same faces, over one data set or several."""

import pathlib

from insideout_tf.api.evaluate import read_for
from insideout_tf.data import splits
from insideout_tf.data.classes import match_classes
from insideout_tf.data.read import check_path
from insideout_tf.errors import UserError
from insideout_tf.serving import packaged, recognize


def compare_models(models, data, split=None, bad_rows="stop", map_classes=()):
    """Compares models on the same faces of each data set.

    The classes are those that all models and the data have: faces of others are excluded, and the
    probabilities of others too. Words that mean the same emotion match.

    Examples:
        compare_models(["nano", "small", "runs/mine"], ["my_faces", "raf-db"])

    Args:
        models: run folders, .keras or .tflite files, or names of packaged models, at least two. The
            first is the one that the others are compared with.
        data: what `read_faces` reads, or a list of it.
        split: one of `splits.EVALUATED` that needs no run: "public", "private", "merged", "test" or
            "all"; by default PublicTest of FER2013, and of other data the first there is of
            validation, test and all.
        bad_rows: "stop" at the first bad row or image of the data, or "skip" them.
        map_classes: texts such as "bored=neutral": a class of the data becomes one of the models.

    Returns:
        A list with a dict for each data set, which JSON can hold: `data`, `split`, `n`, `classes`,
        `excluded_classes` (names) and `models`, as of `evaluation.comparison.compare`.

    Raises:
        UserError: fewer than two models, data without two classes that all have, or an option is wrong.
    """
    sources = [data] if isinstance(data, (str, pathlib.Path)) else list(data)
    names = list(dict.fromkeys(map(str, models)))
    if len(names) < 2:
        raise UserError(
            "compare: expected at least two different models. Give another run, .keras file or "
            f"packaged model ({', '.join(packaged.names())}). Received: {', '.join(names) or 'none'}"
        )
    for source in sources:
        check_path(source)
    loaded = {name: recognize.load_for_evaluation(name) for name in names}
    return [_compare_on(loaded, source, split, bad_rows, map_classes) for source in sources]


def _compare_on(loaded, source, split, bad_rows, map_classes):
    """Returns the dict of one data set; loaded: a dict from names to `Recognizer`s."""
    from insideout_tf.evaluation import comparison

    by_input: dict = {}  # models with the same input share their faces
    for recognizer in loaded.values():
        key = recognizer.contract.side, recognizer.contract.channels
        if key not in by_input:
            by_input[key] = read_for(recognizer.contract, source, None, bad_rows, map_classes)
    faces = next(iter(by_input.values()))
    part = split or splits.default_part(faces)
    rows = splits.evaluation_rows(faces, part, None)
    columns = {  # of each model, by the classes of the data
        name: match_classes(faces.classes, recognizer.contract.classes)
        for name, recognizer in loaded.items()
    }
    shared = [
        label
        for label in range(len(faces.classes))
        if all(found[label] >= 0 for found in columns.values())
    ]
    if len(shared) < 2:
        raise UserError(
            f"{source}: expected at least two classes that all models have. Say which are the same "
            f"with --map OLD=NEW. Received: {', '.join(faces.classes[:20])}"
        )
    excluded = [name for label, name in enumerate(faces.classes) if label not in shared]
    mapping = [
        shared.index(label) if label in shared else -1 for label in range(len(faces.classes))
    ]
    rows = rows[[mapping[label] >= 0 for label in faces.labels[rows]]]
    if not len(rows):
        raise UserError(
            f"{source}: expected faces of the classes that all models have. Choose another --split. "
            f"Received: none in {splits.name_of(part, faces)}"
        )
    probabilities = {}
    for name, recognizer in loaded.items():
        own = by_input[recognizer.contract.side, recognizer.contract.channels]
        found = recognizer(own.pixels[rows])[:, [columns[name][label] for label in shared]]
        probabilities[name] = found / found.sum(1, keepdims=True)
    classes = tuple(faces.classes[label] for label in shared)
    labels = [mapping[label] for label in faces.labels[rows]]
    return {
        "data": str(source),
        "split": splits.name_of(part, faces),
        "n": len(rows),
        "classes": list(classes),
        "excluded_classes": excluded,
        "models": comparison.compare(labels, probabilities, classes),
    }
