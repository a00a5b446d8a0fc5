"""Compare fine-tuning of `small` with the untouched model and with training from random weights.

    python benchmarks/finetuning.py --data fer2013.csv --ferplus fer2013new.csv --json finetuning.json

Each task plays the part of a small data set of one's own. Its faces come from PublicTest, on which `small`
never trained (PublicTest chose its epoch, so the untouched model is favoured). For each seed, the given number
of faces of each class train (or two thirds of a class, where it has fewer), and 1,000 other faces are the test.
An eighth of the training faces chooses the epoch. PrivateTest is not used.

- "other annotators": the labels are the majority of the ten annotators of FER+, in FER2013's seven classes.
- "people": the same labels; each of 60 people a class has three frames, moved and lit a little differently,
  as in CK+. A person is in training or in the test. The files are named as those of CK+.
- "colour": five classes of FER2013 as blurred, tinted pictures of 100×100.
- "new classes": positive (happy), negative (angry, disgust, fear, sad) and other (surprise, neutral).
- "same labels": FER2013's own labels and pixels, so there is nothing to learn that `small` has not seen.

The table has the mean and standard deviation over the seeds, and what fine-tuning gains in accuracy: the mean
over the seeds with a paired 95 % bootstrap interval over the test faces, averaged over the seeds. A seed
that is already in --json is not trained again. The file keeps the --set of each seed.
"""

import argparse
import json
import pathlib
import tempfile

import numpy as np
from PIL import Image, ImageFilter

import insideout_tf
from insideout_tf import errors, files, overrides
from insideout_tf.data import ferplus
from insideout_tf.data.classes import match_classes
from insideout_tf.data.faces import PUBLIC_TEST

TEST_FACES = 1000
FRAMES = 3  # of each person
GROUPS = {
    **{name: "negative" for name in ("angry", "disgust", "fear", "sad")},
    **{"happy": "positive", "surprise": "other", "neutral": "other"},
}
FIVE = ("angry", "fear", "happy", "surprise", "neutral")
FROM_RANDOM = (  # what training from random weights needs instead
    "start_from=null",
    "interpolation=[]",
    "stages.head.epochs=1",
    'stages.head.batch_norm="train"',
    'stages.all.batch_norm="train"',
    "stages.all.epochs=40",
    "stages.all.learning_rate=1e-3",
    "ema_decay=0.98",
    "stages.all.patience=null",
)
TASKS = {  # labels, classes (None: all), faces a class, how the faces are changed
    "other annotators, 50 each": ("ferplus", None, 50, None),
    "other annotators, 200 each": ("ferplus", None, 200, None),
    "other annotators, up to 1,000 each": ("ferplus", None, 1000, None),
    "people, 60 each": ("ferplus", None, 60, "frames"),
    "5 classes, colour, 100 each": ("fer2013", FIVE, 100, "tint"),
    "3 new classes, 100 each": ("fer2013", GROUPS, 100, None),
    "same labels, 3 classes, 50 each": ("fer2013", ("happy", "sad", "neutral"), 50, None),
}


def tint(face):
    """Returns a face as a blurred, tinted picture, uint8 `[100, 100, 3]`."""
    image = Image.fromarray(face).resize((100, 100), Image.Resampling.BICUBIC)
    image = image.filter(ImageFilter.GaussianBlur(1.5)).convert("RGB")
    return (np.asarray(image) * (0.95, 0.8, 0.65) + (10, 5, 0)).clip(0, 255).astype(np.uint8)


def move(face, random):
    """Returns a face moved by up to two pixels and up to 15 % lighter or darker, uint8 `[48, 48]`."""
    padded = np.pad(face, 2, mode="edge")
    top, left = random.integers(0, 5, 2)
    moved = padded[top : top + 48, left : left + 48] * random.uniform(0.85, 1.15)
    return moved.clip(0, 255).astype(np.uint8)


def label_faces(faces, labels, chosen, counts):
    """Returns (the class name of each face, "" for none; the classes of the task).

    labels: "fer2013" or "ferplus". chosen: classes, or a dict from FER2013's words to them. counts: the
    votes of FER+.
    """
    names = np.array(["", *faces.classes], object)
    if labels == "ferplus":
        known = np.array(match_classes(ferplus.COLUMNS, faces.classes))
        ordered = np.sort(counts, axis=1)
        own = np.where(ordered[:, -1] > ordered[:, -2], known[counts.argmax(1)], -1)
    else:
        own = faces.labels
    found = names[own + 1]
    if isinstance(chosen, dict):
        return np.array([chosen.get(name, "") for name in found]), sorted(set(chosen.values()))
    classes = list(chosen or faces.classes)
    return np.where(np.isin(found, classes), found, ""), classes


