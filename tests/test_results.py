"""RESULTS.md and NOTEBOOK.md equal the evidence, cell by cell; pictures are drawn from it again."""

import csv
import dataclasses
import json
import re
import statistics

import experiment_tools
import numpy as np
import PIL.Image
import pytest
from conftest import ROOT
from experiment_tools import run_tool

from insideout_tf import config, runs
from insideout_tf.data import splits
from insideout_tf.evaluation import metrics
from insideout_tf.serving import packaged

RESULTS = sorted((ROOT / "experiments/results").glob("*/seed*"))
NAMES = sorted({f.parent.name for f in RESULTS if not f.parent.name.startswith("ablation_")})
EVALUATIONS = {  # split of RESULTS.md: file of the evidence
    "PrivateTest": "metrics.json",
    "PrivateTest, flips": "private-flip.json",
    "PublicTest": "public.json",
    "PublicTest (chose the epoch)": "public.json",
    "both tests": "merged.json",
}
# The two oldest runs: their folders lack these files and training times.
RECORDED = {
    ("baseline_cnn", "private-flip.json"),
    ("baseline_cnn", "public.json"),
    ("v2b0_cpu", "private-flip.json"),
    ("v2b0_cpu", "public.json"),
}
RECORDED_MINUTES = {"baseline_cnn", "v2b0_cpu", "v2b0_votes", "compact_nano_whole"}


@pytest.fixture
def tool():
    """A function that imports a module of experiments/tools by name."""
    with experiment_tools.importing() as import_module:
        yield import_module


def read_text(name):
    return (ROOT / "experiments" / name).read_text("utf-8")


def read_json(path):
    return json.loads(path.read_text("utf-8"))


def folders_of(name):
    return [folder for folder in RESULTS if folder.parent.name == name]


def read_table(text, head):
    """Returns the rows below the table head that begins with `head`: lists of cells without bold marks."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(head))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().replace("**", "") for cell in line[1:-1].split(" | ")])
    return rows


def results_rows():
    """Returns the rows of the table of RESULTS.md."""
    return read_table(read_text("RESULTS.md"), "| recipe | begins from |")


@pytest.mark.parametrize(
    "folder", RESULTS, ids=lambda folder: f"{folder.parent.name}-{folder.name}"
)
def test_committed_results_follow_from_their_predictions(folder):
    """The figures of metrics.json are those of predictions.npz; no path of a machine is told."""
    summary = json.loads((folder / "metrics.json").read_text())
    with np.load(folder / "predictions.npz") as saved:
        again = metrics.summarize(saved["probabilities"], saved["labels"])
    # The bootstrap's random draws are those of a NumPy release.
    drawn = again.pop("intervals_95")
    for name, interval in summary["intervals_95"].items():
        assert interval == pytest.approx(drawn[name], abs=2e-3)
    for key, value in again.items():
        assert summary[key] == (pytest.approx(value) if isinstance(value, float) else value), key
    assert summary["split"] == "PrivateTest"
    for file in folder.glob("*.json"):
        assert "/" not in re.sub(r"\b(https?://|n/a)\S*", "", file.read_text()), file


def test_few_faces_of_the_table_are_undecided_by_the_rounding_of_the_evidence():
    counts = {}
    for folder in (each for each in RESULTS if each.parent.name in NAMES):
        with np.load(folder / "predictions.npz") as saved:
            ordered = np.sort(saved["probabilities"], 1)
        counts[folder.parent.name, folder.name] = int((ordered[:, -1] == ordered[:, -2]).sum())
    assert counts.pop(("compact_small_whole_fine", "seed0")) == 4  # RESULTS.md tells both
    assert max(counts.values()) == 2


def expected_figure(summaries, key):
    """Returns a cell: one seed's figure with its interval, or mean ± deviation over the seeds."""
    scale, digits, unit = {"accuracy": (100, 2, " %"), "macro_f1": (1, 3, "")}[key]
    values = [scale * summary[key] for summary in summaries]
    if len(values) > 1:
        deviation = statistics.stdev(values)
        return f"{np.mean(values):.{digits}f}{unit} ± {deviation:.{digits}f}{unit}"
    low, high = (scale * value for value in summaries[0]["intervals_95"][key])
    return f"{values[0]:.{digits}f}{unit} [{low:.{digits}f}, {high:.{digits}f}]"


