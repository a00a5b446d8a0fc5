"""Prints the tables of experiments/README.md from the evidence in experiments/results.

    python experiments/tools/tables.py [--figure experiments/results/ablation.png] [--ensemble A,B,C] [--against A]

--figure draws the curves of the ablation; --ensemble tells what the mean of several recipes' answers is worth,
--against by how much each recipe differs from one, face by face.
"""

import argparse
import csv
import itertools
import json
import pathlib
import statistics

import numpy as np

from insideout_tf import errors
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.errors import UserError
from insideout_tf.evaluation import metrics, plots

RESULTS = pathlib.Path(__file__).resolve().parent.parent / "results"
PAPERS = {  # recall as published; what a paper does not give is left out
    "InsideOut, as published (merged)": {"disgust": 0.729, "surprise": 0.866},
}
ABLATION, FIRST = "ablation_", "ablation_none"  # one seed each
OVERFITTING_EPOCH = 10  # of the paper, counted over all stages
LINES = tuple(  # of Okabe & Ito's colours
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
    parser.add_argument("--figure", type=pathlib.Path, help="a PNG: curves of the ablation")
    parser.add_argument("--ensemble", help="recipes with results, the first seed of each")
    parser.add_argument(
        "--against", help="a recipe with results, whose first seed others are compared with"
    )
    arguments = parser.parse_args(argv)
    found: dict[str, list[pathlib.Path]] = {}
    ablations: dict[str, pathlib.Path] = {}
    for folder in sorted(RESULTS.glob("*/seed*"), key=lambda f: (f.parent.name != FIRST, f)):
        name = folder.parent.name
        if name.startswith(ABLATION):
            ablations.setdefault(name.removeprefix(ABLATION), folder)
        else:
            found.setdefault(name, []).append(folder)
    names = arguments.ensemble.split(",") if arguments.ensemble else []
    with errors.reported("tables.py"):
        known = ", ".join(found)
        if not set(names) <= found.keys():
            raise UserError(f"--ensemble: expected some of {known}. Received: {names}")
        if arguments.against and arguments.against not in found:
            raise UserError(f"--against: expected one of {known}. Received: {arguments.against}")
    print("\n".join(measured(found)))
    print("\n".join(recall(found)))
    if ablations:
        print("\n".join(gaps(ablations)))
        if arguments.figure:
            draw(ablations, arguments.figure)
    if names:
        print("\n".join(together({name: found[name][0] for name in names})))
    if arguments.against:
        print("\n".join(compared(arguments.against, found)))


def read(folder, name="metrics.json"):
    path = folder / name
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def spread(values, text):
    """Returns the mean as text, with the standard deviation over seeds where there are several."""
    mean = text.format(statistics.mean(values))
    return mean if len(values) == 1 else f"{mean} ± {text.format(statistics.stdev(values))}"


def column(folders, name, key, text):
    values = [summary[key] for folder in folders if (summary := read(folder, name))]
    return spread(values, text) if values else ""


def measured(found):
    yield "| recipe | init | parameters | px | seeds | PrivateTest | macro-F1 | flip | PublicTest | merged |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for name, folders in found.items():
        first = read(folders[0])
        accuracy = column(folders, "metrics.json", "accuracy", "{:.2%}")
        if len(folders) == 1:
            low, high = first["intervals_95"]["accuracy"]
            accuracy += f" [{low:.2%}, {high:.2%}]"
        cells = (
            f"`{name}`",
            first["init"],
            f"{first['parameters']:,}",
            first["image_size"],
            len(folders),
            accuracy,
            column(folders, "metrics.json", "macro_f1", "{:.3f}"),
            column(folders, "private-flip.json", "accuracy", "{:.2%}"),
            column(folders, "public.json", "accuracy", "{:.2%}"),
            column(folders, "merged.json", "accuracy", "{:.2%}"),
        )
        yield "| " + " | ".join(map(str, cells)).replace("%", " %") + " |"
    yield ""


def recall(found):
    yield "| PrivateTest recall | " + " | ".join(EMOTIONS) + " |"
    yield "|---|" + "---|" * len(EMOTIONS)
    for name, folders in found.items():
        rows = [read(folder)["per_class"] for folder in folders]
        cells = [spread([row[each]["recall"] for row in rows], "{:.3f}") for each in EMOTIONS]
        yield f"| `{name}` | " + " | ".join(cells) + " |"
    for name, known in PAPERS.items():
        yield f"| {name} | " + " | ".join(str(known.get(each, "")) for each in EMOTIONS) + " |"
    yield ""


def gaps(found):
    yield (
        f"| ablation | epochs | best epoch | gap at epoch {OVERFITTING_EPOCH} | gap at the end | validation loss, "
        "least (epoch) | at the end | PrivateTest | less the first | macro-F1 | less the first |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    first = None
    for name, folder in found.items():
        summary, rows, confusions = read(folder), history(folder), resampled(*answers(folder))
        first = confusions if first is None else first
        best = max(rows, key=lambda row: row["val_macro_f1"])
        least = min(rows, key=lambda row: row["val_loss"])
        tenth = rows[min(OVERFITTING_EPOCH, len(rows)) - 1]
        yield (
            f"| {name} | {len(rows)} | {best['epoch']:.0f} | "
            f"{tenth['gap']:+.3f} | {rows[-1]['gap']:+.3f} | "
            f"{least['val_loss']:.3f} ({least['epoch']:.0f}) | {rows[-1]['val_loss']:.3f} | "
            f"{summary['accuracy']:.2%} | {gained(first, confusions, metrics.accuracy, 100, 1)} | "
            f"{summary['macro_f1']:.3f} | {gained(first, confusions, metrics.macro_f1, 1, 3)} |"
        ).replace("%", " %")
    yield ""


def together(members):
    """Yields what recipes reach on PrivateTest alone, best last, and what the mean of their answers does.

    Probabilities are averaged as ensemble.py does (Lakshminarayanan et al. 2017, arXiv 1612.01474, section 2.4).
    """
    said = {}
    for name, folder in members.items():
        said[name], labels = answers(folder)
    alone = {name: metrics.summarize(each, labels) for name, each in said.items()}
    ranked = sorted(alone, key=lambda name: alone[name]["accuracy"])
    mean = np.mean(list(said.values()), axis=0)
    summary = metrics.summarize(mean, labels)
    before, after = resampled(said[ranked[-1]], labels), resampled(mean, labels)

    def row(name, summary, accuracy="", macro_f1=""):
        return (
            f"| {name} | {summary['accuracy']:.2%} | {summary['macro_f1']:.3f} | "
            f"{summary['nll']:.3f} | {accuracy} | {macro_f1} |"
        ).replace("%", " %")

    yield "| ensemble | PrivateTest | macro-F1 | log loss | more than the best alone | macro-F1 |"
    yield "|---|---|---|---|---|---|"
    yield from (row(name, alone[name]) for name in ranked)
    yield row(
        "together",
        summary,
        gained(before, after, metrics.accuracy, 100, 1),
        gained(before, after, metrics.macro_f1, 1, 3),
    )
    yield ""
    recalls = ", ".join(f"{each} {summary['per_class'][each]['recall']:.3f}" for each in EMOTIONS)
    yield f"recall together: {recalls}"


def compared(other, found):
    """Yields by how much each recipe's first seed is above another's on PrivateTest, over the same faces."""
    before = resampled(*answers(found[other][0]))
    yield f"| more than `{other}` | PrivateTest, points | macro-F1 |"
    yield "|---|---|---|"
    for name, folders in found.items():
        if name != other:
            after = resampled(*answers(folders[0]))
            accuracy = gained(before, after, metrics.accuracy, 100, 1)
            yield f"| `{name}` | {accuracy} | {gained(before, after, metrics.macro_f1, 1, 3)} |"


def answers(folder):
    """Returns what a run said of PrivateTest, `[n, 7]`, and the labels, in the data's order."""
    with np.load(folder / "predictions.npz") as saved:
        return saved["probabilities"].astype("float64"), saved["labels"]


def resampled(probabilities, labels):
    """Returns PrivateTest's confusion matrix and those of 1,000 bootstrap samples, the same for every run."""
    said = probabilities.argmax(1)
    faces = np.random.default_rng(0).integers(0, len(labels), (1000, len(labels)))
    return np.array(
        [metrics.confusion_matrix(labels[rows], said[rows]) for rows in (slice(None), *faces)]
    )


def gained(before, after, figure, scale, digits):
    """Returns by how much a run is better than the first, and 95 % of the paired bootstrap."""
    if after is before:
        return ""
    gain = scale * (figure(after) - figure(before))
    low, high = np.quantile(gain[1:], [0.025, 0.975])
    return f"{gain[0]:+.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def history(folder):
    """Returns the numbers of each epoch."""
    with open(folder / "history.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{key: float(value) for key, value in row.items() if key != "stage"} for row in rows]


def draw(found, path):
    """Draws what each run's epochs did to the gap, the validation loss and macro-F1."""
    histories = {name.replace("_", " "): history(folder) for name, folder in found.items()}
    figure, panels = plots.create_figure(14, 4.6, columns=3)
    for axes, (key, label) in zip(
        panels,
        (
            ("gap", "accuracy on training faces less validation"),
            ("val_loss", "validation loss, nats"),
            ("val_macro_f1", "validation macro-F1"),
        ),
    ):
        for (run, rows), style in zip(histories.items(), itertools.cycle(LINES)):
            epochs, values = ([row[each] for row in rows] for each in ("epoch", key))
            axes.plot(epochs, values, label=run, markevery=[-1], markersize=6, **style)
        axes.axvline(OVERFITTING_EPOCH, color="black", linewidth=1, linestyle=":")
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    panels[0].legend(fontsize=9)
    plots.save(figure, path)


if __name__ == "__main__":
    main()
