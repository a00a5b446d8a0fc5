"""Recipes load, round-trip and have the name of their file; the tools do what they promise."""

import dataclasses
import json
import shutil
import sys

import experiment_tools
import numpy as np
import pytest
from conftest import ROOT, WEIGHTS
from experiment_tools import run_tool

import insideout_tf
from insideout_tf import config, overrides, recipes, runs
from insideout_tf.data import splits
from insideout_tf.data.read import read_faces
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


@pytest.fixture
def tool():
    """A function that imports a module of experiments/tools by name."""
    with experiment_tools.importing() as import_module:
        yield import_module


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


def test_the_plan_and_the_exploration_name_recipes_and_fields_that_exist(tool):
    for run in tool("run_plan").PLAN:
        recipe = overrides.load(run.recipe or run.name)
        overrides.override(recipe, [f"name={run.name}", f"seed={run.seed}", *run.settings])
    for settings in tool("explore").ROWS.values():
        unmixed = tool("explore").ROWS["no_mixing"] if "consistency_weight=1" in settings else ()
        overrides.override(overrides.load("best_single"), [*unmixed, *settings])


@pytest.mark.slow
def test_a_model_is_collected_only_if_it_agrees_with_the_evaluated_one(tiny_run, tmp_path):
    run, results = tmp_path / "run", tmp_path / "results"
    shutil.copytree(tiny_run, run)
    run_tool("collect.py", run, results, "--model")
    original, rounded = (load_model(each / packaged.MODEL) for each in (run, results))
    weights = rounded.get_weights()
    assert all(np.array_equal(each, each.astype(np.float16)) for each in weights)
    faces = np.random.default_rng(0).uniform(0, 255, (8, 48, 48, 1)).astype("float32")
    difference = np.abs(original.predict(faces, verbose=0) - rounded.predict(faces, verbose=0))
    assert 0 < difference.max() < 5e-3
    assert not list(results.glob("*.png"))
    assert (results / packaged.MODEL).stat().st_size < (run / packaged.MODEL).stat().st_size

    with np.load(run / "public" / PREDICTIONS) as saved:
        arrays = dict(saved)
    arrays["probabilities"] = arrays["probabilities"][:, ::-1]
    np.savez(run / "public" / PREDICTIONS, **arrays)
    done = run_tool("collect.py", run, tmp_path / "again", "--model", check=False)
    assert done.returncode == 2 and "model.keras: expected the run's probabilities" in done.stderr
    assert not list((tmp_path / "again").glob("*.keras"))


@pytest.mark.slow
@pytest.mark.skipif(not WEIGHTS.exists(), reason=f"no {WEIGHTS}")
def test_v2s_grown_from_b0_begins_as_b0(small_real, tmp_path):
    """From the first shared maps on exactly, whatever the new channels hold; before, as fitted."""
    target = tmp_path / "grown.weights.h5"
    printed = run_tool("grow_v2s.py", WEIGHTS, target, "--data", small_real).stdout
    assert "explained variance of B0's features:" in printed
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


LITE2 = WEIGHTS.parent / "efficientnet-lite2_imagenet_fp16.npz"


@pytest.mark.skipif(not LITE2.exists(), reason=f"no {LITE2}")
def test_b2_grown_from_lite2_has_its_features(small_real, tmp_path):
    """On faces the fit did not use, the pooled features resemble those of Lite2; a plain copy correlates by 0.04."""
    target = tmp_path / "b2.weights.h5"
    options = ("--faces", "60", "--size", "64", "--no-probe")
    printed = run_tool("grow_b2.py", LITE2, target, "--data", small_real, *options).stdout
    shares = [float(line.split(": ")[1][:4]) for line in printed.splitlines() if ": " in line]
    assert len(shares) == 22 and min(shares) > 0.6  # 21 blocks of Lite2 and the top
    import keras

    sys.path.insert(0, str(ROOT / "experiments/tools"))
    import grow_b2

    large = backbones.build("EfficientNetB2", str(target), keras.Input((64, 64, 3)))
    lite = grow_b2.build_lite2(grow_b2.read_lite2(LITE2))
    faces = insideout_tf.read_faces(small_real)
    images = grow_b2.resize(faces.pixels[faces.usage == 1][:60], 64)
    one, two = (model.predict(images, verbose=0).mean((1, 2)) for model in (lite, large))
    assert np.corrcoef(one.ravel(), two[:, :1280].ravel())[0, 1] > 0.5
    # The blocks that Lite2 lacks are identities whose BatchNorm can train.
    assert not np.asarray(large.get_layer("block7b_project_bn").gamma).any()
    bad = tmp_path / "bad.npz"
    np.savez(bad, **{"stem_conv/kernel": np.zeros((3, 3, 3, 32))})
    for source, message in ((bad, "expected the weights of EfficientNet-Lite2"),):
        done = run_tool(
            "grow_b2.py", source, tmp_path / "x.weights.h5", "--data", small_real, check=False
        )
        assert done.returncode == 2 and message in done.stderr
        assert not (tmp_path / "x.weights.h5").exists()


