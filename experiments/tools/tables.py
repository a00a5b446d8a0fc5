"""Prints the tables of experiments/README.md from the evidence in experiments/results.

python experiments/tools/tables.py
"""

import csv
import json
import pathlib
import statistics

RESULTS = pathlib.Path(__file__).resolve().parent.parent / "results"
CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
PAPERS = {  # recall as published; what a paper does not give is left out
    "InsideOut, as published (merged)": {"disgust": 0.729, "surprise": 0.866},
}
OVERFITTING_EPOCH = 10  # of the paper, counted over all stages


def main():
    found: dict[str, list[pathlib.Path]] = {}
    for folder in sorted(RESULTS.glob("*/seed*")):
        found.setdefault(folder.parent.name, []).append(folder)
    print("\n".join(measured({k: v for k, v in found.items() if not k.startswith("ablation_")})))
    print("\n".join(recall(found)))
    ablations = {k: v for k, v in found.items() if k.startswith("ablation_")}
    if ablations:
        print("\n".join(gaps(ablations)))


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
    yield "| PrivateTest recall | " + " | ".join(CLASSES) + " |"
    yield "|---|" + "---|" * len(CLASSES)
    for name, folders in found.items():
        rows = [read(folder)["per_class"] for folder in folders]
        cells = [spread([row[each]["recall"] for row in rows], "{:.3f}") for each in CLASSES]
        yield f"| `{name}` | " + " | ".join(cells) + " |"
    for name, known in PAPERS.items():
        yield f"| {name} | " + " | ".join(str(known.get(each, "")) for each in CLASSES) + " |"
    yield ""


def gaps(found):
    yield (
        f"| ablation | epochs | best epoch | gap at epoch {OVERFITTING_EPOCH} | gap at the end | "
        "validation accuracy, best | at the end | PrivateTest | macro-F1 |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for name, folders in found.items():
        summary = read(folders[0])
        with open(folders[0] / "history.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        best = max(rows, key=lambda row: float(row["val_macro_f1"]))
        tenth = rows[min(OVERFITTING_EPOCH, len(rows)) - 1]
        yield (
            f"| {name.removeprefix('ablation_')} | {len(rows)} | {best['epoch']} | "
            f"{float(tenth['gap']):+.3f} | {float(rows[-1]['gap']):+.3f} | "
            f"{float(best['val_accuracy']):.3f} | {float(rows[-1]['val_accuracy']):.3f} | "
            f"{summary['accuracy']:.2%} | {summary['macro_f1']:.3f} |"
        ).replace("%", " %")
    yield ""


if __name__ == "__main__":
    main()
