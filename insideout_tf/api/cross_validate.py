"""Cross-validation: a recipe is trained once for each fold and evaluated on the faces of that fold."""

import functools
import pathlib
import typing

import numpy as np

from insideout_tf import errors, files, overrides, runs, targets
from insideout_tf.api.evaluate import evaluate
from insideout_tf.api.train import require_data, set_inputs, train
from insideout_tf.data import folds as divisions
from insideout_tf.data import people, reading
from insideout_tf.data.read import read
from insideout_tf.evaluation import metrics
from insideout_tf.evaluation.report import PREDICTIONS

SUMMARY = "cross_validation.json"
BEGIN = b'{\n  "folds": '
FOLDS = 5


class CrossValidation(typing.NamedTuple):
    """What a cross-validation gives.

    Attributes:
        summary: the content of cross_validation.json: `folds`; `kept_together` ("person", "picture" or
            "identical faces"); `n`; `figures` and `intervals_95` of all faces together; `per_fold`, a
            list of the figures of each; `mean` and `deviation` of them.
        labels: int64 `[n]`, in the order of the faces of Training.
        probabilities: float32 `[n, k]`; each face by the model that did not train on its fold.
        classes: the names of the classes.
        path: the folder, a `pathlib.Path`, with the run of each fold.
    """

    summary: dict
    labels: np.ndarray
    probabilities: np.ndarray
    classes: tuple[str, ...]
    path: pathlib.Path


def cross_validate(
    recipe="finetune",
    data=None,
    folds=FOLDS,
    *,
    run_dir=None,
    resume=False,
    overwrite=False,
    verbose=2,
    **settings,
) -> CrossValidation:
    """Trains a recipe once for each fold of the training part and evaluates it on that fold.

    Faces of one person, or else of one picture, or else with the same pixels are in one fold (see
    `data.folds.choose_fold`). The part for validation is drawn from the other folds. Faces of the
    data's own test part are not used.

    Examples:
        >>> insideout_tf.cross_validate("finetune", "ckplus", folds=10).summary["figures"]["accuracy"]

    Args:
        recipe, data, run_dir, verbose: as of `train_model`. The run of fold 1 is run_dir/fold01.
        folds: the number of folds, at least 2.
        resume: continue: finished folds stay, an interrupted one goes on.
        overwrite: replace the runs of an earlier cross-validation.
        settings: as of `train_model`.

    Raises:
        UserError: a setting, the data or the folder is not as expected, or there are too few people or
            faces for so many folds.
    """
    experiment = overrides.load(recipe) if isinstance(recipe, (str, pathlib.Path)) else recipe
    experiment = set_inputs(overrides.from_keywords(experiment, **settings), data)
    directory = pathlib.Path(run_dir) if run_dir else pathlib.Path("runs") / experiment.name
    say = errors.show if verbose else (lambda text: None)
    return train_folds(
        experiment, directory, folds, resume=resume, overwrite=overwrite, verbose=verbose, say=say
    )


def train_folds(
    experiment, directory, folds, *, resume=False, overwrite=False, say=errors.show, **options
):
    """Trains and evaluates an experiment on each fold; returns a `CrossValidation`.

    options: `verbose`, `callbacks` and `device`, as of `api.train.train`. The rest is as of
    `cross_validate`. A finished cross-validation is returned as it is with `resume`.
    """
    require_data(experiment)
    own = [_of_fold(experiment, number, folds) for number in range(1, folds + 1)]
    targets.check_targets(
        [
            targets.Target(
                "--run-dir",
                directory / SUMMARY,
                functools.partial(targets.has_begin, begin=BEGIN),
            )
        ],
        [experiment.data],
        overwrite or resume,
    )
    if not (resume or overwrite) and _place_of(directory, 1).exists():
        raise errors.UserError(
            f"{directory}: expected no cross-validation there yet. Go on with --resume, choose another "
            "--run-dir, or add --overwrite. Received: fold01"
        )
    faces = read(experiment.data, reading.of_experiment(experiment))
    divisions.choose_fold(faces, 1, folds, experiment.split_seed or 0)  # raises before any training
    parts = []
    for number, each in enumerate(own, start=1):
        place = _place_of(directory, number)
        say(f"fold {number} of {folds}")
        goes_on = resume and (place / runs.CONFIG).exists()
        train(each, place, resume=goes_on, overwrite=overwrite, say=say, **options)
        figures, out = evaluate(place, split="test", overwrite=True)
        with np.load(out / PREDICTIONS) as file:
            parts.append((file["rows"], file["labels"], file["probabilities"], figures))
    return _summarize(faces, parts, directory)


def _place_of(directory, number):
    """Returns the run folder of a fold."""
    return directory / f"fold{number:02d}"


def _of_fold(experiment, number, folds):
    """Returns the experiment of one fold. Its validation part is drawn from the other folds."""
    changes = [f"fold={number}", f"folds={folds}", 'split="stratified"']
    return overrides.override(experiment, changes)


def _summarize(faces, parts, directory):
    """Writes cross_validation.json; returns the `CrossValidation`.

    parts: (rows, labels, probabilities, the content of metrics.json) of each fold.
    """
    count = sum(len(rows) for rows, *_ in parts)
    labels = np.zeros(count, np.int64)
    probabilities = np.zeros((count, len(faces.classes)), np.float32)
    for rows, own, each, _ in parts:
        labels[rows], probabilities[rows] = own, each
    per_fold = [
        {key: figures[key] for key in ("n", "accuracy", "balanced_accuracy", "macro_f1", "nll")}
        for *_, figures in parts
    ]
    together = metrics.summarize(probabilities, labels, faces.classes)
    names = ("accuracy", "balanced_accuracy", "macro_f1")
    values = {name: [fold[name] for fold in per_fold] for name in names}
    grouped = people.groups_of(faces) is not None
    summary = {
        "folds": len(parts),
        "kept_together": people.word_of(faces) if grouped else "identical faces",
        "data": faces.source,
        "n": count,
        "figures": {name: together[name] for name in (*names, "nll")},
        "intervals_95": together["intervals_95"],
        "mean": {name: float(np.mean(each)) for name, each in values.items()},
        "deviation": {name: float(np.std(each, ddof=1)) for name, each in values.items()},
        "per_fold": per_fold,
    }
    files.write_json(directory / SUMMARY, summary)
    return CrossValidation(summary, labels, probabilities, faces.classes, directory)


def describe(result):
    """Returns a `CrossValidation` as text for a terminal."""
    summary = result.summary
    low, high = summary["intervals_95"]["accuracy"]
    lines = [
        "",
        f"{summary['folds']} folds, {summary['n']:,} faces; kept together: {summary['kept_together']}",
        f"all faces: accuracy {summary['figures']['accuracy']:.2%} (95 % interval {low:.2%} to "
        f"{high:.2%}), macro-F1 {summary['figures']['macro_f1']:.3f}",
        f"mean of the folds: accuracy {summary['mean']['accuracy']:.2%} ± "
        f"{summary['deviation']['accuracy']:.2%}, macro-F1 {summary['mean']['macro_f1']:.3f} ± "
        f"{summary['deviation']['macro_f1']:.3f}",
        f"written to {errors.printable(result.path / SUMMARY)}",
    ]
    return "\n".join(lines)
