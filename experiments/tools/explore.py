"""Trains a recipe with one factor changed at a time, and tells what each was worth, PrivateTest unseen.

    python experiments/tools/explore.py experiments/best_single.py --data fer2013.csv --ferplus fer2013new.csv
    python experiments/tools/explore.py experiments/best_single.py --table

Each row of `ROWS` is trained in runs/explored/RECIPE/ROW, and its settings, its seed and its figures are
kept in experiments/explored/RECIPE/ROW.json, its answers in ROW.npz. PrivateTest is never judged here. Rows
are compared on the faces that choose the epoch or, with a training_fraction below 1, on those of Training
that it leaves out: several times as many, which neither train nor choose (a face that has a twin in the rest
of Training is not counted). A row that is kept already is not trained again; the same command goes on where
it was stopped. --set is given to every row, before what the row changes (the cheapest proxy: a smaller
backbone, fewer faces and epochs; --name keeps it apart from the recipe itself), --rows takes some, --seconds
stops the row in progress in time (exit status 3: to be continued). Rows with another seed show what is
chance: other weights at the start and another order, on another part of Training or on the same faces.
"""

import argparse
import csv
import json
import pathlib

import collect
import numpy as np
import run_plan

from insideout_tf import errors, files, runs
from insideout_tf.data import splits
from insideout_tf.data.read import read_faces
from insideout_tf.errors import UserError
from insideout_tf.evaluation import metrics
from insideout_tf.evaluation.report import METRICS, PREDICTIONS
from insideout_tf.serving import packaged
from insideout_tf.training import checkpoint

KEPT = run_plan.ROOT / "experiments/explored"
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
    "consistency": (  # beside no_mixing, which it needs
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
    "smallest_network_whole": ("backbone=CompactFERNanoWhole",),  # its parameters, all 48 px
    "smaller_network": ("backbone=CompactFERSmall",),
    "smaller_network_fine": ("backbone=CompactFERSmallFine",),
    "small_network_whole": ("backbone=CompactFERSmallWhole",),  # its parameters, all 48 px
    "efficientnet_v2s": ("backbone=EfficientNetV2S",),
    # Beside adamw, by which every recipe here fine-tunes an EfficientNet.
    "efficientnet_v2s_adamw": ("backbone=EfficientNetV2S", *ADAMW),
    "efficientnet_v2b0_adamw": ("backbone=EfficientNetV2B0", *ADAMW),
    "imagenet_v2b0_adamw": ("backbone=EfficientNetV2B0", IMAGENET, *ADAMW),
    "imagenet_v2b0_adamw_96_px": ("backbone=EfficientNetV2B0", IMAGENET, *ADAMW, "image_size=96"),
    # By KerasCV, so on TensorFlow alone; the last one, since it stops the others elsewhere.
    "randaugment": ('augmentation.keras_cv=["RandAugment"]', "feed=memory"),
}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=pathlib.Path, help="an experiment file")
    parser.add_argument("--data", help="FER2013")
    parser.add_argument("--name", help="of the rows' folder (default: the recipe's)")
    parser.add_argument("--ferplus", help="FER+ votes, for rows with a share of them")
    parser.add_argument(
        "--v2b0", help="ImageNet weights of EfficientNetV2-B0, not to download them"
    )
    parser.add_argument("--rows", help=f"NAME,... of {', '.join(ROWS)} (default: all)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--runs", type=pathlib.Path, default=run_plan.ROOT / "runs/explored")
    parser.add_argument("--kept", type=pathlib.Path, default=KEPT)
    parser.add_argument("--seconds", type=float, help="stop after these, to be continued")
    parser.add_argument("--table", action="store_true", help="print what is kept, train nothing")
    arguments = parser.parse_args(argv)
    arguments.name = arguments.name or arguments.recipe.stem
    kept = arguments.kept / arguments.name
    with errors.reported("explore.py"):
        names = arguments.rows.split(",") if arguments.rows else list(ROWS)
        if set(names) - set(ROWS):
            raise UserError(f"--rows: expected some of {', '.join(ROWS)}. Received: {names}")
        if not arguments.table:
            if not arguments.data:
                raise UserError("--data: expected FER2013's path. Received: nothing")
            for name in names:
                if not (kept / f"{name}.json").exists():
                    explore(name, arguments, kept / f"{name}.json")
        print("\n".join(table(kept)))