def test_each_cell_of_the_results_equals_the_evidence():
    evaluated = set()
    for recipe, _, _, split, accuracy, macro_f1, minutes, _ in results_rows():
        name = re.match(r"`(\w+)`", recipe)[1]
        folders, file = folders_of(name), EVALUATIONS[split]
        summaries = [read_json(f / file) for f in folders if (f / file).exists()]
        if (name, file) in RECORDED:
            assert len(summaries) < len(folders)
            assert accuracy.endswith(" †") and macro_f1.endswith(" †")
        else:
            assert len(summaries) == len(folders) > 0
            assert accuracy == expected_figure(summaries, "accuracy"), (name, split)
            assert macro_f1 == expected_figure(summaries, "macro_f1"), (name, split)
        selected_on = {read_json(folder / "metrics.json")["selected_on"] for folder in folders}
        if file == "public.json":
            assert ("chose the epoch" in split) == (selected_on == {"PublicTest"})
        assert re.findall(r"\d+", recipe.partition(",")[2]) == [
            folder.name.removeprefix("seed") for folder in folders if len(folders) > 1
        ]
        assert bool(minutes) == (split == "PrivateTest")
        if minutes and name not in RECORDED_MINUTES:
            seconds = [read_json(f / "environment.json")["training_seconds"] for f in folders]
            ends = sorted({round(min(seconds) / 60), round(max(seconds) / 60)})
            assert [int(value) for value in re.findall(r"\d+", minutes)] == ends, name
        assert ("†" in minutes) == (bool(minutes) and name in RECORDED_MINUTES)
        evaluated.add((name, file))
    for name in NAMES:
        for file in set(EVALUATIONS.values()):
            is_there = all((folder / file).exists() for folder in folders_of(name))
            assert ((name, file) in evaluated) == (is_there or (name, file) in RECORDED)


def test_each_cell_of_the_readme_equals_the_evidence():
    """Means and deviations over the seeds, and no interval for one seed."""
    rows = read_table((ROOT / "README.md").read_text("utf-8"), "| recipe | network,")
    measured = [row for row in rows if row[0].startswith("`")]
    assert len(measured) >= 4 and len(rows) == len(measured) + 2  # two as published
    for recipe, _, accuracy, macro_f1 in measured:
        name = re.match(r"`(\w+)`", recipe)[1]
        folders = folders_of(name)
        summaries = [read_json(folder / "metrics.json") for folder in folders]
        assert recipe.endswith("three seeds") == (len(folders) == 3), name
        for cell, key in ((accuracy, "accuracy"), (macro_f1, "macro_f1")):
            assert cell == expected_figure(summaries, key).partition(" [")[0], (name, key)


def test_the_mean_of_all_corruptions_is_that_of_its_table():
    text = (ROOT / "benchmarks/README.md").read_text("utf-8")
    rows = read_table(text, "| corruption | small |")
    assert rows[0][0] == "clean" and rows[-1][0] == "mean of all corruptions" and len(rows) == 8
    for column in range(1, 4):
        cells = [[float(value) for value in row[column].split()] for row in rows[1:-1]]
        assert {len(values) for values in cells} == {5}
        assert float(rows[-1][column]) == pytest.approx(np.mean(cells), abs=0.1)


