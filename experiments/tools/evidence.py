"""Read the evidence of finished runs, experiments/results/NAME/seedN.

A folder holds `metrics.json` and `predictions.npz` of PrivateTest, the metrics of other evaluations,
`history.csv`, `config.json` and `environment.json`. The two oldest folders lack the last two.
"""

import csv
import json
import pathlib

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
RESULTS = ROOT / "experiments/results"
ABLATION, REFERENCE = "ablation_", "ablation_none"  # one seed each
METRICS = "metrics.json"


def find_runs():
    """Returns {name: [folder of each seed]} of all runs but those of the ablation."""
    runs: dict[str, list[pathlib.Path]] = {}
    for folder in sorted(RESULTS.glob("*/seed*")):
        if not folder.parent.name.startswith(ABLATION):
            runs.setdefault(folder.parent.name, []).append(folder)
    return runs


def find_ablations():
    """Returns {name without "ablation_": folder}, the reference "none" first."""
    folders = sorted(
        RESULTS.glob(f"{ABLATION}*/seed*"), key=lambda f: (f.parent.name != REFERENCE, f)
    )
    return {folder.parent.name.removeprefix(ABLATION): folder for folder in folders}


def read_summary(folder, name=METRICS):
    """Returns one of a folder's JSON files, or None where it is missing."""
    path = folder / name
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def read_history(folder):
    """Returns a list of dicts, one for each epoch: floats, and the stage's name."""
    with open(folder / "history.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [
        {key: value if key == "stage" else float(value) for key, value in row.items()}
        for row in rows
    ]


def read_predictions(folder):
    """Returns PrivateTest's probabilities float64 `[n, 7]` and labels uint8 `[n]`, in file order."""
    with np.load(folder / "predictions.npz") as saved:
        return saved["probabilities"].astype("float64"), saved["labels"]
