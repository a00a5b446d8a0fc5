"""Every experiment loads, round-trips, is named after its file and plans on its backbone."""

import dataclasses
import json
import os
import re
import runpy
import shutil
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
from conftest import ROOT, WEIGHTS

import insideout_tf
from insideout_tf import config, overrides, recipes, runs
from insideout_tf.data import splits
from insideout_tf.data.read import read_faces
from insideout_tf.evaluation import metrics
from insideout_tf.evaluation.report import PREDICTIONS
from insideout_tf.network import backbones
from insideout_tf.network.build import build_network
from insideout_tf.network.predict import predict_probabilities
from insideout_tf.network.weights import load_model, save_model
from insideout_tf.serving import packaged

PROMISED = {
    "quickstart",
    "insideout_v2s",
    "effnet_b2",
    "v2b0_cpu",
    "baseline_cnn",
    "insideout_v2s_scratch",
    "effnet_b2_scratch",
}
FILES = [recipes.path_of(name) for name in recipes.names()]
RESULTS = sorted((ROOT / "experiments/results").glob("*/seed*"))


def test_the_promised_experiments_are_there():
    assert PROMISED <= {file.stem for file in FILES}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_loads_and_round_trips(file):
    experiment = overrides.load(file)
    assert experiment.name == file.stem
    assert config.from_dict(json.loads(json.dumps(config.to_dict(experiment)))) == experiment
    blocks = backbones.get(experiment.backbone).blocks
    for stage in experiment.stages:
        assert stage.unfreeze_from in (None, "all", *blocks)
    assert "insideout train" in file.read_text() or file.stem == "quickstart"


def test_second_paper_as_published():
    experiment = overrides.load("effnet_b2")
    warmup, finetune = experiment.stages
    assert (experiment.backbone, experiment.weights) == ("EfficientNetB2", "imagenet")
    assert (experiment.split, experiment.validation_fraction) == ("stratified", 0.125)
    assert (experiment.label_smoothing, experiment.dropout) == (0.06, 0.5)
    assert experiment.class_weight.startswith("clipped") and experiment.precision == "auto"
    assert (warmup.epochs, warmup.optimizer, warmup.learning_rate, warmup.unfreeze_from) == (
        3,
        "adam",
        1e-3,
        None,
    )
    assert (
        finetune.epochs,
        finetune.optimizer,
        finetune.learning_rate,
        finetune.weight_decay,
        finetune.batch_norm,
    ) == (7, "adamw", 3e-5, 1e-4, "frozen")


def test_quickstart_needs_no_file_outside_the_package():
    from insideout_tf.recipes import quickstart

    assert overrides.load("quickstart") == quickstart.get_config()


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


@pytest.mark.parametrize("name", sorted({folder.parent.name for folder in RESULTS}))
def test_readme_quotes_the_mean_of_the_seeds(name):
    rows = [
        json.loads((folder / "metrics.json").read_text())
        for folder in RESULTS
        if folder.parent.name == name
    ]
    text = (ROOT / "experiments/README.md").read_text()
    assert f"{np.mean([row['accuracy'] for row in rows]):.2%}".replace("%", " %") in text
    assert f"{np.mean([row['macro_f1'] for row in rows]):.3f}" in text


def test_a_model_is_collected_only_if_it_says_what_was_judged(tiny_run, tmp_path):
    run, results = tmp_path / "run", tmp_path / "results"
    shutil.copytree(tiny_run, run)
    run_tool("collect.py", run, results, "--model")
    original, rounded = (load_model(each / packaged.MODEL) for each in (run, results))
    weights = rounded.get_weights()
    assert all(np.array_equal(each, each.astype(np.float16)) for each in weights)
    faces = np.random.default_rng(0).uniform(0, 255, (8, 48, 48, 1)).astype("float32")
    furthest = np.abs(original.predict(faces, verbose=0) - rounded.predict(faces, verbose=0)).max()
    assert 0 < furthest < 5e-3
    assert (results / packaged.MODEL).stat().st_size < (run / packaged.MODEL).stat().st_size

    with np.load(run / "public" / PREDICTIONS) as saved:
        told = dict(saved)
    told["probabilities"] = told["probabilities"][:, ::-1]
    np.savez(run / "public" / PREDICTIONS, **told)
    done = run_tool("collect.py", run, tmp_path / "again", "--model", check=False)
    assert done.returncode == 2 and "model.keras: expected the run's probabilities" in done.stderr
    assert not list((tmp_path / "again").glob("*.keras"))