def test_recorded_public_figures_agree_with_the_history():
    """The folders lack public.json; the epoch that PublicTest chose is in history.csv."""
    rows = {(re.match(r"`(\w+)`", row[0])[1], EVALUATIONS[row[3]]): row for row in results_rows()}
    for name in ("baseline_cnn", "v2b0_cpu"):
        found = []
        for folder in folders_of(name):
            if (folder / "public.json").exists():
                found.append(read_json(folder / "public.json"))
                continue
            with open(folder / "history.csv", newline="", encoding="utf-8") as file:
                best = max(csv.DictReader(file), key=lambda row: float(row["val_accuracy"]))
            found.append({key: float(best[f"val_{key}"]) for key in ("accuracy", "macro_f1")})
        accuracy, macro_f1 = rows[name, "public.json"][4:6]
        assert accuracy.startswith(f"{100 * np.mean([each['accuracy'] for each in found]):.2f} %")
        assert macro_f1.startswith(f"{np.mean([each['macro_f1'] for each in found]):.3f}")


def test_the_results_are_what_tables_prints():
    """Begin, labels, order, bold best row and commands too."""
    printed = run_tool("tables.py").stdout.partition("\n\n")[0]
    assert f"\n\n{printed}\n\n" in read_text("RESULTS.md")
    papers = run_tool("tables.py").stdout.split("\n\n")[1].strip()
    assert papers.startswith("| what |") and f"\n\n{papers}\n\n" in read_text("RESULTS.md")
    bold = [line for line in printed.splitlines() if "**" in line]
    best = max(NAMES, key=lambda name: np.mean(private_accuracy(name)))
    assert len(bold) == 1 and bold[0].startswith(f"| `{best}` |") and bold[0].count("**") == 4
    count = re.search(
        r"- (\d+) trained networks have evidence on PrivateTest", read_text("RESULTS.md")
    )
    assert int(count[1]) == len(RESULTS)


def private_accuracy(name):
    return [read_json(folder / "metrics.json")["accuracy"] for folder in folders_of(name)]


@pytest.mark.parametrize("name", NAMES)
def test_the_commands_remake_the_configuration_of_a_run(name, tool):
    """Recipe and --set of the commands give the run's config.json, but for paths and the seed."""
    experiment = tool("commands").read_experiment(tool("commands").RUNS[name])
    for folder in folders_of(name):
        if not (folder / "config.json").exists():
            assert folder.name == "seed0" and name in ("baseline_cnn", "v2b0_cpu")
            continue
        saved = config.from_saved(read_json(folder / "config.json"), folder)
        paths = ("data", "ferplus", "weights", "teacher", "start_from", "seed")
        same = {field: getattr(saved, field) for field in paths}
        assert dataclasses.replace(experiment, **same) == saved
        assert len(experiment.teacher) == len(saved.teacher)
        assert bool(experiment.start_from) == bool(saved.start_from)


def test_rows_are_marked_whose_packaged_teacher_has_been_replaced(tool):
    """Without the mark, every packaged file that the commands name has the digest of that time."""
    digests = {name: tool("commands").list_digests(name) for name in ("small", "nano")}
    marked = {}
    for row in results_rows():
        marked[re.match(r"`(\w+)`", row[0])[1]] = row[2].endswith("‡")
    assert True in marked.values() and set(marked) == set(NAMES)
    for name, is_marked in marked.items():
        experiment = tool("commands").read_experiment(tool("commands").RUNS[name])
        used = [each for each in (experiment.start_from, *experiment.teacher) if each in digests]
        named, saved = [], []
        for folder in folders_of(name):
            if not (folder / "config.json").exists():
                continue
            values, facts = (read_json(folder / f) for f in ("config.json", "environment.json"))
            named += [*values.get("teacher", ()), values.get("start_from")]
            saved += [*facts.get("teacher_sha256", ()), facts.get("start_sha256")]
        old = [n for n, digest in zip(named, saved) if n in digests and digest not in digests[n]]
        assert is_marked == bool(old), name
        if used:
            assert not is_marked and all(set(digests[each]) & set(saved) for each in used), name


