"""Train a recipe with one factor changed at a time and compare the results, without PrivateTest.

    python experiments/tools/explore.py best_single --data fer2013.csv --ferplus fer2013new.csv
    python experiments/tools/explore.py best_single --table

Each row of `ROWS` is trained in runs/explored/NAME/ROW. Its settings, its seed and its figures go to
experiments/explored/NAME/ROW.json, its predictions to ROW.npz. NAME is the recipe's name or --name. PrivateTest
is never evaluated. Rows are compared on the faces that choose the epoch. With a training_fraction below 1 they
are compared on the faces of Training that it excludes instead: several times as many, which neither train
nor choose the epoch. A face that has a duplicate among the training faces is not counted.

Finished rows are skipped, so the same command continues an interrupted exploration. --set changes a field of
every row, before the row's own change: a smaller backbone, fewer faces and epochs make a cheap proxy.
--rows selects rows. --seconds stops after that time with exit status 3; the same command then continues. Rows
with another seed measure chance: other start weights and another order, on another part of Training or on
the same faces.
"""

import argparse
import csv
import json
import pathlib

import collect
import numpy as np
import run_plan

from insideout_tf import config, errors, files, runs
from insideout_tf.data import splits
from insideout_tf.data.read import read_faces
from insideout_tf.errors import UserError
from insideout_tf.evaluation import metrics
from insideout_tf.evaluation.report import METRICS, PREDICTIONS
from insideout_tf.serving import packaged
from insideout_tf.training import checkpoint

EXPLORED = run_plan.ROOT / "experiments/explored"
ADAMW = (
    "stages.train.optimizer=adamw",
    "stages.train.learning_rate=0.001",
    "stages.train.weight_decay=0.05",
)
IMAGENET = "weights=imagenet"
ROWS = {
    "base": (),
    "seed_1": ("seed=1",),
    "seed_2": ("seed=2",),
    "seed_1_same_faces": ("seed=1", "split_seed=0"),
    "seed_2_same_faces": ("seed=2", "split_seed=0"),
    "adamw": ADAMW,
    "no_averaging": ("ema_decay=null",),
    "less_weight_decay": ("stages.train.weight_decay=0.001",),
    "no_mixing": ("augmentation.mixup_alpha=0", "augmentation.cutmix_alpha=0"),
    "mixup_alone": ("augmentation.mixup_alpha=0.2", "augmentation.cutmix_alpha=0"),
    "cutmix_alone": ("augmentation.mixup_alpha=0", "augmentation.cutmix_alpha=1"),
    "no_erasing": ("augmentation.erasing_probability=0",),
    "no_noise": ("augmentation.noise=0",),
    "blur": ("augmentation.blur=1.5",),
    "no_votes": ("soft_label_weight=0",),
    "votes_alone": ("soft_label_weight=1",),
    "label_smoothing": ("soft_label_weight=0", "label_smoothing=0.1"),
    "class_weights": ("class_weight=clipped(0.5,2)",),
    "consistency": (  # needs no_mixing
        "augmentation.mixup_alpha=0",
        "augmentation.cutmix_alpha=0",
        "consistency_weight=1",
        "consistency_threshold=0.8",
    ),
    "no_leaks": ("drop_leaks=true",),
    "dropout": ("dropout=0.5",),
    "stochastic_depth": ("stochastic_depth=0.2",),
    "settle_augmented": ("stages.settle.augmentation=null",),
    "standardize": ("standardize=all",),
    "64_px": ("image_size=64",),
    "96_px": ("image_size=96",),
    "128_px": ("image_size=128",),
    "224_px": ("image_size=224",),
    "smallest_network": ("backbone=CompactFERNano",),
    "smallest_network_whole": ("backbone=CompactFERNanoWhole",),  # full resolution
    "smaller_network": ("backbone=CompactFERSmall",),
    "smaller_network_fine": ("backbone=CompactFERSmallFine",),
    "small_network_whole": ("backbone=CompactFERSmallWhole",),  # full resolution
    "efficientnet_v2s": ("backbone=EfficientNetV2S",),
    # With adamw, as every recipe here fine-tunes an EfficientNet.
    "efficientnet_v2s_adamw": ("backbone=EfficientNetV2S", *ADAMW),
    "efficientnet_v2b0_adamw": ("backbone=EfficientNetV2B0", *ADAMW),
    "imagenet_v2b0_adamw": ("backbone=EfficientNetV2B0", IMAGENET, *ADAMW),
    "imagenet_v2b0_adamw_96_px": ("backbone=EfficientNetV2B0", IMAGENET, *ADAMW, "image_size=96"),
    # KerasCV needs TensorFlow. The row is the last one, since it stops the others elsewhere.
    "randaugment": ('augmentation.keras_cv=["RandAugment"]', "feed=memory"),
}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", help="a recipe by name or file")
    parser.add_argument("--data", help="FER2013")
    parser.add_argument("--name", help="of the folder (default: the recipe's name)")
    parser.add_argument(
        "--ferplus", help="fer2013new.csv, the FER+ labels, for a soft_label_weight"
    )
    parser.add_argument(
        "--v2b0", help="a file of EfficientNetV2-B0's ImageNet weights (default: download)"
    )
    parser.add_argument("--rows", help=f"NAME,... of {', '.join(ROWS)} (default: all)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--runs", type=pathlib.Path, default=run_plan.ROOT / "runs/explored")
    parser.add_argument("--explored", type=pathlib.Path, default=EXPLORED)
    parser.add_argument(
        "--seconds", type=float, help="stop after this time; the same command continues"
    )
    parser.add_argument("--table", action="store_true", help="print the table only")
    arguments = parser.parse_args(argv)
    arguments.name = arguments.name or pathlib.PurePath(arguments.recipe).stem
    folder = arguments.explored / arguments.name
    with errors.reported("explore.py"):
        names = arguments.rows.split(",") if arguments.rows else list(ROWS)
        if set(names) - set(ROWS):
            raise UserError(f"--rows: expected some of {', '.join(ROWS)}. Received: {names}")
        if not arguments.table:
            if not arguments.data:
                raise UserError("--data: expected the path of FER2013. Received: nothing")
            for name in names:
                if not (folder / f"{name}.json").exists():
                    explore(name, arguments, folder / f"{name}.json")
        print("\n".join(format_table(folder)))


