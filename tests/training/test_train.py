"""The whole life of a run: two stages, a kill, a resume, judgement, and every refusal."""

import functools
import hashlib
import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
from conftest import ROOT, interrupt_second_stage, kill_after, run_python, run_verb

from insideout_tf import config, evaluate, files, overrides, train
from insideout_tf.api import train as api_train
from insideout_tf.evaluation import metrics, plots
from insideout_tf.network.weights import load_model, save_model
from insideout_tf.serving import packaged
from insideout_tf.training import stages

call = functools.partial(run_verb, train.main)


@pytest.fixture(scope="module")
def finished(tiny_experiment, small_drawn, tmp_path_factory):
    """A finished run of the tiny experiment."""
    directory = tmp_path_factory.mktemp("runs") / "one"
    train.main(
        [
            str(tiny_experiment),
            "--data",
            str(small_drawn),
            "--run-dir",
            str(directory),
            "--verbose",
            "0",
        ]
    )
    return directory


@pytest.mark.slow
def test_run_directory_holds_the_promised_files(finished):
    expected = {
        files.MARKER,
        "config.json",
        "labels.txt",
        "environment.json",
        "history.csv",
        "model.keras",
        "metrics.json",
        "predictions.npz",
        "plots",
        "report.html",
        "tensorboard",
    }
    assert {path.name for path in finished.iterdir()} == expected
    assert {path.name for path in (finished / "plots").iterdir()} == {
        "confusion.png",
        "reliability.png",
        "mistakes.png",
        "learning_curves.png",
    }
    summary = json.loads((finished / "metrics.json").read_text())
    for key in (
        "split",
        "n",
        "accuracy",
        "macro_f1",
        "per_class",
        "confusion",
        "ece",
        "backbone",
        "parameters",
        "init",
        "tta",
        "seed",
    ):
        assert key in summary
    assert summary["split"] == "PublicTest" and summary["n"] == 70 and summary["init"] == "random"
    environment = json.loads((finished / "environment.json").read_text())
    assert {"keras", "numpy"} <= set(environment["packages"]) and environment["data_digest"]
    assert "git_commit" in environment and environment["device"]


def test_metrics_can_be_recomputed_from_the_predictions(finished):
    summary = json.loads((finished / "metrics.json").read_text())
    with np.load(finished / "predictions.npz") as saved:
        assert saved["probabilities"].dtype == np.float32
        again = metrics.summarize(saved["probabilities"], saved["labels"])
    for key, value in again.items():
        assert summary[key] == value, key


def test_history_has_all_stages_and_the_gap(finished):
    import pandas as pd

    history = pd.read_csv(finished / "history.csv")
    assert history["stage"].tolist() == ["head", "finetune", "finetune"]
    assert history["epoch"].tolist() == [1, 2, 3]
    assert np.allclose(history["gap"], history["clean_accuracy"] - history["val_accuracy"])
    assert np.isfinite(history.drop(columns="stage").to_numpy()).all()


