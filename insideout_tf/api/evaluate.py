"""Evaluation of a model on a named split."""

import pathlib

from insideout_tf import devices, files, runs
from insideout_tf.data import splits
from insideout_tf.data.read import read_faces
from insideout_tf.errors import UserError
from insideout_tf.evaluation.report import METRICS
from insideout_tf.network.weights import load_model
from insideout_tf.serving import packaged, recognize

FACES_BETWEEN_UPDATES = 1024  # of the progress bar


def evaluate(
    run_or_model, data=None, split=None, tta="none", out=None, bad_rows=None, overwrite=False
):
    """Evaluates a model; writes metrics.json, predictions.npz and plots if there is a folder for them.

    Args:
        run_or_model: a run folder, a .keras file or the name of a packaged model.
        data: what `read_faces` reads; the data of the run by default.
        split: one of `splits.EVALUATED`; by default "validation" for a run and "public" for a model
            without one. "private" is the test split: report it once, for a final model.
        tta: "flip" averages each face with its mirror image.
        out: the folder to write; by default RUN/SPLIT, with -TTA appended if one is used. For a model
            without a run nothing is written by default.
        bad_rows: "stop" at the first bad row or image of the data, or "skip" them; as the run by
            default.
        overwrite: replace another evaluation in the folder. The same evaluation (of the same model,
            faces, split and views) is always replaced.

    Returns:
        A tuple of the content of metrics.json, a dict, and the folder, a `pathlib.Path` or None.

    Raises:
        UserError: the model, the data or the folder is not as expected.
    """
    path, run = packaged.model_path(run_or_model)
    experiment = runs.experiment_of(run) if run else None
    split = split or ("validation" if run else "public")
    data = data or (experiment.data if experiment else None)
    if data is None:
        raise UserError(
            "--data: expected the path of FER2013, since a model file alone does not name it. "
            "Received: nothing"
        )
    out = choose_folder(run, split, tta, out)
    facts = {"tta": tta, "model_sha256": files.sha256(path)}
    check_place(out, facts, overwrite)
    faces = read_faces(data, bad_rows or (experiment.bad_rows if experiment else "stop"))
    rows = splits.evaluation_rows(faces, split, experiment)
    name = "drawn" if faces.source == "drawn" else splits.NAMES[split]
    check_place(out, {**facts, "split": name, "data_digest": faces.digest}, overwrite)
    devices.prepare_backend()
    from insideout_tf.evaluation import report

    model = load_model(path)
    selected_on = read_selection_split(run)
    facts = {
        "split": name,
        **(runs.describe(experiment, model) if experiment else describe_file(path, model)),
        **facts,
        "selected_on": selected_on,
        "selection_overlap": has_selection_overlap(split, selected_on),
        "leaks_dropped": experiment.drop_leaks if experiment else None,
        "data_is_that_of_training": is_training_data(run, faces),
    }
    probabilities = predict_views(model, faces.pixels[rows], tta)
    training = splits.training_rows(faces, experiment)
    if out is None:
        return report.summarize(faces, rows, probabilities, facts, training), None
    files.mark(out, report.KIND)
    return report.write_report(out, faces, rows, probabilities, facts, training=training), out


def choose_folder(run, split, tta, out):
    """Returns the folder of an evaluation's files, or None; the run folder itself raises `UserError`."""
    if out is None:
        return run and run / (split if tta == "none" else f"{split}-{tta}")
    if run and pathlib.Path(out).resolve() == pathlib.Path(run).resolve():
        raise UserError(
            f"--out {out}: expected another folder than the run, whose metrics.json is that of its "
            "validation split. Received: the run folder"
        )
    return pathlib.Path(out)


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
    """Returns the class probabilities of faces, float32 `[n, 7]`, averaged over the views of `tta`.

    model: a Keras model. pixels: uint8 `[n, 48, 48]`.
    """
    from insideout_tf.network.predict import predict_probabilities

    return recognize.average_views(lambda faces: predict_probabilities(model, faces), pixels, tta)


def read_selection_split(run):
    """Returns the split on which a run selected its epoch, or None for a model without a run."""
    if run is None or not (run / METRICS).exists():
        return None
    return files.read_object(run / METRICS).get("selected_on")


def has_selection_overlap(split, selected_on):
    """Returns True if faces of `split` also selected the epoch, so that its figures are optimistic."""
    if selected_on is None:
        return None
    return split in ("validation", "training") or (
        selected_on == "PublicTest" and split in ("public", "merged")
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
