"""Print the tables of experiments/RESULTS.md and NOTEBOOK.md from the evidence in experiments/results.

    python experiments/tools/tables.py [--ensemble A,B,C] [--against A]

--ensemble adds the figures of several recipes' mean probabilities; --against adds the paired
difference of each recipe from one of them.
"""

import argparse
import statistics

import commands
import evidence
import numpy as np

from insideout_tf import errors
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.errors import UserError
from insideout_tf.evaluation import metrics

PUBLISHED = {  # recall that a paper gives
    "InsideOut, as published (merged)": {"disgust": 0.729, "surprise": 0.866},
}
PAPERS = (  # a title and the figures that a paper gives, or a title and one of our runs
    ("InsideOut (arXiv 2510.03066), as published", ("62.8 %", "0.590", "0.729, 0.866")),
    ("its network by its recipe, at 64 px", "insideout_v2s_grown"),
    ("EfficientNetB2 (arXiv 2601.18228), as published", ("68.78 %", "", "")),
    ("its network by its recipe, at 64 px", "effnet_b2_grown"),
    ("our best with its network", "effnet_b2_votes"),
    ("our best of all", "compact_small_whole"),
)
SPLITS = {  # file of an evidence folder: the split, as a cell of RESULTS.md
    "metrics.json": "PrivateTest",
    "private-flip.json": "PrivateTest, flips",
    "public.json": "PublicTest",
    "merged.json": "both tests",
}
OVERFITTING_EPOCH = 10  # of arXiv 2510.03066, counted over all stages
RECORDED, REPLACED = " †", " ‡"  # marks that RESULTS.md explains


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ensemble", help="NAME,... with results; the first seed of each")
    parser.add_argument("--against", metavar="NAME", help="compare the first seeds with this one's")
    arguments = parser.parse_args(argv)
    runs, ablations = evidence.find_runs(), evidence.find_ablations()
    names = arguments.ensemble.split(",") if arguments.ensemble else []
    with errors.reported("tables.py"):
        known = ", ".join(runs)
        if not set(names) <= runs.keys():
            raise UserError(f"--ensemble: expected some of {known}. Received: {names}")
        if arguments.against and arguments.against not in runs:
            raise UserError(f"--against: expected one of {known}. Received: {arguments.against}")
        if runs.keys() - commands.RUNS.keys():
            raise UserError(
                "experiments/results: expected only runs of commands.RUNS. Add the commands of the "
                f"others there. Received: {', '.join(runs.keys() - commands.RUNS.keys())}"
            )
        print("\n".join(results_table(runs)))
        print("\n".join(papers_table(runs)))
        print("\n".join(recall_table(runs)))
        if ablations:
            print("\n".join(ablation_table(ablations)))
        if names:
            print("\n".join(ensemble_table({name: runs[name][0] for name in names})))
        if arguments.against:
            print("\n".join(comparison_table(arguments.against, runs)))


def results_table(runs):
    """Yields the table of RESULTS.md, the best on PrivateTest first."""
    yield "| recipe | begins from | labels | split | accuracy | macro-F1 | minutes | command |"
    yield "|---|---|---|---|---|---|---|---|"
    accuracy = {
        name: statistics.mean(evidence.read_summary(folder)["accuracy"] for folder in folders)
        for name, folders in runs.items()
    }
    ranked = sorted(runs, key=lambda name: -accuracy[name])
    for name in ranked:
        yield from result_rows(name, runs[name], is_best=name == ranked[0])
    yield ""


