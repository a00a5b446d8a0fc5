"""Evaluation of a model on a named split."""

import dataclasses
import pathlib

import numpy as np

from insideout_tf import devices, files, runs, targets
from insideout_tf.data import reading, splits
from insideout_tf.data.faces import match
from insideout_tf.data.read import check_path, read
from insideout_tf.errors import UserError
from insideout_tf.evaluation.report import METRICS
from insideout_tf.network.weights import load_model
from insideout_tf.serving import packaged, recognize

FACES_TOGETHER = 8192  # that are in memory at a time


def evaluate(
    run_or_model,
    data=None,
    split=None,
    tta="none",
    out=None,
    bad_rows=None,
    overwrite=False,
    map_classes=(),
):
    """Evaluates a model; writes metrics.json, predictions.npz and plots if there is a folder for them.

    Args:
        run_or_model: a run folder, a .keras file or the name of a packaged model.
        data: what `read_faces` reads; the data of the run by default.
        split: one of `splits.EVALUATED`; by default "validation" for a run and `splits.default_part`
            for a model without one. "private" is the test split: report it once, for a final model.
        tta: "flip" averages each face with its mirror image.
        out: the folder to write; by default RUN/SPLIT, with -TTA appended if one is used. For a model
            without a run nothing is written by default.
        bad_rows: "stop" at the first bad row or image of the data, or "skip" them; as the run by
            default.
        overwrite: replace another evaluation in the folder. The same evaluation (of the same model,
            faces, split and views) is always replaced.
        map_classes: texts such as "anger=angry": a class of the data becomes one of the model. Words
            that mean the same emotion match without it. Classes that the model or the data lack are
            excluded; faces of the former are counted.

    Returns:
        A tuple of the content of metrics.json, a dict, and the folder, a `pathlib.Path` or None.

    Raises:
        UserError: the model, the data or the folder is not as expected.
    """
    path, run = packaged.model_path(run_or_model)
    experiment = runs.experiment_of(run) if run else None
    split = split or ("validation" if run else None)
    data = choose_data(data, experiment)
    out = choose_folder(run, split, tta, out)
    if out is not None:
        targets.check_outside("--out", out, [("--data", data), ("model", path)])
    facts = {"tta": tta, "model_sha256": files.sha256(path)}
    check_place(out, facts, overwrite)
    devices.prepare_backend()
    model = load_model(path)
    faces = read_for(model.contract, data, experiment, bad_rows, map_classes)
    split = split or splits.default_part(faces)
    faces, rows, columns, without = match_classes(faces, model.contract, split, experiment)
    facts = {"split": splits.name_of(split, faces), **facts}
    check_place(out, {**facts, "data_digest": faces.digest}, overwrite)
    facts |= runs.describe(experiment, model) if experiment else describe_file(path, model)
    facts |= {**describe_selection(run, split, experiment, faces, without), **without}
    probabilities = predict_views(model, faces.pixels[rows], tta)[:, columns]
    if without["classes_without_faces"]:
        probabilities = probabilities / probabilities.sum(1, keepdims=True)
    return write_evaluation(out, faces, rows, probabilities, facts, experiment), out


def choose_data(data, experiment):
    """Returns the path of the faces to evaluate; raises `UserError` if there is none, or nothing there.

    data: as of `evaluate`. experiment: that of the run, or None.
    """
    data = data or (experiment.data if experiment else None)
    if data is None:
        raise UserError(
            "--data: expected the path of labelled faces, since a model file alone does not name it. "
            "Received: nothing"
        )
    check_path(data)
    return data


def describe_selection(run, split, experiment, faces, without):
    """Returns the fields of metrics.json that say how far training knew the faces.

    run: the run folder, or None. without: the last value of `match_classes`.
    """
    selected_on = read_selection_split(run)
    return {
        "selected_on": selected_on,
        "selection_overlap": has_selection_overlap(split, selected_on),
        "leaks_dropped": experiment.drop_leaks if experiment else None,
        "data_is_that_of_training": is_training_data(run, faces) and not any(without.values()),
    }


def write_evaluation(out, faces, rows, probabilities, facts, experiment):
    """Returns what metrics.json holds, and writes the files of an evaluation if `out` is a folder."""
    from insideout_tf.evaluation import report

    training = splits.training_rows(faces, experiment)
    if out is None:
        return report.summarize(faces, rows, probabilities, facts, training)
    files.mark(out, report.KIND)
    return report.write_report(out, faces, rows, probabilities, facts, training=training)


def read_for(contract, data, experiment, bad_rows=None, map_classes=()):
    """Returns the `Faces` of a data set with the side and the channels of a model.

    Args:
        contract: the `Contract` of the model.
        data: what `read_faces` reads.
        experiment: that of the run, or None. What settles the run's own data is not for other data.
        bad_rows, map_classes: as of `evaluate`.
    """
    settings = reading.of_experiment(experiment) if experiment else reading.AS_THE_DATA
    if experiment is None or data != experiment.data:
        settings = reading.Reading(settings.bad_rows)
    settings = dataclasses.replace(
        settings,
        bad_rows=bad_rows or settings.bad_rows,
        input_size=contract.side,
        channels=contract.channels,
        map_classes=(*settings.map_classes, *map_classes),
    )
    return read(data, settings)