def test_the_three_figures_of_the_packaged_models():
    """Run, .keras and .tflite file each have their own, and RESULTS.md says which is whose."""
    found = {}
    for model in ("small", "nano"):
        facts = packaged.facts(model)
        (folder,) = folders_of(facts["experiment"])
        found[model] = [
            read_json(folder / "metrics.json"),
            facts["evaluations"]["PrivateTest .keras"],
            facts["evaluations"]["PrivateTest .tflite"],
        ]
    files = ("`model.keras` with float32", "`small.keras`", "`small.tflite`")
    lines = [line for line in read_text("RESULTS.md").splitlines() if line.startswith("- 70.")]
    assert len(lines) == 3
    for line, file, summary in zip(lines, files, found["small"]):
        figures = f"- {100 * summary['accuracy']:.2f} %, macro-F1 {summary['macro_f1']:.3f}: "
        assert line.startswith(figures) and file in line
    first, second, third = (f"{100 * summary['accuracy']:.2f}" for summary in found["nano"])
    assert f"`compact_nano_whole_blend`) has {first}, {second} and {third} %." in read_text(
        "RESULTS.md"
    )


@pytest.mark.fer2013
def test_the_leaks_that_the_results_name_are_in_the_data(real):
    usage = {
        split: np.flatnonzero(real.usage == code)
        for split, code in (("training", 0), ("public", 1), ("private", 2))
    }
    keys = {name: [real.pixels[row].tobytes() for row in rows] for name, rows in usage.items()}
    training, public = set(keys["training"]), set(keys["public"])
    text = " ".join(read_text("RESULTS.md").split())
    private_in_training = sum(key in training for key in keys["private"])
    assert f"{private_in_training} of PrivateTest's 3,589 faces are also in Training" in text
    assert f"of PublicTest's, {sum(key in training for key in keys['public'])}." in text
    assert f"{sum(key in public for key in keys['private'])} of PrivateTest's are also in" in text
    for folder in RESULTS:
        leaks = read_json(folder / "metrics.json").get("leaks")
        if leaks and leaks.get("identical_to") == "a training face":
            trained = splits.training_rows(real, runs.experiment_of(folder))
            assert leaks["n"] == splits.also_in_training(real, usage["private"], trained).sum()
        elif leaks:
            assert leaks["n"] == private_in_training


def test_the_tables_of_the_notebook_are_what_the_tools_print():
    notebook = read_text("NOTEBOOK.md")
    _, _, recall, ablation, *_ = run_tool("tables.py").stdout.split("\n\n")
    for table in (recall, ablation):
        assert f"\n\n{table.strip()}\n\n" in notebook
    for name in ("cpu_proxy", "cpu_proxy_long", "cpu_proxy_unmixed"):
        table = run_tool("explore.py", "best_single", "--table", "--name", name).stdout
        assert f"\n\n{table.strip()}\n\n" in notebook


def test_the_notebook_quotes_the_corruptions_of_the_evidence():
    found = read_json(ROOT / "experiments/results/v2b0_distilled/robustness.json")
    rows = {
        f"{kind} {found['strengths'][kind]}": by_model
        for kind, by_model in found["accuracy"].items()
    }
    rows |= {"clean": found["clean"], "mean of all corruptions": found["mean_of_corruptions"]}
    notebook = read_text("NOTEBOOK.md")
    for title, by_model in rows.items():
        cells = (
            " ".join(f"{100 * value:.1f}" for value in np.atleast_1d(values))
            for values in by_model.values()
        )
        assert f"\n| {title} | {' | '.join(cells)} |\n" in notebook