@pytest.mark.slow
def test_an_ensemble_returns_the_mean_of_its_members_probabilities(tmp_path):
    path = tmp_path / "ensemble.keras"
    run_tool("ensemble.py", path, "nano", "small")
    faces = np.random.default_rng(0).integers(0, 256, (9, 48, 48), np.uint8)
    models = [insideout_tf.load("nano"), insideout_tf.load("small"), load_model(path)]
    nano, small, ensemble = (predict_probabilities(model, faces) for model in models)
    np.testing.assert_allclose(ensemble, (nano + small) / 2, atol=1e-5)
    assert np.abs(nano - small).max() > 0.01
    done = run_tool("ensemble.py", tmp_path / "one.keras", "nano", check=False)
    assert done.returncode == 2 and "at least two members" in done.stderr
    assert {file.name for file in tmp_path.iterdir()} == {"ensemble.keras"}


@pytest.mark.slow
def test_a_blend_has_weights_between_two_runs(tiny_run, tmp_path):
    trained = load_model(tiny_run / "model.keras")
    start = load_model(tiny_run / "model.keras")
    start.set_weights([0.5 * array for array in trained.get_weights()])
    save_model(start, tmp_path / "start.keras")
    words = ("--share", "0.4", "--set", "standardize=outliers")
    out = tmp_path / "between"
    printed = run_tool("blend.py", tmp_path / "start.keras", tiny_run, out, *words).stdout
    blend = load_model(out / "model.keras")
    for mine, its in zip(blend.get_weights(), trained.get_weights()):
        np.testing.assert_allclose(mine, 0.7 * its, rtol=1e-5, atol=1e-7)
    assert blend.get_layer("standardize_usual_mean")
    summary = json.loads((out / "metrics.json").read_text())
    experiment = runs.experiment_of(out)
    assert (experiment.name, experiment.standardize) == ("between", "outliers")
    assert summary["experiment"] == "between"
    assert summary["split"] == "PublicTest" and summary["n"] == 70
    assert f"accuracy {summary['accuracy']:.4f}" in printed
    blended = json.loads((out / "environment.json").read_text())["blended"]
    assert blended["share"] == 0.4 and len(blended["run_sha256"]) == 64
    assert (out / "plots/learning_curves.png").exists() and (out / "history.csv").exists()
    for wrong, message in (
        (("nano", tiny_run, tmp_path / "x"), "expected the model that"),
        (("nano", tmp_path / "start.keras", tmp_path / "x"), "expected a run folder"),
        (("nano", tiny_run, out), "expected a new folder"),
    ):
        done = run_tool("blend.py", *wrong, "--share", "0.4", check=False)
        assert done.returncode == 2 and message in done.stderr and not (tmp_path / "x").exists()


def test_a_blend_with_a_smaller_network_begins_as_that_network(tool):
    """At share 0 the larger network predicts as the smaller one, whatever its new block learnt."""
    blend_weights = tool("blend").blend_weights
    first = overrides.load("compact_nano")
    larger = dataclasses.replace(first, backbone="CompactFERNanoFine")
    start, trained, model = map(build_network, (first, larger, larger))
    trained.get_layer("fine_conv2_bn").gamma.assign(np.ones(16))
    for each in (start, trained):  # fresh weights alone find every face alike
        kernel = each.get_layer("logits").kernel
        kernel.assign(100 * np.asarray(kernel))
    faces = np.random.default_rng(0).integers(0, 256, (9, 48, 48), np.uint8)
    for share, same in ((0.0, start), (1.0, trained)):
        assert blend_weights(model, start, trained, share)
        found, expected = (predict_probabilities(m, faces) for m in (model, same))
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(predict_probabilities(start, faces) - found).max() > 0.01


