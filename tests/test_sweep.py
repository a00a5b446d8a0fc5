"""`insideout sweep`: the space, trials on Training alone, pruning, and going on after an interruption."""

import csv
import json

import numpy as np
import pytest
from conftest import run_verb
from PIL import Image

from insideout_tf import sweep as verb
from insideout_tf.api import sweep, sweep_space
from insideout_tf.errors import UserError
from insideout_tf.evaluation import parallel, plots


def test_spaces_of_the_command_line():
    rate, drop, size, name = sweep_space.parse_space(
        ["a.0.rate=1e-4:1e-2:log", "dropout=0:0.5", "batch=16:64", "weights=none,imagenet"]
    )
    assert rate == ("a.0.rate", None, 1e-4, 1e-2, True)
    assert (drop.low, drop.high) == (0.0, 0.5) and isinstance(drop.low, float)
    assert (size.low, size.high) == (16, 64) and isinstance(size.low, int)
    assert name.values == ("none", "imagenet") and name.list_ends() == name.values
    for texts in ([], ["dropout"], ["dropout=1"], ["dropout=2:1"], ["x=0:1:log"], ["x=1:2:lin"]):
        with pytest.raises(UserError, match="--space: expected "):
            sweep_space.parse_space(texts)
    with pytest.raises(UserError, match="expected each field once"):
        sweep_space.parse_space(["dropout=0:1", "dropout=0:0.5"])


def test_the_picture_shows_every_trial(tmp_path):
    space = sweep_space.parse_space(["rate=1e-4:1e-1:log", "dropout=0:0.5", "batch=16,32,64"])
    rows = [
        {"state": state, "value": value, "rate": rate, "dropout": drop, "batch": batch}
        for state, value, rate, drop, batch in (
            ("complete", 0.4, 1e-3, 0.1, "16"),
            ("pruned", 0.1, 1e-4, 0.5, "32"),
            ("complete", 0.6, 1e-1, 0.0, "64"),
        )
    ]
    figure = parallel.draw(rows, space, "val_macro_f1")
    (axes,) = figure.axes
    lines = [line for line in axes.lines if len(line.get_ydata()) == 4]
    assert len(lines) == 3 and lines[-1].get_linewidth() == 3  # the best is thick, and on top
    assert np.allclose(lines[-1].get_ydata(), [1, 0, 1, 1])
    assert np.allclose(lines[0].get_ydata(), [0, 1, 0.5, 0])
    plots.save(figure, tmp_path / "parallel.png", "sweep")
    with Image.open(tmp_path / "parallel.png") as picture:
        assert np.asarray(picture).std() > 5
    assert parallel.draw(rows[:1], space, "val_loss", True)


def test_wrong_options_are_one_line(small_drawn, tmp_path, capsys, monkeypatch):
    pytest.importorskip("optuna")
    base = ("quickstart", "--data", small_drawn, "--out", tmp_path / "s")
    for words, message in {
        ("--space", "dropout=0.1:5"): "dropout: expected",
        ("--space", "dropuot=0.1:0.5"): "dropuot",
        ("--space", "dropout=0:0.5", "--trials", "0"): "--trials: expected at least 1",
        ("--space", "dropout=0:0.5", "--fraction", "0"): "training_fraction: expected",
    }.items():
        status, _, err = run_verb(verb.main, capsys, *base, *words)
        assert status == 2 and message in err and err.count("\n") == 1
    monkeypatch.setattr(sweep.imports, "is_installed", lambda name: name != "optuna")
    status, _, err = run_verb(verb.main, capsys, *base, "--space", "dropout=0:0.5")
    assert status == 2 and "expected the package optuna" in err
    assert not (tmp_path / "s").exists()


@pytest.mark.slow
def test_a_sweep_is_interrupted_goes_on_and_prunes(
    tiny_experiment, small_drawn, tmp_path, capsys, monkeypatch
):
    optuna = pytest.importorskip("optuna")
    folder, train = tmp_path / "sweep", sweep.train
    rates = ("0.003", "1e-9")
    words = (
        *(tiny_experiment, "--data", small_drawn, "--out", folder, "--trials", "4"),
        *("--set", "stages.head.epochs=1", "--set", "stages.finetune.epochs=2"),
        *("--space", f"stages.1.learning_rate={','.join(rates)}", "dropout=0:0.4", "--resume"),
    )
    seen, calls = [], 0

    def train_until_interrupted(experiment, run, **options):
        nonlocal calls
        calls += 1
        seen.append((run.name, options["resume"]))
        if calls == 2:

            class Interrupt(type(options["callbacks"][0]).__mro__[1]):
                def on_epoch_end(self, epoch, logs=None):
                    if epoch == 1:
                        raise KeyboardInterrupt

            options["callbacks"] += (Interrupt(),)
        return train(experiment, run, **options)

    monkeypatch.setattr(sweep, "train", train_until_interrupted)
    status, _, err = run_verb(verb.main, capsys, *words)
    assert status == 130 and "The same command with --resume goes on." in err
    monkeypatch.setattr(optuna.trial.Trial, "should_prune", lambda trial: trial.number >= 4)
    status, text, err = run_verb(verb.main, capsys, *words)
    assert status == 0, err
    assert seen[1:3] == [("trial-001", False), ("trial-001", True)]
    rows = list(csv.DictReader((folder / "trials.csv").open()))
    assert len(rows) == 4 and {row["stages.1.learning_rate"] for row in rows} <= set(rates)
    states = [row["state"] for row in rows]
    assert states == ["complete"] * states.count("complete") + ["pruned"] * states.count("pruned")
    assert states.count("pruned") >= 1
    values = [float(row["value"]) for row in rows if row["state"] == "complete"]
    assert values == sorted(values, reverse=True)
    settings = json.loads((folder / "sweep.json").read_text())
    assert settings["value"] == values[0] and settings["best"]["dropout"] == float(
        rows[0]["dropout"]
    )
    for run in folder.glob("trial-*"):
        config = json.loads((run / "config.json").read_text())
        assert config["split"] == "stratified"  # PublicTest does not choose
    assert "Next, with the best settings: insideout train " in text
    assert (folder / "parallel.png").stat().st_size > 5000
    other = [word if word != "dropout=0:0.4" else "dropout=0:0.3" for word in words]
    status, _, err = run_verb(verb.main, capsys, *other)
    assert status == 2 and "expected the space of the sweep there" in err