@pytest.mark.skipif(not WEIGHTS.exists(), reason=f"no {WEIGHTS}")
def test_v2s_grown_from_b0_begins_as_b0(small_real, tmp_path):
    """From the first shared maps on exactly, whatever the new channels hold; before, as fitted."""
    target = tmp_path / "grown.weights.h5"
    printed = run_tool("grow_v2s.py", WEIGHTS, target, "--data", small_real).stdout
    assert "explained of B0's features:" in printed
    import keras

    layer, end = "block2a_expand_bn", "top_activation"
    small, large = (
        backbones.build(name, str(path), keras.Input((64, 64, 3)))
        for name, path in (("EfficientNetV2B0", WEIGHTS), ("EfficientNetV2S", target))
    )
    maps = np.random.default_rng(0).normal(size=(2, 16, 16, 96)).astype("float32")
    features = [
        keras.Model(model.get_layer(layer).output, model.get_layer(end).output).predict(
            maps[..., :width], verbose=0
        )
        for model, width in ((small, 64), (large, 96))
    ]
    assert features[0].std() > 0.05
    np.testing.assert_allclose(features[1], features[0], atol=1e-3)
    # New channels and blocks carry signals, so that training reaches them.
    added = keras.Model(large.input, large.get_layer("block6o_bn").output).predict(
        np.full((1, 64, 64, 3), 99.0, "float32"), verbose=0
    )
    assert added.std() > 0


def test_an_ensemble_says_the_mean_of_what_its_members_say(tmp_path):
    path = tmp_path / "ensemble.keras"
    run_tool("ensemble.py", path, "nano", "small")
    faces = np.random.default_rng(0).integers(0, 256, (9, 48, 48), np.uint8)
    models = [insideout_tf.load("nano"), insideout_tf.load("small"), load_model(path)]
    said = [predict_probabilities(model, faces) for model in models]
    np.testing.assert_allclose(said[2], (said[0] + said[1]) / 2, atol=1e-5)
    assert np.abs(said[0] - said[1]).max() > 0.01
    done = run_tool("ensemble.py", tmp_path / "one.keras", "nano", check=False)
    assert done.returncode == 2 and "at least two members" in done.stderr
    assert {file.name for file in tmp_path.iterdir()} == {"ensemble.keras"}


def test_a_blend_is_a_run_between_two(tiny_run, tmp_path):
    trained = load_model(tiny_run / "model.keras")
    start = load_model(tiny_run / "model.keras")
    start.set_weights([0.5 * array for array in trained.get_weights()])
    save_model(start, tmp_path / "start.keras")
    words = ("--share", "0.4", "--set", "standardize=outliers")
    out = tmp_path / "between"
    printed = run_tool("blend.py", tmp_path / "start.keras", tiny_run, out, *words).stdout
    found = load_model(out / "model.keras")
    for mine, its in zip(found.get_weights(), trained.get_weights()):
        np.testing.assert_allclose(mine, 0.7 * its, rtol=1e-5, atol=1e-7)
    assert found.get_layer("standardize_usual_mean")
    told = json.loads((out / "metrics.json").read_text())
    experiment = runs.experiment_of(out)
    assert (experiment.name, experiment.standardize) == ("between", "outliers")
    assert told["experiment"] == "between" and told["split"] == "PublicTest" and told["n"] == 70
    assert f"accuracy {told['accuracy']:.4f}" in printed
    blended = json.loads((out / "environment.json").read_text())["blended"]
    assert blended["share"] == 0.4 and len(blended["run_sha256"]) == 64
    assert (out / "plots/learning_curves.png").exists() and (out / "history.csv").exists()
    for wrong, message in (
        (("nano", tiny_run, tmp_path / "x"), "expected a model that"),
        (("nano", tmp_path / "start.keras", tmp_path / "x"), "expected a run directory"),
        (("nano", tiny_run, out), "expected a new folder"),
    ):
        done = run_tool("blend.py", *wrong, "--share", "0.4", check=False)
        assert done.returncode == 2 and message in done.stderr and not (tmp_path / "x").exists()