def test_pictures_are_redrawn_from_the_evidence(tmp_path):
    folder = ROOT / "experiments/results/compact_small_whole/seed0"
    run_tool("redraw.py", folder, "--out", tmp_path)
    pictures = sorted((tmp_path / "compact_small_whole/seed0").iterdir())
    assert [p.name for p in pictures] == ["confusion.png", "learning_curves.png", "reliability.png"]
    for path in pictures:
        with PIL.Image.open(path) as picture:
            assert picture.width > 400 and np.asarray(picture.convert("L")).std() > 10
    done = run_tool("redraw.py", tmp_path, "--out", tmp_path / "x", check=False)
    assert done.returncode == 2 and "expected a folder with metrics.json" in done.stderr
    assert not (tmp_path / "x").exists()


def test_comparisons_are_redrawn_from_the_evidence(tmp_path, tool):
    tool("redraw").draw_comparisons(tmp_path)
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.png")}
    assert names == {"ablation.png", "v2b0_distilled/robustness.png"}
    for name in names:
        with PIL.Image.open(tmp_path / name) as picture:
            assert np.asarray(picture.convert("L")).std() > 10


@pytest.mark.parametrize(
    "names",  # as NOTEBOOK.md gives the command
    [
        "insideout_v2s_grown,v2b0_votes,compact_small_fine",
        "v2b0_taught,compact_small_whole_blend",
    ],
)
def test_an_ensemble_of_results_averages_their_probabilities(names):
    notebook = read_text("NOTEBOOK.md")
    assert f"tables.py --ensemble {names}\n" in notebook
    printed = run_tool("tables.py", "--ensemble", names).stdout
    table = printed[printed.index("| ensemble |") :].partition("\n\n")[0]
    assert f"\n\n{table}\n\n" in notebook
    line = table.splitlines()[-1]
    assert line.startswith("| together |")
    saved = [
        np.load(ROOT / f"experiments/results/{n}/seed0/predictions.npz") for n in names.split(",")
    ]
    predicted = sum(each["probabilities"].astype("float64") for each in saved).argmax(1)
    accuracy = 100 * (predicted == saved[0]["labels"]).mean()
    assert line.split(" | ")[1] == f"{accuracy:.2f} %"
    alone = run_tool("tables.py", "--ensemble", "compact_nano,compact_nano").stdout.splitlines()
    assert "+0.0 [0.0, 0.0]" in next(line for line in alone if line.startswith("| together |"))
    done = run_tool("tables.py", "--ensemble", "compact_nano,nothing", check=False)
    assert done.returncode == 2 and "expected some of baseline_cnn" in done.stderr
    assert not done.stdout


@pytest.mark.parametrize(
    "better,worse",
    [
        ("compact_small_whole", "compact_small_fine"),
        ("compact_small_whole_blend", "compact_small_blend"),
        ("compact_small_second", "compact_small_whole"),
        ("compact_nano_whole", "compact_nano"),
        ("compact_nano_whole_blend", "compact_nano_blend"),
    ],
)
def test_a_recipe_is_compared_with_another_over_the_same_faces(better, worse):
    section = read_text("NOTEBOOK.md").partition(f"\n### `{better}`")[2].partition("\n### ")[0]
    section = " ".join(section.split())
    printed = run_tool("tables.py", "--against", worse).stdout
    table = printed[printed.index(f"| more than `{worse}` |") :].splitlines()
    (line,) = [each for each in table if each.startswith(f"| `{better}` |")]
    accuracy, macro_f1 = line.strip("| ").split(" | ")[1:]
    assert f"PrivateTest: {accuracy} points and {macro_f1}" in section or (
        f"log loss: {accuracy} points and {macro_f1}" in section
    )
    assert f"`tables.py --against {worse}`" in section
    scores = [np.mean(private_accuracy(name)) for name in (better, worse)]
    assert accuracy.startswith(f"{100 * (scores[0] - scores[1]):+.1f} [")


def test_comparing_with_an_unknown_recipe_is_refused():
    done = run_tool("tables.py", "--against", "nothing", check=False)
    assert done.returncode == 2 and "--against: expected one of baseline_cnn" in done.stderr
    assert not done.stdout