def match_classes(faces, contract, split, experiment):
    """Returns the faces and the classes that a model and a data set have in common.

    Classes match by words that mean the same emotion. Those that one side lacks are excluded: faces of a
    class that the model lacks are not evaluated, and a class that the data lack cannot be predicted.

    Args:
        faces: `Faces`, which have the model's side and channels.
        contract: the `Contract` of the model.
        split: one of `splits.EVALUATED`.
        experiment: that of the run, or None.

    Returns:
        A tuple of the `Faces` with the shared classes; the rows to evaluate, int64 `[n]`; the columns of
        the model's probabilities, a list; and a dict for metrics.json: `excluded_classes`, the
        number of faces of each class that the model lacks, and `classes_without_faces`.

    Raises:
        UserError: fewer than two classes are shared, or the split is empty.
    """
    rows = splits.evaluation_rows(faces, split, experiment)
    counts = np.bincount(faces.labels[rows], minlength=len(faces.classes))
    matched, unknown, unseen = match(faces, contract.classes)
    columns = [index for index, name in enumerate(contract.classes) if name not in unseen]
    if len(columns) < 2:
        raise UserError(
            f"{faces.source}: expected at least two of the model's classes, "
            f"{', '.join(contract.classes[:20])}. Say which are the same with --map OLD=NEW. Received: "
            f"{', '.join(faces.classes[:20])}"
        )
    if unknown:
        rows = splits.evaluation_rows(matched, split, experiment)
    if unseen:
        mapping = [columns.index(i) if i in columns else -1 for i in range(contract.count)]
        matched = matched.relabel([contract.classes[i] for i in columns], mapping)
    excluded = {name: int(n) for name, n in zip(faces.classes, counts) if n and name in unknown}
    return (
        matched,
        rows,
        columns,
        {"excluded_classes": excluded, "classes_without_faces": list(unseen)},
    )


def choose_folder(run, split, tta, out):
    """Returns the folder of an evaluation's files, or None; the run folder itself raises `UserError`."""
    if out is None:
        return run and run / (split if tta == "none" else f"{split}-{tta}")
    if run and pathlib.Path(out).resolve() == pathlib.Path(run).resolve():
        raise UserError(
            f"--out {out}: expected another folder than the run, whose metrics.json is that of its "
            "validation split. Received: the run folder"
        )
    return pathlib.Path(out).expanduser()


def check_place(out, facts, overwrite):
    """Raises `UserError` if the folder holds anything but this same evaluation, or an unfinished one.

    out: the folder or None. facts: keys of metrics.json that identify the evaluation, as far as they
    are known. overwrite: allow another evaluation there.
    """
    from insideout_tf.evaluation.report import KIND

    if out is None:
        return
    is_same = False
    if files.read_marker(out) == KIND.name:
        path = out / METRICS
        known = files.read_object(path) if path.exists() and not overwrite else facts
        is_same = all(known.get(key) == value for key, value in facts.items())
    files.check_folder(out, KIND, overwrite or is_same)


def predict_views(model, pixels, tta="none"):
    """Returns the class probabilities of faces, float32 `[n, k]`, averaged over the views of `tta`.

    model: a Keras model. pixels: uint8 `[n, ...]`, as its contract.
    """
    from insideout_tf.network.predict import predict_probabilities

    parts = [
        recognize.average_views(
            lambda faces: predict_probabilities(model, faces),
            np.asarray(pixels[start : start + FACES_TOGETHER]),
            tta,
        )
        for start in range(0, len(pixels), FACES_TOGETHER)
    ]
    return np.concatenate(parts)


def read_selection_split(run):
    """Returns the split on which a run selected its epoch, or None for a model without a run."""
    if run is None or not (run / METRICS).exists():
        return None
    return files.read_object(run / METRICS).get("selected_on")


def has_selection_overlap(split, selected_on):
    """Returns True if faces of `split` also selected the epoch, so that its figures are optimistic."""
    if selected_on is None:
        return None
    return split in ("validation", "training", "all") or (
        selected_on in ("PublicTest", splits.OWN_VALIDATION) and split in ("public", "merged")
    )


def is_training_data(run, faces):
    """Returns whether `faces` are the data that a run was trained with; None if that is unknown."""
    if run is None or not (run / runs.ENVIRONMENT).exists():
        return None
    digest = files.read_object(run / runs.ENVIRONMENT).get("data_digest")
    return None if digest is None else digest == faces.digest


def describe_file(path, model):
    """Returns the fields of metrics.json that name a model without a run."""
    return {
        "experiment": path.stem,
        "backbone": model.name,
        "image_size": None,
        "parameters": model.count_params(),
        "init": None,
        "seed": None,
    }