def result_rows(name, folders, is_best):
    """Yields the rows of one run: one for each evaluated split."""
    run = commands.RUNS[name]
    experiment = commands.read_experiment(run)
    first = evidence.read_summary(folders[0])
    seeds = [evidence.read_summary(folder)["seed"] for folder in folders]
    recipe = f"`{name}`" + (f", seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else "")
    labels = commands.describe_labels(experiment)
    if any(has_replaced_file(folder) for folder in folders):
        labels += REPLACED
    minutes = minutes_cell(run, seeds, folders, bool(experiment.start_from))
    command = "<br>".join(f"`{each}`" for each in run.commands)
    for file, split in SPLITS.items():
        summaries = [s for folder in folders if (s := evidence.read_summary(folder, file))]
        if len(summaries) == len(folders):
            cells = [figure_cell(summaries, key) for key in ("accuracy", "macro_f1")]
        elif file in run.recorded:
            cells = [cell + RECORDED for cell in run.recorded[file]]
        else:
            continue
        if file == "public.json" and first["selected_on"] == "PublicTest":
            split += " (chose the epoch)"
        if is_best and file == "metrics.json":
            cells = [f"**{cell}**" for cell in cells]
        start = commands.describe_start(experiment)
        yield "| " + " | ".join((recipe, start, labels, split, *cells, minutes, command)) + " |"
        minutes = command = ""


def has_replaced_file(folder):
    """Returns True if the run of a folder used a packaged model that was replaced later."""
    config = evidence.read_summary(folder, "config.json")
    if config is None:
        return False
    return commands.used_replaced_file(config, evidence.read_summary(folder, "environment.json"))


def figure_cell(summaries, key):
    """Returns one seed's figure with its 95 % interval, or the mean ± the standard deviation."""
    scale, digits, unit = (100, 2, " %") if key == "accuracy" else (1, 3, "")
    values = [scale * summary[key] for summary in summaries]
    mean = f"{statistics.mean(values):.{digits}f}{unit}"
    if len(values) > 1:
        return f"{mean} ± {statistics.stdev(values):.{digits}f}{unit}"
    low, high = (scale * value for value in summaries[0]["intervals_95"][key])
    return f"{mean} [{low:.{digits}f}, {high:.{digits}f}]"


def minutes_cell(run, seeds, folders, is_continued):
    """Returns the minutes of training, of one seed or the range over seeds."""
    minutes = []
    for seed, folder in zip(seeds, folders):
        environment = evidence.read_summary(folder, "environment.json")
        minutes.append(run.minutes.get(seed) or round(environment["training_seconds"] / 60))
    text = f"{min(minutes)} to {max(minutes)} each" if len(minutes) > 1 else f"{minutes[0]}"
    text = ("about " if run.paused else "") + text + (" more" if is_continued else "")
    return text + (RECORDED if run.minutes else "")


def recall_table(runs):
    """Yields PrivateTest's recall by class."""
    yield "| PrivateTest recall | " + " | ".join(EMOTIONS) + " |"
    yield "|---|" + "---|" * len(EMOTIONS)
    for name, folders in runs.items():
        rows = [evidence.read_summary(folder)["per_class"] for folder in folders]
        cells = [mean_and_deviation([row[each]["recall"] for row in rows]) for each in EMOTIONS]
        yield f"| `{name}` | " + " | ".join(cells) + " |"
    for name, recall in PUBLISHED.items():
        yield f"| {name} | " + " | ".join(str(recall.get(each, "")) for each in EMOTIONS) + " |"
    yield ""


def papers_table(runs):
    """Yields each paper's claims beside our runs of its network, and our best run of all."""
    yield (
        "| what | run | begins from | seeds | PrivateTest | without leaked faces | macro-F1 | both tests | "
        "macro-F1 | recall of disgust, of surprise, both tests | minutes |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for title, run in PAPERS:
        if isinstance(run, str):
            yield paper_row(title, run, runs[run])
        else:
            accuracy, macro_f1, recall = run
            yield f"| **{title}** | | ImageNet | | {accuracy} | | {macro_f1} | | | {recall} | |"
    yield ""


def paper_row(title, name, folders):
    """Returns the row of one of our runs in `papers_table`."""
    run = commands.RUNS[name]
    private = [evidence.read_summary(folder) for folder in folders]
    both = [s for folder in folders if (s := evidence.read_summary(folder, "merged.json"))]
    clean = [100 * each["leaks"]["accuracy_without"] for each in private]
    figures = [
        figure_cell(summaries, key) if summaries else ""
        for summaries in (private, both)
        for key in ("accuracy", "macro_f1")
    ]
    recall = [
        mean_and_deviation([each["per_class"][emotion]["recall"] for each in both])
        for emotion in ("disgust", "surprise")
        if both
    ]
    cells = (
        title,
        f"`{name}`",
        commands.describe_start(commands.read_experiment(run)),
        str(len(folders)),
        figures[0],
        f"{statistics.mean(clean):.2f} %",
        *figures[1:],
        ", ".join(recall),
        minutes_cell(run, [each["seed"] for each in private], folders, False),
    )
    return f"| {' | '.join(cells)} |"


def mean_and_deviation(values):
    """Returns the mean with the standard deviation, or the one value, as text."""
    mean = f"{statistics.mean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.3f}"


def ablation_table(ablations):
    """Yields the table of the ablation, with paired differences from its first run."""
    yield (
        f"| ablation | epochs | best epoch | gap at epoch {OVERFITTING_EPOCH} | gap at the end | validation loss, "
        "least (epoch) | at the end | PrivateTest | less the first | macro-F1 | less the first |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    first = None
    for name, folder in ablations.items():
        summary, rows = evidence.read_summary(folder), evidence.read_history(folder)
        predictions = evidence.read_predictions(folder)
        gains = format_gains(first, predictions)
        first = predictions if first is None else first
        best = max(rows, key=lambda row: row["val_macro_f1"])
        least = min(rows, key=lambda row: row["val_loss"])
        tenth = rows[min(OVERFITTING_EPOCH, len(rows)) - 1]
        yield (
            f"| {name} | {len(rows)} | {best['epoch']:.0f} | "
            f"{tenth['gap']:+.3f} | {rows[-1]['gap']:+.3f} | "
            f"{least['val_loss']:.3f} ({least['epoch']:.0f}) | {rows[-1]['val_loss']:.3f} | "
            f"{summary['accuracy']:.2%} | {gains[0]} | "
            f"{summary['macro_f1']:.3f} | {gains[1]} |"
        ).replace("%", " %")
    yield ""


def ensemble_table(members):
    """Yields PrivateTest's figures of each recipe alone, best last, and of their mean probabilities.

    Probabilities are averaged as ensemble.py does (Lakshminarayanan et al. 2017, arXiv 1612.01474, section 2.4).
    """
    predictions = {name: evidence.read_predictions(folder) for name, folder in members.items()}
    labels = next(iter(predictions.values()))[1]
    probabilities = {name: each for name, (each, _) in predictions.items()}
    alone = {name: metrics.summarize(each, labels) for name, each in probabilities.items()}
    ranked = sorted(alone, key=lambda name: alone[name]["accuracy"])
    mean = np.mean(list(probabilities.values()), axis=0)
    summary = metrics.summarize(mean, labels)

    def row(name, summary, accuracy="", macro_f1=""):
        return (
            f"| {name} | {summary['accuracy']:.2%} | {summary['macro_f1']:.3f} | "
            f"{summary['nll']:.3f} | {accuracy} | {macro_f1} |"
        ).replace("%", " %")

    yield "| ensemble | PrivateTest | macro-F1 | log loss | more than the best alone | macro-F1 |"
    yield "|---|---|---|---|---|---|"
    yield from (row(name, alone[name]) for name in ranked)
    yield row("together", summary, *format_gains(predictions[ranked[-1]], (mean, labels)))
    yield ""
    recalls = ", ".join(f"{each} {summary['per_class'][each]['recall']:.3f}" for each in EMOTIONS)
    yield f"recall together: {recalls}"


def comparison_table(other, runs):
    """Yields the paired difference of each recipe's first seed from another's on PrivateTest."""
    before = evidence.read_predictions(runs[other][0])
    yield f"| more than `{other}` | PrivateTest, points | macro-F1 |"
    yield "|---|---|---|"
    for name, folders in runs.items():
        if name != other:
            accuracy, macro_f1 = format_gains(before, evidence.read_predictions(folders[0]))
            yield f"| `{name}` | {accuracy} | {macro_f1} |"


def format_gains(before, after):
    """Returns two texts: the gains in accuracy, in points, and in macro-F1, with paired intervals.

    before, after: `(probabilities, labels)` of the same faces. Both texts are "" if `before` is None.
    """
    if before is None:
        return "", ""
    labels = before[1]
    gains = metrics.paired_intervals(labels, before[0].argmax(1), after[0].argmax(1))
    texts = []
    for figure, scale, digits in (("accuracy", 100, 1), ("macro_f1", 1, 3)):
        gain, low, high = (scale * value for value in gains[figure])
        texts.append(f"{gain:+.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]")
    return tuple(texts)


if __name__ == "__main__":
    main()
