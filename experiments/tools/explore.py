"""Trains a recipe with one factor changed at a time, and tells what each was worth on PublicTest.

    python experiments/tools/explore.py experiments/best_single.py --data fer2013.csv --ferplus fer2013new.csv
    python experiments/tools/explore.py experiments/best_single.py --table

Each row of `ROWS` is trained in runs/explored/RECIPE/ROW, and its settings, its seed and its figures on the
faces that choose the epoch are kept in experiments/explored/RECIPE/ROW.json. PrivateTest is never judged
here. A row that is kept already is not trained again; the same command goes on where it was stopped.
--set is given to every row (the cheapest proxy: a smaller backbone, fewer faces and epochs; --name keeps it
apart from the recipe itself), --rows takes some, --seconds stops the row in progress in time (exit status
3: to be continued). Rows with another seed show what is chance.
"""

import argparse
import csv
import json
import pathlib

import collect
import run_plan

from insideout_tf import errors, runs
from insideout_tf.errors import UserError

KEPT = run_plan.ROOT / "experiments/explored"
ROWS = {
    "base": (),
    "seed_1": ("seed=1",),
    "seed_2": ("seed=2",),
    "adamw": (
        "stages.train.optimizer=adamw",
        "stages.train.learning_rate=0.001",
        "stages.train.weight_decay=0.05",
    ),
    "no_averaging": ("ema_decay=null",),
    "less_weight_decay": ("stages.train.weight_decay=0.001",),
    "no_mixing": ("augmentation.mixup_alpha=0", "augmentation.cutmix_alpha=0"),
    "mixup_alone": ("augmentation.cutmix_alpha=0",),
    "cutmix_alone": ("augmentation.mixup_alpha=0",),
    "no_erasing": ("augmentation.erasing_probability=0",),
    "no_noise": ("augmentation.noise=0",),
    "blur": ("augmentation.blur=1.5",),
    "no_votes": ("vote_share=0",),
    "votes_alone": ("vote_share=1",),
    "label_smoothing": ("vote_share=0", "label_smoothing=0.1"),
    "symmetric_loss": ("loss=symmetric(0.1,1)",),
    "generalised_loss": ("loss=generalised(0.7)",),
    "class_weights": ("class_weight=clipped(0.5,2)",),
    "sharpness_aware": ("stages.train.sharpness_radius=0.05",),
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
    "96_px_resized_first": ("image_size=96", "augmentation.resize_first=true"),
    "128_px": ("image_size=128",),
    "224_px": ("image_size=224",),
    "smaller_network": ("backbone=CompactFERSmall",),
    "hybrid": ("backbone=CompactFERHybrid",),  # beside the one before, of about its size
    "efficientnet_v2s": ("backbone=EfficientNetV2S",),
    # By KerasCV, so on TensorFlow alone; the last one, since it stops the others elsewhere.
    "randaugment": ('augmentation.keras_cv=["RandAugment"]', "feed=host"),
}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=pathlib.Path, help="an experiment file")
    parser.add_argument("--data", help="FER2013")
    parser.add_argument("--name", help="of the rows' folder (default: the recipe's)")
    parser.add_argument("--ferplus", help="FER+ votes, for rows with a share of them")
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
    settings = [f"name={arguments.name}_{name}", *ROWS[name], *arguments.set]
    words = ["--data", arguments.data, "--run-dir", directory, "--verbose", "2"]
    words += ["--ferplus", arguments.ferplus] if arguments.ferplus else []
    words += ["--resume"] if (directory / runs.CONFIG).exists() else []
    words += [word for setting in settings for word in ("--set", setting)]
    run_plan.call(arguments, "-m", "insideout_tf.train", arguments.recipe, *words)
    keep(directory, path, row=name, changed=list(ROWS[name]), for_all_rows=arguments.set)


def keep(directory, path, **about):
    """Writes what the validation of a finished run says, and `about`, into the file `path`."""
    found = runs.read_json(directory / runs.METRICS)
    facts = runs.read_json(directory / runs.ENVIRONMENT)
    with open(directory / runs.HISTORY, newline="", encoding="utf-8") as file:
        history = list(csv.DictReader(file))
    told = ("accuracy", "macro_f1", "nll", "n", "selected_on", "best_epoch", "training_seconds")
    runs.write_json(
        path,
        {
            **about,
            **{key: found[key] for key in (*told, "parameters", "image_size", "seed")},
            "gap": float(history[found["best_epoch"] - 1]["gap"]),
            "epochs": len(history),
            **{key: facts[key] for key in ("device", "backend", "git_commit")},
            "config": collect.without_folders(runs.experiment_of(directory)),
        },
    )


def table(kept):
    """Yields the rows kept in a folder as a table, the base first, then by accuracy."""
    rows = [json.loads(path.read_text("utf-8")) for path in kept.glob("*.json")]
    base = next((row["accuracy"] for row in rows if row["row"] == "base"), None)
    yield "| changed | accuracy | against base | macro-F1 | log loss | gap | minutes |"
    yield "|---|---|---|---|---|---|---|"
    for row in sorted(rows, key=lambda row: (row["row"] != "base", -row["accuracy"])):
        gained = "" if base is None else f"{100 * (row['accuracy'] - base):+.2f}"
        changed = ", ".join(f"`{each}`" for each in row["changed"]) or "nothing"
        yield (
            f"| {changed} | {100 * row['accuracy']:.2f} % | {gained} | {row['macro_f1']:.3f} | "
            f"{row['nll']:.3f} | {row['gap']:+.3f} | {row['training_seconds'] / 60:.0f} |"
        )


if __name__ == "__main__":
    main()
