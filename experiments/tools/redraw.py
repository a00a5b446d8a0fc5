"""Redraw the pictures of the evidence, which git does not hold.

    python experiments/tools/redraw.py [FOLDER ...] [--out DIR] [--data fer2013.csv]

Without FOLDER, all of experiments/results are redrawn. Each folder of a run gets `confusion.png` and
`reliability.png` from `predictions.npz`, and `learning_curves.png` from `history.csv`. --data adds
`mistakes.png`, the most confident mistakes, which needs the pixels. `ablation.png` compares the runs of
the ablation; `robustness.png` shows a `robustness.json`. --out writes all of them below DIR instead of
beside the evidence.
"""

import argparse
import itertools
import pathlib
import sys

import evidence
import numpy as np
import tables

from insideout_tf import errors, files
from insideout_tf.data.read import read_faces
from insideout_tf.errors import UserError
from insideout_tf.evaluation import plots

LINES = tuple(  # colours of Okabe & Ito, safe for colour-blind readers
    dict(color=color, linestyle=style, marker=marker, linewidth=width)
    for color, style, marker, width in (
        (plots.GREY, "-", "o", 2.6),
        ("black", ":", "X", 2.0),
        (plots.BLUE, "-", "s", 1.6),
        (plots.GREEN, "-", "^", 1.6),
        (plots.ORANGE, "-", "D", 1.6),
        ("#CC79A7", "--", "v", 1.6),
    )
)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "folder", nargs="*", type=pathlib.Path, help="experiments/results/NAME/seedN"
    )
    parser.add_argument("--out", type=pathlib.Path, help="default: beside the evidence")
    parser.add_argument("--data", help="FER2013, for the most confident mistakes")
    arguments = parser.parse_args(argv)
    with errors.reported("redraw.py"):
        for folder in arguments.folder:
            if not (folder / evidence.METRICS).exists():
                raise UserError(
                    f"{folder}: expected a folder with {evidence.METRICS}. Name one of "
                    "experiments/results/NAME/seedN. Received: a path without it"
                )
        pixels = read_faces(arguments.data).pixels if arguments.data else None
        folders = arguments.folder or sorted(evidence.RESULTS.glob("*/seed*"))
        for folder in folders:
            target = target_of(folder, arguments.out)
            draw_run(folder, target, pixels)
            print(target)
        if not arguments.folder:
            draw_comparisons(arguments.out)


def target_of(folder, out):
    """Returns the folder that the pictures of one evidence folder go to."""
    folder = folder.resolve()
    if out is None:
        return folder
    is_result = folder.is_relative_to(evidence.RESULTS)
    return out / (folder.relative_to(evidence.RESULTS) if is_result else folder.name)


def draw_run(folder, target, pixels=None):
    """Writes the pictures of one run into `target`; pixels: uint8 `[faces, h, w]` of the whole data."""
    summary = evidence.read_summary(folder)
    facts = evidence.read_summary(folder, "environment.json") or {}
    probabilities, labels = evidence.read_predictions(folder)
    title = f"{summary['experiment']}, {summary['split']}"
    plots.save(plots.confusion(summary, title), target / "confusion.png")
    plots.save(plots.reliability(probabilities, labels, title), target / "reliability.png")
    curves = plots.learning_curves(evidence.read_history(folder), facts.get("best_epoch"))
    plots.save(curves, target / "learning_curves.png")
    if pixels is not None:
        with np.load(folder / "predictions.npz") as saved:
            faces = pixels[saved["rows"]]
        sheet = plots.mistakes(probabilities, labels, faces, title)
        plots.save(sheet, target / "mistakes.png")


def draw_comparisons(out):
    """Writes ablation.png, and a robustness.png for each robustness.json."""
    sys.path.insert(0, str(evidence.ROOT / "benchmarks"))
    import robustness

    results = out or evidence.RESULTS
    draw_ablation(evidence.find_ablations(), results / "ablation.png")
    print(results / "ablation.png")
    for path in sorted(evidence.RESULTS.glob("*/robustness.json")):
        target = results / path.relative_to(evidence.RESULTS).with_suffix(".png")
        target.parent.mkdir(parents=True, exist_ok=True)
        robustness.draw(files.read_json(path), target)
        print(target)


def draw_ablation(ablations, path):
    """Draws the gap, the validation loss and macro-F1 of each run of the ablation by epoch."""
    histories = {
        name.replace("_", " "): evidence.read_history(folder) for name, folder in ablations.items()
    }
    figure, panels = plots.create_figure(14, 4.6, columns=3)
    for axes, (key, label) in zip(
        panels,
        (
            ("gap", "accuracy: training faces minus validation"),
            ("val_loss", "validation loss, nats"),
            ("val_macro_f1", "validation macro-F1"),
        ),
    ):
        for (name, rows), style in zip(histories.items(), itertools.cycle(LINES)):
            epochs, values = ([row[each] for row in rows] for each in ("epoch", key))
            axes.plot(epochs, values, label=name, markevery=[-1], markersize=6, **style)
        axes.axvline(tables.OVERFITTING_EPOCH, color="black", linewidth=1, linestyle=":")
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    panels[0].legend(fontsize=9)
    plots.save(figure, path)


if __name__ == "__main__":
    main()