def test_a_blend_with_a_network_without_the_last_block_begins_as_it():
    """At no share the larger network answers as the smaller one, whatever its block has learnt."""
    mix = runpy.run_path(str(ROOT / "experiments/tools/blend.py"))["mix"]
    first = overrides.load("compact_nano")
    larger = dataclasses.replace(first, backbone="CompactFERNanoFine")
    start, trained, model = map(build_network, (first, larger, larger))
    trained.get_layer("fine_conv2_bn").gamma.assign(np.ones(16))
    for each in (start, trained):  # fresh weights alone find every face alike
        kernel = each.get_layer("logits").kernel
        kernel.assign(100 * np.asarray(kernel))
    faces = np.random.default_rng(0).integers(0, 256, (9, 48, 48), np.uint8)
    for share, same in ((0.0, start), (1.0, trained)):
        assert mix(model, start, trained, share)
        found, expected = (predict_probabilities(m, faces) for m in (model, same))
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(predict_probabilities(start, faces) - found).max() > 0.01


def test_tables_tell_every_result(tmp_path):
    printed = run_tool("tables.py", "--figure", tmp_path / "ablation.png").stdout
    with PIL.Image.open(tmp_path / "ablation.png") as figure:
        assert np.asarray(figure.convert("L")).std() > 10
    for folder in RESULTS:
        name = folder.parent.name
        assert f"`{name}`" in printed or f"| {name.removeprefix('ablation_')} | " in printed


@pytest.mark.parametrize(
    "names",  # as README gives the command
    [
        "insideout_v2s_grown,v2b0_votes,compact_small_fine",
        "v2b0_taught,compact_small_whole_blend",
    ],
)
def test_an_ensemble_of_results_is_the_mean_of_their_answers(names):
    readme = (ROOT / "experiments/README.md").read_text("utf-8")
    assert f"--ensemble {names}" in readme
    printed = run_tool("tables.py", "--ensemble", names).stdout.splitlines()
    (line,) = [line for line in printed if line.startswith("| together |")]
    assert line in readme
    saved = [
        np.load(ROOT / f"experiments/results/{n}/seed0/predictions.npz") for n in names.split(",")
    ]
    said = sum(each["probabilities"].astype("float64") for each in saved).argmax(1)
    assert f"{(said == saved[0]['labels']).mean():.2%}".replace("%", " %") in line
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
    ],
)
def test_a_recipe_is_compared_with_another_over_the_same_faces(better, worse):
    readme = (ROOT / "experiments/README.md").read_text("utf-8")
    assert f"tables.py --against {worse}" in readme
    printed = run_tool("tables.py", "--against", worse).stdout.splitlines()
    (line,) = [each for each in printed[-12:] if each.startswith(f"| `{better}` |")]
    accuracy, macro_f1 = line.strip("| ").split(" | ")[1:]
    assert accuracy in readme and macro_f1 in readme
    scores = [
        json.loads((ROOT / f"experiments/results/{n}/seed0/metrics.json").read_text())["accuracy"]
        for n in (better, worse)
    ]
    assert accuracy.startswith(f"{100 * (scores[0] - scores[1]):+.1f} [")


def test_comparing_with_an_unknown_recipe_is_refused():
    done = run_tool("tables.py", "--against", "nothing", check=False)
    assert done.returncode == 2 and "--against: expected one of baseline_cnn" in done.stderr
    assert not done.stdout