def explore(name, arguments, path):
    """Trains one row and writes its figures to `path`."""
    directory = arguments.runs / arguments.name / name
    settings = [f"name={arguments.name}_{name}", *arguments.set, *ROWS[name]]
    if IMAGENET in settings and arguments.v2b0:
        settings.append(f"weights={arguments.v2b0}")
    words = ["--data", arguments.data, "--run-dir", directory, "--verbose", "2"]
    words += ["--ferplus", arguments.ferplus] if arguments.ferplus else []
    words += ["--resume"] if (directory / packaged.CONFIG).exists() else []
    words += [word for setting in settings for word in ("--set", setting)]
    run_plan.call(arguments, "-m", "insideout_tf.train", arguments.recipe, *words)
    if runs.experiment_of(directory).training_fraction < 1:
        run_plan.call(arguments, "-m", "insideout_tf.evaluate", directory, "--split", "rest")
    write_row(directory, path, row=name, changed=list(ROWS[name]), for_all_rows=arguments.set)


def write_row(directory, path, **facts):
    """Writes the figures of a finished run and `facts` into `path`, its predictions beside it."""
    experiment = runs.experiment_of(directory)
    summary = files.read_json(directory / METRICS)
    environment = files.read_json(directory / runs.ENVIRONMENT)
    with open(directory / checkpoint.HISTORY, newline="", encoding="utf-8") as file:
        history = list(csv.DictReader(file))
    figures = ("accuracy", "macro_f1", "nll", "n", "selected_on", "best_epoch", "training_seconds")
    predictions, evaluation = evaluate_row(directory, experiment)
    with files.replacing(path.with_suffix(".npz")) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **predictions)
    files.write_json(
        path,
        {
            **facts,
            "evaluation": evaluation,
            **{key: summary[key] for key in (*figures, "parameters", "image_size", "seed")},
            "gap": float(history[max(summary["best_epoch"], 1) - 1]["gap"]),
            "epochs": len(history),
            **{key: environment[key] for key in ("device", "backend", "git_commit")},
            "config": collect.shorten_paths(experiment),
        },
    )