def explore(name, arguments, path):
    """Trains one row and keeps what its own validation says."""
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
    keep(directory, path, row=name, changed=list(ROWS[name]), for_all_rows=arguments.set)


def keep(directory, path, **about):
    """Writes what a finished run is worth, and `about`, into the file `path`, its answers beside it."""
    experiment = runs.experiment_of(directory)
    found = files.read_json(directory / METRICS)
    facts = files.read_json(directory / runs.ENVIRONMENT)
    with open(directory / checkpoint.HISTORY, newline="", encoding="utf-8") as file:
        history = list(csv.DictReader(file))
    told = ("accuracy", "macro_f1", "nll", "n", "selected_on", "best_epoch", "training_seconds")
    answers, judged = judge(directory, experiment)
    with files.replacing(path.with_suffix(".npz")) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **answers)
    files.write_json(
        path,
        {
            **about,
            "judged": judged,
            **{key: found[key] for key in (*told, "parameters", "image_size", "seed")},
            "gap": float(history[found["best_epoch"] - 1]["gap"]),
            "epochs": len(history),
            **{key: facts[key] for key in ("device", "backend", "git_commit")},
            "config": collect.without_folders(experiment),
        },
    )


def judge(directory, experiment):
    """Returns the answers that rows are compared by, and the figures that follow from them.

    The answers: int32 `rows` of the data, uint8 `predicted` and `labels`, each `[n]`.
    """
    left_out = directory / "rest" if experiment.training_fraction < 1 else directory
    faces = read_faces(experiment.data, experiment.bad_rows)
    with np.load(left_out / PREDICTIONS) as saved:
        rows, labels, said = saved["rows"], saved["labels"], saved["probabilities"]
    alone = ~splits.also_in_training(faces, rows)
    rows, labels, said = rows[alone], labels[alone], said[alone]
    summary = metrics.summarize(said, labels)
    answers = {
        "rows": rows.astype(np.int32),
        "predicted": said.argmax(1).astype(np.uint8),
        "labels": labels.astype(np.uint8),
    }
    return answers, {
        "on": files.read_json(left_out / METRICS)["split"],
        "twins_of_training_left_out": int((~alone).sum()),
        **{key: summary[key] for key in ("n", "accuracy", "macro_f1", "nll")},
    }


def table(kept):
    """Yields the rows kept in a folder as a table, the base first, then by accuracy."""
    rows = [{**json.loads(path.read_text("utf-8")), "path": path} for path in kept.glob("*.json")]
    base = next((row["path"] for row in rows if row["row"] == "base"), None)
    yield "| changed | accuracy | against base | macro-F1 | log loss | gap | where the epoch was chosen | minutes |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in sorted(rows, key=lambda row: (row["row"] != "base", -_judged(row)["accuracy"])):
        judged = _judged(row)
        changed = ", ".join(f"`{each}`" for each in row["changed"]) or "nothing"
        yield (
            f"| {changed} | {judged['accuracy']:.2%} | {gained(base, row['path'])} | "
            f"{judged['macro_f1']:.3f} | {judged['nll']:.3f} | {row['gap']:+.3f} | "
            f"{row['accuracy']:.2%} | {row['training_seconds'] / 60:.0f} |"
        ).replace("%", " %")


def _judged(row):
    return row.get("judged", row)  # the oldest rows were judged where the epoch was chosen


def gained(base, path):
    """Returns, in points, how much better a row answers than the base the faces that both are judged on.

    With the 95 % normal interval of the mean paired difference. "" for the base, and where answers are
    missing.
    """
    if base in (None, path) or not all(each.with_suffix(".npz").exists() for each in (base, path)):
        return ""
    right = {}
    for each in (base, path):
        with np.load(each.with_suffix(".npz")) as saved:
            right[each] = dict(zip(saved["rows"].tolist(), saved["predicted"] == saved["labels"]))
    both = right[base].keys() & right[path].keys()
    difference = np.array([float(right[path][row]) - float(right[base][row]) for row in both])
    gain, error = 100 * difference.mean(), 100 * difference.std() / len(difference) ** 0.5
    return f"{gain:+.1f} [{gain - 1.96 * error:+.1f}, {gain + 1.96 * error:+.1f}]"


if __name__ == "__main__":
    main()