@pytest.mark.parametrize("epochs", [1, 2, 40])
def test_learning_curves_of_few_and_of_many_epochs_fill_the_picture(finished, tmp_path, epochs):
    import pandas as pd
    from PIL import Image

    first = pd.read_csv(finished / "history.csv").iloc[0].to_dict()
    history = [{**first, "epoch": epoch} for epoch in range(1, epochs + 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.save(plots.learning_curves(history, epochs), tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        width, height = picture.size
    assert 2.2 < width / height < 2.8


@pytest.mark.slow
def test_best_epoch_is_the_one_delivered(tiny_experiment, small_drawn, tmp_path, monkeypatch):
    """The saved weights are those that scored best, not those of the last epoch."""
    import pandas as pd

    from insideout_tf.training import averaging

    weights_by_epoch = []
    compute = averaging.inference_weights

    def record(*arguments):
        weights_by_epoch.append(compute(*arguments))
        return weights_by_epoch[-1]

    monkeypatch.setattr(averaging, "inference_weights", record)
    # A rate that grows useless after the second epoch, so that the last one is not the best.
    experiment = overrides.override(
        overrides.load(tiny_experiment),
        [
            f"data={small_drawn}",
            "stages.finetune.epochs=4",
            "stages.finetune.learning_rate=0.3",
            "stages.finetune.optimizer=sgd",
            "stages.finetune.schedule=constant",
            "stages.finetune.clip_norm=null",
            "monitor=val_loss",
        ],
    )
    train.train(experiment, tmp_path / "run", verbose=0)
    history = pd.read_csv(tmp_path / "run/history.csv")
    summary = json.loads((tmp_path / "run/metrics.json").read_text())
    best = int(history["val_loss"].idxmin())
    assert summary["best_epoch"] == best + 1
    saved = load_model(tmp_path / "run/model.keras").get_weights()
    is_same = [
        all(np.array_equal(a, b) for a, b in zip(saved, weights)) for weights in weights_by_epoch
    ]
    assert is_same == [epoch == best for epoch in range(5)]
    assert summary["nll"] == pytest.approx(history["val_loss"].min(), abs=0.01)


def test_finished_run_is_kept(capsys, finished, tiny_experiment, small_drawn):
    before = (finished / "model.keras").stat().st_mtime_ns
    base = (tiny_experiment, "--data", small_drawn, "--run-dir", finished)
    status, _, error = call(capsys, *base)
    assert status == 2 and "add --overwrite" in error and "a finished run" in error
    status, out, _ = call(capsys, *base, "--resume")
    assert status == 0 and "nothing to resume" in out
    assert (finished / "model.keras").stat().st_mtime_ns == before


@pytest.mark.slow
def test_same_seed_same_weights(finished, tiny_experiment, small_drawn, tmp_path):
    train.main(
        [
            str(tiny_experiment),
            "--data",
            str(small_drawn),
            "--run-dir",
            str(tmp_path / "b"),
            "--verbose",
            "0",
        ]
    )
    one, two = (
        load_model(path / "model.keras").get_weights() for path in (finished, tmp_path / "b")
    )
    assert all(np.array_equal(a, b) for a, b in zip(one, two))


@pytest.mark.slow
def test_killed_run_resumes_to_the_same_weights(tiny_experiment, small_drawn, tmp_path):
    """kill -9 in the second stage, then --resume: bit-equal to the uninterrupted run on CPU."""
    command = [
        sys.executable,
        "-m",
        "insideout_tf.train",
        str(tiny_experiment),
        "--data",
        str(small_drawn),
        "--verbose",
        "0",
        "--set",
        "stages.finetune.epochs=6",
    ]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*command, "--run-dir", str(whole)], cwd=ROOT, check=True, timeout=300)
    process = subprocess.Popen([*command, "--run-dir", str(killed)], cwd=ROOT)
    kill_after(process, killed / "history.csv")
    assert not (killed / "metrics.json").exists()
    refused = subprocess.run(
        [*command, "--run-dir", str(killed)], cwd=ROOT, capture_output=True, text=True
    )
    assert refused.returncode == 2 and "Go on with --resume" in refused.stderr
    subprocess.run(
        [*command, "--run-dir", str(killed), "--resume"], cwd=ROOT, check=True, timeout=300
    )
    one, two = (load_model(path / "model.keras").get_weights() for path in (whole, killed))
    assert all(np.array_equal(a, b) for a, b in zip(one, two))
    first, second = (
        [line.rsplit(",", 2)[0] for line in (path / "history.csv").read_text().splitlines()]
        for path in (whole, killed)
    )
    assert first == second and len(first) == 8
    assert not (killed / "checkpoint.npz").exists()
    assert len(json.loads((killed / "environment.json").read_text())["resumed"]) == 1


def test_resume_refuses_another_experiment_or_data(
    capsys, tiny_experiment, small_drawn, tmp_path, monkeypatch
):
    from insideout_tf.training import stages

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    directory = tmp_path / "run"
    base = (tiny_experiment, "--run-dir", directory, "--verbose", "0")
    with monkeypatch.context() as patch:
        patch.setattr(stages, "run_all", interrupted)
        status, _, error = call(capsys, *base, "--data", small_drawn)
    assert status == 130 and "interrupted" in error
    status, _, error = call(capsys, *base, "--data", small_drawn, "--resume", "--set", "seed=3")
    assert status == 2 and "seed 0 → 3" in error
    with np.load(small_drawn) as arrays:
        changed = dict(arrays)
    changed["pixels"][0, 0, 0] ^= 1
    original = small_drawn.read_bytes()
    np.savez(small_drawn, **changed)
    try:
        status, _, error = call(capsys, *base, "--data", small_drawn, "--resume")
    finally:
        small_drawn.write_bytes(original)
    assert status == 2 and "--resume expects the data the run was started with" in error


def test_dry_run_prints_the_plan_and_writes_nothing(capsys, tiny_experiment, small_drawn, tmp_path):
    status, out, _ = call(
        capsys, tiny_experiment, "--data", small_drawn, "--run-dir", tmp_path / "x", "--dry-run"
    )
    assert status == 0 and not (tmp_path / "x").exists()
    assert "8 steps of 35 an epoch" in out and "stage head: 1 epochs at 32 px, 679 trainable" in out
    assert "selection 70 faces (PublicTest)" in out and "memory" in out


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments,expected",
    [
        (["none.py"], "none.py: expected a recipe"),
        (["--data", "none.csv"], "none.csv: expected a file or folder that exists"),
        (["--set", "batchsize=3"], "Did you mean 'batch_size'?"),
        (["--set", "batch_size=100000"], "batch_size: expected a number from 1 to 65536"),
        (["--set", "batch_size=5000"], "batch_size: expected at most the 3600 training faces"),
        (["--set", "backbone=ResNet"], "backbone: expected one of"),
        (
            ["--set", "stages.head.unfreeze_from=block9"],
            "unfreeze_from expects None, 'all' or a block",
        ),
        (["--resume"], "expected an interrupted run to resume"),
        (["--resume", "--overwrite"], "expected one of them"),
    ],
)
def test_refusals_are_one_line_and_leave_nothing(capsys, tmp_path, arguments, expected):
    status, _, error = call(capsys, *arguments, "--run-dir", tmp_path / "run")
    assert status == 2 and expected in error
    assert error.count("\n") == 1 and "Traceback" not in error
    assert not (tmp_path / "run").exists()


