"""Compare fine-tuning of `small` with the untouched model and with training from random weights.

    python benchmarks/finetuning.py --data fer2013.csv

Each task plays the part of a small data set of one's own. Its faces come from PublicTest, on which `small`
never trained (PublicTest chose its epoch, so the untouched model is favoured). For each seed, the given
number of faces of each class train, and 1,000 other faces of PublicTest are the test; an eighth of the
training faces chooses the epoch. PrivateTest is not used.

- "7 classes, N each": FER2013's classes with N faces each (or two thirds of them, where there are fewer).
- "3 classes": happy, sad and neutral.
- "5 classes, colour": angry, fear, happy, surprise and neutral as blurred, tinted pictures of 100×100.
- "new words": positive (happy), negative (angry, disgust, fear, sad) and other (surprise, neutral), which
  are no classes of `small`.

The table has mean and standard deviation of accuracy and macro-F1 over the seeds. "untouched" is `small` as
it is, restricted to the classes of the task; it has no row where the classes are new.
"""

import argparse
import json
import pathlib
import tempfile

import numpy as np
from PIL import Image, ImageFilter

import insideout_tf
from insideout_tf import errors, overrides
from insideout_tf.api.evaluate import evaluate
from insideout_tf.data.faces import PRIVATE_TEST, PUBLIC_TEST, TRAINING

TEST_FACES = 1000
GROUPS = {
    **{name: "negative" for name in ("angry", "disgust", "fear", "sad")},
    **{"happy": "positive", "surprise": "other", "neutral": "other"},
}
FROM_RANDOM = (  # what training from random weights needs instead
    "start_from=null",
    "stages.head.epochs=1",
    'stages.head.batch_norm="train"',
    'stages.all.batch_norm="train"',
    "stages.all.epochs=100",
    "stages.all.learning_rate=1e-3",
    "ema_decay=0.98",
    "stages.all.patience=null",
)
TASKS = {
    "7 classes, 50 each": (50, None, False),
    "7 classes, 200 each": (200, None, False),
    "3 classes, 50 each": (50, ("happy", "sad", "neutral"), False),
    "5 classes, colour, 100 each": (100, ("angry", "fear", "happy", "surprise", "neutral"), True),
    "new words, 100 each": (100, GROUPS, False),
}


def tint(face):
    """Returns a face as a blurred, tinted picture, uint8 `[100, 100, 3]`."""
    image = Image.fromarray(face).resize((100, 100), Image.Resampling.BICUBIC)
    image = image.filter(ImageFilter.GaussianBlur(1.5)).convert("RGB")
    return (np.asarray(image) * (0.95, 0.8, 0.65) + (10, 5, 0)).clip(0, 255).astype(np.uint8)


def write_task(path, faces, task, seed):
    """Writes the faces of a task as an .npz; returns the class names."""
    each, chosen, is_tinted = TASKS[task]
    names = np.array(faces.classes)[faces.labels]
    if isinstance(chosen, dict):
        names = np.array([chosen[name] for name in names])
        classes = sorted(set(chosen.values()))
    else:
        classes = list(chosen or faces.classes)
    random = np.random.default_rng(seed)
    rows = random.permutation(
        np.flatnonzero(np.isin(names, classes) & (faces.usage == PUBLIC_TEST))
    )
    train = []
    for name in classes:
        own = rows[names[rows] == name]
        train += list(own[: min(each, 2 * len(own) // 3)])
    test = [row for row in rows if row not in set(train)][:TEST_FACES]
    order = np.array([*train, *test])
    pixels = faces.pixels[order]
    if is_tinted:
        pixels = np.stack([tint(face) for face in pixels])
    usage = np.array([TRAINING] * len(train) + [PRIVATE_TEST] * len(test))
    labels = np.array([classes.index(names[row]) for row in order])
    np.savez(path, pixels=pixels, emotion=labels, usage=usage, classes=classes)
    return classes


def measure(faces, task, seed, folder):
    """Returns {"untouched" | "random weights" | "finetune": (accuracy, macro-F1)} of one seed."""
    path = pathlib.Path(folder, "task.npz")
    classes = write_task(path, faces, task, seed)
    found = {}
    if set(classes) <= set(insideout_tf.EMOTIONS):
        metrics, _ = evaluate("small", path, "test")
        found["untouched"] = (metrics["accuracy"], metrics["macro_f1"])
    recipe = overrides.load("finetune")
    from_random = overrides.override(recipe, FROM_RANDOM)
    for name, chosen in (("random weights", from_random), ("finetune", recipe)):
        run = insideout_tf.train_model(
            chosen,
            path,
            run_dir=pathlib.Path(folder, name.split()[0]),
            overwrite=True,
            verbose=0,
            seed=seed,
        )
        metrics = run.evaluate("test", overwrite=True)
        found[name] = (metrics["accuracy"], metrics["macro_f1"])
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="FER2013, or 'drawn' to try the program")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tasks", default=",".join(map(str, range(len(TASKS)))), help="numbers")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures of every seed here")
    arguments = parser.parse_args()
    faces = insideout_tf.read_faces(arguments.data)
    results = {}
    print("| task | model | accuracy | macro-F1 |\n|---|---|---|---|", flush=True)
    for number in arguments.tasks.split(","):
        task = list(TASKS)[int(number)]
        with tempfile.TemporaryDirectory() as folder:
            found = [measure(faces, task, seed, folder) for seed in range(arguments.seeds)]
        results[task] = found
        for name in found[0]:
            figures = np.array([each[name] for each in found])
            accuracy, f1 = figures.mean(0)
            spread, f1_spread = figures.std(0, ddof=min(1, len(found) - 1))
            print(
                f"| {task} | {name} | {accuracy:.1%} ± {spread:.1%} | {f1:.3f} ± {f1_spread:.3f} |",
                flush=True,
            )
        if arguments.json:
            arguments.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    with errors.reported("finetuning.py"):
        main()