def write_task(folder, faces, task, seed, counts):
    """Writes the faces of a task as class folders in `train/` and `test/` below a new folder."""
    labels, chosen, each, change = TASKS[task]
    names, classes = label_faces(faces, labels, chosen, counts)
    random = np.random.default_rng(seed)
    rows = random.permutation(np.flatnonzero((names != "") & (faces.usage == PUBLIC_TEST)))
    train: list[int] = []
    for name in classes:
        own = rows[names[rows] == name]
        train += list(own[: min(each, 2 * len(own) // 3)])
    test = np.setdiff1d(rows, train)
    test = random.permutation(test)[: TEST_FACES // (FRAMES if change == "frames" else 1)]
    people: dict[int, int] = {}
    for part, chosen_rows in (("train", train), ("test", test)):
        for row in chosen_rows:
            place = folder / part / names[row]
            place.mkdir(parents=True, exist_ok=True)
            person = people.setdefault(int(row), len(people))
            for frame in range(FRAMES if change == "frames" else 1):
                face = faces.pixels[row]
                if change == "frames":
                    face = move(face, random)
                elif change == "tint":
                    face = tint(face)
                name = f"S{person:03d}_001_{frame + 1:08d}.png"
                Image.fromarray(face).save(place / (name if change == "frames" else f"{row}.png"))


def measure(faces, task, seed, counts, changes):
    """Returns what `compare_models` does of one seed: "untouched", "random weights" and "finetune"."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        write_task(folder / "faces", faces, task, seed, counts)
        recipe = overrides.load("finetune")
        runs = {}
        for name, own in (("random", FROM_RANDOM), ("finetune", ())):
            runs[name] = folder / name
            insideout_tf.train_model(
                overrides.override(recipe, [*own, *changes]),
                folder / "faces",
                run_dir=runs[name],
                verbose=0,
                seed=seed,
            )
        known = set(label_faces(faces, *TASKS[task][:2], counts)[1]) <= set(faces.classes)
        models = [*(["small"] if known else []), *map(str, runs.values())]
        # The model that fine-tuning is compared with comes first.
        found = insideout_tf.compare_models(models, folder / "faces", "test")[0]["models"]
        short = {"small": "untouched", str(runs["random"]): "random weights"}
        return {short.get(name, "finetune"): figures for name, figures in found.items()}


def list_rows(task, found):
    """Returns the rows of the table for one task. found: what `measure` returned for each seed."""
    lines = []
    for name in found[0]:
        cells = []
        for key, scale, form in (("accuracy", 100, ".1f"), ("macro_f1", 1, ".3f")):
            values = scale * np.array([each[name][key] for each in found])
            spread = values.std(ddof=1) if len(values) > 1 else 0
            cells.append(f"{values.mean():{form}} ± {spread:{form}}")
        gain = ""
        if name == "finetune":
            bounds = 100 * np.mean([each[name]["gain"]["accuracy"] for each in found], axis=0)
            gain = "{:+.1f} [{:+.1f}, {:+.1f}]".format(*bounds)
        lines.append(f"| {task} | {name} | {cells[0]} % | {cells[1]} | {gain} |")
        task = ""
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="FER2013")
    parser.add_argument("--ferplus", required=True, help="fer2013new.csv")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tasks", default=",".join(map(str, range(len(TASKS)))), help="numbers")
    parser.add_argument(
        "--set", action="append", default=[], help="change the recipe, as in precision=float32"
    )
    parser.add_argument("--json", type=pathlib.Path, help="keep the figures of every seed here")
    arguments = parser.parse_args()
    faces = insideout_tf.read_faces(arguments.data)
    counts = ferplus.read_counts(arguments.ferplus, faces)
    results: dict = {}
    if arguments.json and arguments.json.exists():
        results = json.loads(arguments.json.read_text())
    tasks = [list(TASKS)[int(number)] for number in arguments.tasks.split(",")]
    for seed in range(arguments.seeds):
        for task in tasks:
            own = results.setdefault(task, {})
            if str(seed) not in own:
                own[str(seed)] = measure(faces, task, seed, counts, arguments.set)
                for name in ("finetune", "random weights"):
                    own[str(seed)][name]["changes"] = arguments.set
                if arguments.json:
                    files.write_json(arguments.json, results)
    print(
        "| task | model | accuracy | macro-F1 | finetune, less the first |\n|---|---|---|---|---|"
    )
    for task in tasks:
        found = [results[task][str(seed)] for seed in range(arguments.seeds)]
        print("\n".join(list_rows(task, found)), flush=True)


if __name__ == "__main__":
    with errors.reported("finetuning.py"):
        main()