def test_experiment_file_errors_name_the_line(capsys, tmp_path):
    path = tmp_path / "mine.py"
    for text, expected in (
        ("x = 1\nraise RuntimeError('no')\n", "line 2: expected a file that runs"),
        ("def get_config(:\n", "line 1: expected a file that runs"),
        ("x = 1\n", "a function get_config()"),
        ("def get_config():\n    return 3\n", "to return an Experiment. Correct it. Received: int"),
        (
            "from insideout_tf.config import Experiment\ndef get_config():\n"
            "    return Experiment(name='x', stages=(), bach_size=3)\n",
            "bach_size",
        ),
        (
            "from insideout_tf.config import Experiment\ndef get_config():\n"
            "    return Experiment(name='x', stages=())\n",
            "at least one stage",
        ),
    ):
        path.write_text(text)
        status, _, error = call(capsys, path)
        assert status == 2 and expected in error and str(path) in error, error


@pytest.mark.slow
def test_quickstart_passes_90_percent_and_says_what_it_is(tmp_path):
    """README's first command, to the end, in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-m", "insideout_tf.train", "--run-dir", str(tmp_path / "quickstart")],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "quickstart/metrics.json").read_text())
    assert summary["split"] == summary["selected_on"] == "drawn" and summary["accuracy"] > 0.9
    assert "drawn faces, not FER2013" in done.stdout
    assert "--data PATH/TO/fer2013.csv" in done.stdout and "model.keras" in done.stdout
    assert not done.stderr.strip(), done.stderr


def test_nan_stops_the_run_naming_the_step(capsys, tiny_experiment, small_drawn, tmp_path):
    status, _, error = call(
        capsys,
        tiny_experiment,
        "--data",
        small_drawn,
        "--run-dir",
        tmp_path / "run",
        "--set",
        "stages.head.learning_rate=1e38",
        "--set",
        "stages.head.optimizer=sgd",
        "--verbose",
        "0",
    )
    assert status == 2 and "stage 'head', epoch 1, step " in error and "finite loss" in error
    assert not (tmp_path / "run" / "model.keras").exists()


@pytest.mark.slow
def test_early_stop_keeps_the_best_and_plateau_lowers_the_rate(
    capsys, tiny_experiment, small_drawn, tmp_path
):
    import pandas as pd

    directory = tmp_path / "run"
    status, out, error = call(
        capsys,
        tiny_experiment,
        "--data",
        small_drawn,
        "--run-dir",
        directory,
        "--verbose",
        "0",
        "--set",
        "stages.finetune.schedule=plateau",
        "--set",
        "stages.finetune.warmup_epochs=0",
        "--set",
        "stages.finetune.plateau_patience=1",
        "--set",
        "stages.finetune.patience=2",
        "--set",
        "stages.finetune.epochs=9",
        "--set",
        "stages.finetune.learning_rate=1e-12",
        "--set",
        "ema_decay=null",
        "--set",
        "stages.finetune.batch_norm=frozen",
    )
    assert status == 0, error
    assert "no better val_macro_f1 for 2 epochs; stopping early" in out
    history = pd.read_csv(directory / "history.csv")
    rates = history["learning_rate"][history["stage"] == "finetune"].to_numpy()
    assert len(rates) < 9 and rates[-1] < rates[0]


@pytest.mark.slow
@pytest.mark.fer2013
def test_real_faces_from_every_precision_and_optimizer(
    small_real, tiny_experiment, tmp_path, capsys
):
    for index, settings in enumerate(
        (
            (
                "precision=mixed_bfloat16",
                "stages.finetune.optimizer=sgd",
                "split=stratified",
                "feed=device",
            ),
            ("precision=mixed_float16", "class_weight=clipped(0.5,2)", "drop_leaks=true"),
        )
    ):
        directory = tmp_path / str(index)
        flags = [part for setting in settings for part in ("--set", setting)]
        status, _, error = call(
            capsys,
            tiny_experiment,
            "--data",
            small_real,
            "--run-dir",
            directory,
            "--verbose",
            "0",
            *flags,
        )
        assert status == 0, error
        model = load_model(directory / "model.keras")
        assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
        summary, out = evaluate.evaluate(directory, split="private")
        assert summary["split"] == "PrivateTest" and summary["n"] == 140
        assert out == directory / "private"


@pytest.mark.slow
def test_trains_without_tensorflow_on_jax_and_tensorflow_agrees(
    tiny_experiment, small_drawn, tmp_path
):
    """KERAS_BACKEND=jax with every import of tensorflow refused; then TensorFlow opens the model."""
    pytest.importorskip("jax")
    directory = tmp_path / "run"
    code = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "keras_cv"):
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocked())
from insideout_tf import evaluate, train
train.main(sys.argv[1:])
run = sys.argv[sys.argv.index("--run-dir") + 1]
evaluate.main([run, "--split", "private"])
evaluate.main([run, "--split", "private", "--tta", "flip"])
assert "tensorflow" not in sys.modules
"""
    flags = ["--set", "feed=device", "--set", "jit_compile=on"]  # as on a GPU
    run_python(
        code,
        *(tiny_experiment, "--data", small_drawn, "--run-dir", directory, "--verbose", "0", *flags),
        env={"KERAS_BACKEND": "jax"},
    )
    environment = json.loads((directory / "environment.json").read_text())
    assert environment["backend"] == "jax"
    with np.load(directory / "private/predictions.npz") as saved:
        by_jax = saved["probabilities"]
    evaluate.evaluate(directory, split="private", out=tmp_path / "again")
    with np.load(tmp_path / "again/predictions.npz") as saved:
        by_tensorflow = saved["probabilities"]
    assert np.abs(by_jax - by_tensorflow).max() < 1e-3