@pytest.mark.slow
def test_rows_of_an_exploration_are_written_and_never_use_the_test_split(small_drawn, tmp_path):
    with np.load(small_drawn) as saved:
        arrays = dict(saved)
    arrays["pixels"][40:60] = arrays["pixels"][60:80]  # twins, some of them on either side
    np.savez(tmp_path / "twins.npz", **arrays)
    words = [
        "best_single",
        "--data",
        tmp_path / "twins.npz",
        "--name",
        "proxy",
    ]
    words += ["--explored", tmp_path / "explored", "--runs", tmp_path / "runs"]
    words += ["--rows", "base,seed_1"]
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
    explored = tmp_path / "explored/proxy"
    names = {path.name for path in explored.iterdir()}
    assert names == {f"{row}.{ending}" for row in ("base", "seed_1") for ending in ("json", "npz")}
    row = json.loads((explored / "base.json").read_text())
    assert row["selected_on"] == "PublicTest" and row["epochs"] == 3 and row["n"] == 70
    assert config.from_dict(row["config"]).backbone == "tiny"
    assert str(tmp_path) not in (explored / "base.json").read_text()
    assert not list((tmp_path / "runs").rglob("private*"))

    trained = tmp_path / "runs/proxy/base"
    experiment = runs.experiment_of(trained)
    faces = read_faces(tmp_path / "twins.npz")
    training = splits.of_experiment(faces, experiment).training
    seen = {faces.pixels[each].tobytes() for each in training}
    right = {}
    for name in ("base", "seed_1"):
        with np.load(explored / f"{name}.npz") as saved:
            right[name] = dict(zip(saved["rows"], saved["predicted"] == saved["labels"]))
            assert np.array_equal(saved["labels"], faces.labels[saved["rows"]])
    unseen = [
        each
        for each in np.flatnonzero(faces.usage == 0)
        if each not in training and faces.pixels[each].tobytes() not in seen
    ]
    assert list(right["base"]) == unseen and len(unseen) < 140
    evaluation = row["evaluation"]
    assert evaluation["n"] == len(unseen) == 140 - evaluation["duplicates_excluded"]
    assert evaluation["on"] == "the rest of Training"
    model = load_model(trained / "model.keras")
    pixels = faces.pixels[unseen][..., None].astype("float32")
    predicted = model.predict(pixels, verbose=0).argmax(1)
    assert evaluation["accuracy"] == pytest.approx((predicted == faces.labels[unseen]).mean())
    both = set(right["base"]) & set(right["seed_1"])
    gain = 100 * np.mean([int(right["seed_1"][each]) - int(right["base"][each]) for each in both])
    assert f"| nothing | {evaluation['accuracy']:.2%} |".replace("%", " %") in printed
    (line,) = [line for line in printed.splitlines() if line.startswith("| `seed=1` |")]
    assert f"| {gain:+.1f} [" in line

    again = run_tool("explore.py", *words, "--table").stdout
    assert again.splitlines() == printed.splitlines()[-len(again.splitlines()) :]
    done = run_tool("explore.py", *words, "--rows", "nothing", check=False)
    assert done.returncode == 2 and "expected some of base" in done.stderr


@pytest.mark.slow
def test_an_exploration_takes_imagenet_weights_from_a_file(small_drawn, tmp_path):
    words = ["best_single", "--data", small_drawn, "--runs", tmp_path]
    words += [
        "--explored",
        tmp_path,
        "--set",
        "soft_label_weight=0",
        "--rows",
        "imagenet_v2b0_adamw",
    ]
    missing = tmp_path / "missing.weights.h5"
    done = run_tool("explore.py", *words, "--v2b0", missing, check=False)
    assert done.returncode == 2 and f"'{missing}', no such file" in done.stderr
    assert not list(tmp_path.rglob("*.json"))