def test_rows_of_an_exploration_are_kept_and_never_see_the_test_split(small_drawn, tmp_path):
    with np.load(small_drawn) as saved:
        arrays = dict(saved)
    arrays["pixels"][40:60] = arrays["pixels"][60:80]  # twins, some of them on either side
    np.savez(tmp_path / "twins.npz", **arrays)
    words = [
        recipes.path_of("best_single"),
        "--data",
        tmp_path / "twins.npz",
        "--name",
        "proxy",
    ]
    words += ["--kept", tmp_path / "kept", "--runs", tmp_path / "runs", "--rows", "base,seed_1"]
    for setting in (
        "backbone=tiny",
        "batch_size=70",
        "training_fraction=0.5",
        "soft_label_weight=0",
        "stages.train.epochs=2",
        "stages.settle.epochs=1",
    ):
        words += ["--set", setting]
    printed = run_tool("explore.py", *words).stdout
    kept = tmp_path / "kept/proxy"
    names = {path.name for path in kept.iterdir()}
    assert names == {f"{row}.{ending}" for row in ("base", "seed_1") for ending in ("json", "npz")}
    row = json.loads((kept / "base.json").read_text())
    assert row["selected_on"] == "PublicTest" and row["epochs"] == 3 and row["n"] == 70
    assert config.from_dict(row["config"]).backbone == "tiny"
    assert str(tmp_path) not in (kept / "base.json").read_text()
    assert not list((tmp_path / "runs").rglob("private*"))

    trained = tmp_path / "runs/proxy/base"
    experiment = runs.experiment_of(trained)
    faces = read_faces(tmp_path / "twins.npz")
    training = splits.of_experiment(faces, experiment).training
    seen = {faces.pixels[each].tobytes() for each in training}
    right = {}
    for name in ("base", "seed_1"):
        with np.load(kept / f"{name}.npz") as saved:
            right[name] = dict(zip(saved["rows"], saved["predicted"] == saved["labels"]))
            assert np.array_equal(saved["labels"], faces.labels[saved["rows"]])
    unseen = [
        each
        for each in np.flatnonzero(faces.usage == 0)
        if each not in training and faces.pixels[each].tobytes() not in seen
    ]
    assert list(right["base"]) == unseen and len(unseen) < 140
    judged = row["judged"]
    assert judged["n"] == len(unseen) == 140 - judged["twins_of_training_left_out"]
    assert judged["on"] == "the rest of Training"
    model = load_model(trained / "model.keras")
    said = model.predict(faces.pixels[unseen][..., None].astype("float32"), verbose=0).argmax(1)
    assert judged["accuracy"] == pytest.approx((said == faces.labels[unseen]).mean())
    both = set(right["base"]) & set(right["seed_1"])
    gain = 100 * np.mean([int(right["seed_1"][each]) - int(right["base"][each]) for each in both])
    assert f"| nothing | {judged['accuracy']:.2%} |".replace("%", " %") in printed
    (line,) = [line for line in printed.splitlines() if line.startswith("| `seed=1` |")]
    assert f"| {gain:+.1f} [" in line

    again = run_tool("explore.py", *words, "--table").stdout
    assert again.splitlines() == printed.splitlines()[-len(again.splitlines()) :]
    done = run_tool("explore.py", *words, "--rows", "nothing", check=False)
    assert done.returncode == 2 and "expected some of base" in done.stderr


def test_an_exploration_takes_imagenet_weights_from_a_file(small_drawn, tmp_path):
    words = [recipes.path_of("best_single"), "--data", small_drawn, "--runs", tmp_path]
    words += ["--kept", tmp_path, "--set", "soft_label_weight=0", "--rows", "imagenet_v2b0_adamw"]
    missing = tmp_path / "missing.weights.h5"
    done = run_tool("explore.py", *words, "--v2b0", missing, check=False)
    assert done.returncode == 2 and f"'{missing}', no such file" in done.stderr
    assert not list(tmp_path.rglob("*.json"))


def run_tool(name, *arguments, check=True):
    done = subprocess.run(
        [sys.executable, ROOT / "experiments/tools" / name, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 or not check, done.stderr
    return done