@pytest.mark.slow
def test_stages_of_different_sizes_and_a_kill_between_them(
    tiny_experiment, small_drawn, tmp_path, monkeypatch
):
    """A stage may see larger images; a run stopped between stages goes on to the same weights."""
    experiment = overrides.override(
        overrides.load(tiny_experiment),
        [
            f"data={small_drawn}",
            "stages.head.image_size=40",
            "stages.finetune.image_size=48",
            "stages.finetune.epochs=1",
            "monitor=val_loss",
        ],
    )
    train.train(experiment, tmp_path / "whole", verbose=0)
    with monkeypatch.context() as patch:
        interrupt_second_stage(patch)
        with pytest.raises(KeyboardInterrupt):
            train.train(experiment, tmp_path / "cut", verbose=0)
    train.train(experiment, tmp_path / "cut", resume=True, verbose=0)
    one, two = (load_model(tmp_path / name / "model.keras") for name in ("whole", "cut"))
    assert all(np.array_equal(a, b) for a, b in zip(one.get_weights(), two.get_weights()))
    summary = json.loads((tmp_path / "whole/metrics.json").read_text())
    assert summary["image_size"] == one.get_layer("resize").height
    assert summary["image_size"] == (40 if summary["best_epoch"] == 1 else 48)


@pytest.mark.slow
def test_bad_rows_and_leaks_are_excluded_and_reported(
    capsys, tiny_experiment, small_drawn, tmp_path
):
    """--bad-rows skip and --drop-leaks: what they leave out, and what the leaks do to the figures."""
    with np.load(small_drawn) as arrays:
        pixels, labels, usage = (arrays[name].copy() for name in ("pixels", "emotion", "usage"))
    private, public = np.flatnonzero(usage == 2), np.flatnonzero(usage == 1)
    pixels[:5] = pixels[private[:5]]  # five training faces are private ones, one a public one
    pixels[7] = pixels[public[0]]
    lines = [
        f"{label},{' '.join(map(str, face.ravel()))},{('Training', 'PublicTest', 'PrivateTest')[use]}"
        for face, label, use in zip(pixels, labels, usage)
    ]
    lines.insert(20, "9,1 2 3,Training")
    lines.insert(100, "1,1 2 3,Training")
    path, directory = tmp_path / "leaky.csv", tmp_path / "run"
    path.write_text("\n".join(["emotion,pixels,Usage", *lines]) + "\n")
    base = (tiny_experiment, "--data", path, "--run-dir", directory, "--verbose", "0")
    short = ("--set", "stages.finetune.epochs=1", "--drop-leaks")
    status, _, error = call(capsys, *base, *short)
    assert status == 2 and "line 22: expected an emotion from 0 to 6" in error
    assert not directory.exists()
    status, out, error = call(capsys, *base, *short, "--bad-rows", "skip")
    assert status == 0, error
    assert "skipped   2 bad rows" in out and "274 faces (6 leaks dropped)" in out
    said = (directory / "bad_rows.txt").read_text().splitlines()
    assert [text.split(":")[0] for text in said] == [f"{path}, line {n}" for n in (22, 102)]
    leaks = (directory / "leaks.csv").read_text().splitlines()
    assert leaks[0] == "row,emotion,same_as_row,same_as_usage,same_as_emotion" and len(leaks) == 7
    assert leaks[1].split(",")[2:4] == [str(private[0]), "PrivateTest"]
    assert leaks[-1].split(",")[2:4] == [str(public[0]), "PublicTest"]
    status, out, error = run_verb(evaluate.main, capsys, directory, "--split", "private")
    assert status == 0, error
    summary = json.loads((directory / "private/metrics.json").read_text())
    assert summary["leaks"]["n"] == 0 and summary["bad_rows_skipped"] == 2
    assert "Leaks" not in out
    kept = (*base[:3], "--run-dir", tmp_path / "kept", "--verbose", "0", *short[:2])
    assert call(capsys, *kept, "--bad-rows", "skip")[0] == 0
    status, out, error = run_verb(evaluate.main, capsys, tmp_path / "kept", "--split", "private")
    assert status == 0, error
    summary = json.loads((tmp_path / "kept/private/metrics.json").read_text())
    with np.load(tmp_path / "kept/private/predictions.npz") as saved:
        right = saved["probabilities"].argmax(1) == saved["labels"]
    assert summary["leaks"]["n"] == 5
    assert summary["leaks"]["accuracy_on"] == pytest.approx(right[:5].mean())
    assert summary["leaks"]["accuracy_without"] == pytest.approx(right[5:].mean())
    assert "Leaks: 5 faces are identical to a training face" in out
    assert f"without them accuracy {right[5:].mean():.4f}" in out