def evaluate_row(directory, experiment):
    """Returns the predictions that rows are compared by, and the figures that follow from them.

    The predictions: int32 `rows` of the data, uint8 `predicted` and `labels`, each `[n]`.
    """
    evaluated = directory / "rest" if experiment.training_fraction < 1 else directory
    faces = read_faces(experiment.data, experiment.bad_rows)
    with np.load(evaluated / PREDICTIONS) as saved:
        rows, labels, probabilities = saved["rows"], saved["labels"], saved["probabilities"]
    is_unique = ~splits.also_in_training(faces, rows)
    rows, labels, probabilities = rows[is_unique], labels[is_unique], probabilities[is_unique]
    summary = metrics.summarize(probabilities, labels)
    predictions = {
        "rows": rows.astype(np.int32),
        "predicted": probabilities.argmax(1).astype(np.uint8),
        "labels": labels.astype(np.uint8),
    }
    return predictions, {
        "on": files.read_json(evaluated / METRICS)["split"],
        "duplicates_excluded": int((~is_unique).sum()),
        **{key: summary[key] for key in ("n", "accuracy", "macro_f1", "nll")},
    }


def format_table(folder):
    """Yields the rows of a folder as a table, the base first, then by accuracy."""
    rows = [{**json.loads(path.read_text("utf-8")), "path": path} for path in folder.glob("*.json")]
    base = next((row["path"] for row in rows if row["row"] == "base"), None)
    yield "| changed | accuracy | against base | macro-F1 | log loss | gap | split that chose the epoch | minutes |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in sorted(rows, key=lambda row: (row["row"] != "base", -_evaluation(row)["accuracy"])):
        evaluation = _evaluation(row)
        changed = ", ".join(f"`{rename_field(each)}`" for each in row["changed"]) or "nothing"
        yield (
            f"| {changed} | {evaluation['accuracy']:.2%} | {paired_gain(base, row['path'])} | "
            f"{evaluation['macro_f1']:.3f} | {evaluation['nll']:.3f} | {row['gap']:+.3f} | "
            f"{row['accuracy']:.2%} | {row['training_seconds'] / 60:.0f} |"
        ).replace("%", " %")


def rename_field(setting):
    """Returns `FIELD=VALUE` with the field's present name."""
    field, equals, value = setting.partition("=")
    return config.RENAMED.get(field, field) + equals + value


def _evaluation(row):
    return row.get("evaluation", row)  # the oldest rows were evaluated where the epoch was chosen


def paired_gain(base, path):
    """Returns the difference in accuracy from the base on the faces that both evaluated, in points.

    With its 95 % interval, `metrics.paired_accuracy_interval`. Returns "" for the base, and if
    predictions are missing.
    """
    if base in (None, path) or not all(each.with_suffix(".npz").exists() for each in (base, path)):
        return ""
    right = {}
    for each in (base, path):
        with np.load(each.with_suffix(".npz")) as saved:
            right[each] = dict(zip(saved["rows"].tolist(), saved["predicted"] == saved["labels"]))
    both = sorted(right[base].keys() & right[path].keys())
    interval = metrics.paired_accuracy_interval(
        *([right[each][row] for row in both] for each in (base, path))
    )
    gain, low, high = (100 * value for value in interval)
    return f"{gain:+.1f} [{low:+.1f}, {high:+.1f}]"


if __name__ == "__main__":
    main()