@pytest.mark.slow
def test_training_goes_on_from_a_trained_model(tiny_experiment, small_drawn, tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    base = (tiny_experiment, "--data", small_drawn, "--verbose", "0")
    assert run_verb(train.main, capsys, *base, "--run-dir", first)[0] == 0
    further = (*base, "--run-dir", second, "--start-from", first)
    status, _, err = run_verb(train.main, capsys, *further, "--set", "hidden_units=5")
    assert status == 2 and "expected a model of the experiment's own network" in err
    assert not second.exists()
    fields = ["weights=/nowhere.weights.h5", "ema_decay=null"]
    for stage in (0, 1):
        fields += [f"stages.{stage}.learning_rate=1e-12", f"stages.{stage}.batch_norm=frozen"]
    still = [word for field in fields for word in ("--set", field)]
    status, _, err = run_verb(train.main, capsys, *further, *still)
    assert status == 0, err
    before, after = (load_model(run / "model.keras") for run in (first, second))
    for one, other in zip(before.get_weights(), after.get_weights()):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
    assert json.loads((second / "metrics.json").read_text())["init"] == "model first"
    environment = json.loads((second / "environment.json").read_text())
    content = (first / "model.keras").read_bytes()
    assert environment["start_sha256"] == hashlib.sha256(content).hexdigest()


@pytest.mark.slow
def test_a_start_that_no_epoch_improves_is_kept(tiny_experiment, small_drawn, tmp_path, capsys):
    """Training at a rate that ruins the network ends with the weights that it started from."""
    first, second = tmp_path / "first", tmp_path / "second"
    base = (tiny_experiment, "--data", small_drawn)
    assert run_verb(train.main, capsys, *base, "--verbose", "0", "--run-dir", first)[0] == 0
    fields = ["monitor=val_loss", "ema_decay=null", "interpolation=[0.5]"]
    fields += [f"stages.{stage}.optimizer=sgd" for stage in (0, 1)]
    fields += [f"stages.{stage}.learning_rate={rate}" for stage, rate in ((0, 30), (1, 30))]
    ruined = [word for field in fields for word in ("--set", field)]
    status, out, err = run_verb(
        train.main, capsys, *base, "--run-dir", second, "--start-from", first, *ruined
    )
    assert status == 0, err
    assert "start: validation accuracy" in out
    before, after = (load_model(run / "model.keras") for run in (first, second))
    assert all(map(np.array_equal, before.get_weights(), after.get_weights()))
    metrics_after = json.loads((second / "metrics.json").read_text())
    assert metrics_after["best_epoch"] == 0 and "interpolation" not in metrics_after


@pytest.mark.slow
def test_interpolated_weights_are_those_that_validation_prefers(
    tiny_experiment, small_drawn, tmp_path, capsys, monkeypatch
):
    """They lie between the start and the best epoch, also after an interruption."""
    fields = ["interpolation=[0.25,0.5,0.75]", "monitor=val_loss", "ema_decay=null"]
    fields += ["stages.head.learning_rate=1e-6", "stages.finetune.learning_rate=1e-3"]
    fields += ["stages.head.batch_norm=frozen", "stages.finetune.batch_norm=frozen"]
    words = [word for field in fields for word in ("--set", field)]
    command = (tiny_experiment, "--data", small_drawn, "--verbose", "0", *words, "--run-dir")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    kept = {}
    interpolate = stages.interpolate

    def prefer_the_half(job, model, begin, progress):
        kept.update(begin=begin, best=model.get_weights())
        losses = iter(np.array([[9.0, 8], [9, 8], [1, 1], [9, 8], [9, 8]]))
        with monkeypatch.context() as patch:
            patch.setattr(stages, "validation_losses", lambda *_: next(losses))
            interpolate(job, model, begin, progress)

    monkeypatch.setattr(stages, "interpolate", prefer_the_half)
    assert run_verb(train.main, capsys, *command, whole)[0] == 0
    assert json.loads((whole / "metrics.json").read_text())["interpolation"] == 0.5
    mixed = [(old + new) / 2 for old, new in zip(kept["begin"], kept["best"])]
    assert not all(map(np.array_equal, mixed, kept["best"]))
    after = load_model(whole / "model.keras").get_weights()
    for one, other in zip(mixed, after):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(stages, "interpolate", stop)
    assert run_verb(train.main, capsys, *command, cut)[0] != 0
    monkeypatch.setattr(stages, "interpolate", prefer_the_half)
    assert run_verb(train.main, capsys, *command, cut, "--resume")[0] == 0
    resumed = load_model(cut / "model.keras").get_weights()
    assert all(map(np.array_equal, resumed, after))


def test_the_share_of_the_start_is_the_largest_that_is_not_clearly_worse():
    few = np.array([[0.0, 1.0], [0.5, 1.0], [0.6, 1.0]])
    assert stages.choose_share([0.0, 0.5, 1.0], few) == 1.0  # two faces say little
    many = np.repeat(few, 50, axis=1)
    assert stages.choose_share([0.0, 0.5, 1.0], many) == 0.0
    assert stages.choose_share([0.0, 0.5, 1.0], many[[2, 1, 0]]) == 1.0
    assert stages.choose_share([0.0, 1.0], np.array([[0.3], [0.3]])) == 1.0


def test_a_network_that_drops_branches_starts_from_one_that_does_not():
    """Keras orders their layers differently; the weights find their places by name."""
    small, model = started("small", backbone="CompactFERSmallWhole", stochastic_depth=0.2)
    order = [layer.name for layer in small.layers if layer.weights]
    assert order != [layer.name for layer in model.layers if layer.weights]


def test_a_network_with_a_block_more_begins_as_the_one_without(tmp_path):
    from insideout_tf.network.build import build_network

    stages = (config.Stage("a", 1, 1e-3),)
    without = config.Experiment(
        "x", stages=stages, backbone="CompactFERNano", weights="none", image_size=48
    )
    path = tmp_path / "start.keras"
    fresh = build_network(without)
    kernel = fresh.get_layer("logits").kernel
    kernel.assign(100 * np.asarray(kernel))  # fresh weights alone find every face alike
    save_model(fresh, path)
    nano, model = started(str(path), backbone="CompactFERNanoFine", standardize="none")
    assert model.count_params() > nano.count_params() + 2_000


def started(name, **fields):
    """Returns a saved model and one for training that starts from it, and so says the same."""
    from insideout_tf.network.predict import predict_probabilities
    from insideout_tf.training import fused

    experiment = config.Experiment(
        "x",
        stages=(config.Stage("a", 1, 1e-3),),
        weights="none",
        image_size=48,
        start_from=name,
        **{"standardize": "outliers", **fields},  # as the packaged ones
    )
    model = fused.build_training_network(experiment, 48, "float32")
    assert len(api_train.load_start(experiment, model)) == 64
    start = load_model(packaged.model_path(name)[0])
    faces = np.random.default_rng(0).integers(0, 256, (4, 48, 48), np.uint8)
    expected, found = (predict_probabilities(each, faces) for each in (start, model))
    assert np.abs(expected - found).max() < 1e-5
    return start, model


@pytest.mark.slow
def test_faces_without_labels_train_by_consistency(tiny_experiment, small_drawn, tmp_path, capsys):
    run = (tiny_experiment, "--data", small_drawn, "--run-dir", tmp_path, "--overwrite")
    fields = ("training_fraction=0.5", "consistency_weight=1", "consistency_threshold=0.3")
    fields += ("augmentation.mixup_alpha=0", "augmentation.cutmix_alpha=0")
    words = [word for field in fields for word in ("--set", field)]
    status, out, err = run_verb(train.main, capsys, *run, "--verbose", "0", *words)
    assert status == 0, err
    assert "training  140 faces and 140 without labels, 8 steps of 35 an epoch" in out
    history = np.genfromtxt(tmp_path / "history.csv", delimiter=",", names=True, dtype=None)
    assert np.isfinite(history["loss"]).all()


@pytest.mark.slow
def test_a_student_of_a_trained_run(tiny_experiment, small_drawn, tmp_path, capsys):
    teacher, student = tmp_path / "teacher", tmp_path / "student"
    base = (tiny_experiment, "--data", small_drawn, "--verbose", "0")
    assert run_verb(train.main, capsys, *base, "--run-dir", teacher)[0] == 0
    taught = (*base, "--run-dir", student, "--set", "distillation_weight=0.9")
    status, _, err = run_verb(train.main, capsys, *taught)
    assert status == 2 and "--teacher: expected a trained run" in err and not student.exists()
    status, _, err = run_verb(train.main, capsys, *taught, "--teacher", tmp_path / "none")
    assert status == 2 and "expected a run folder, a .keras file" in err
    assert not student.exists()
    assert run_verb(train.main, capsys, *taught, "--teacher", teacher)[0] == 0
    environment = json.loads((student / "environment.json").read_text())
    content = (teacher / "model.keras").read_bytes()
    assert environment["teacher_sha256"] == [hashlib.sha256(content).hexdigest()]
    assert json.loads((student / "config.json").read_text())["teacher"] == [str(teacher)]
    # As if it had been interrupted, and its teacher replaced in the meantime.
    (student / "metrics.json").unlink()
    model = load_model(teacher / "model.keras")
    model.set_weights([weight + 1 for weight in model.get_weights()])
    save_model(model, teacher / "model.keras")
    status, _, err = run_verb(train.main, capsys, *taught, "--teacher", teacher, "--resume")
    assert status == 2 and "--teacher: --resume expects the content the run was started with" in err


def test_plan_names_the_device_and_a_gpu_that_is_missing(
    capsys, tiny_experiment, small_drawn, tmp_path
):
    base = (tiny_experiment, "--data", small_drawn, "--run-dir", tmp_path / "x", "--dry-run")
    status, out, _ = call(capsys, *base)
    assert status == 0 and "  device    " in out and "expects a GPU" not in out
    _, out, _ = call(capsys, *base, "--image-size", "160", "--epochs", "3")
    assert "stage finetune: 3 epochs at 160 px" in out
    if "no GPU in use" in out:
        assert "this recipe expects a GPU: at 160 px" in out
