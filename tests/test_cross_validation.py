"""A cross-validation predicts each face by a model that did not train on it, also after a stop."""

import json

import numpy as np
import pytest
from conftest import run_verb

import insideout_tf
from insideout_tf import train
from insideout_tf.api import cross_validate as api
from insideout_tf.errors import UserError

FIELDS = ("--set", "stages.finetune.epochs=1", "--verbose", "0")


@pytest.mark.slow
def test_folds_are_trained_evaluated_and_resumed(
    tiny_experiment, small_drawn, tmp_path, capsys, monkeypatch
):
    base = (tiny_experiment, "--data", small_drawn, *FIELDS, "--folds", "2", "--run-dir")
    place = tmp_path / "folds"
    evaluate = api.evaluate

    def stop_in_the_second(run, *arguments, **options):
        if run.name == "fold02":
            raise KeyboardInterrupt
        return evaluate(run, *arguments, **options)

    monkeypatch.setattr(api, "evaluate", stop_in_the_second)
    status, _, err = run_verb(train.main, capsys, *base, place)
    assert status != 0 and "--resume goes on" in err and not (place / api.SUMMARY).exists()
    monkeypatch.setattr(api, "evaluate", evaluate)
    first = (place / "fold01" / "model.keras").stat().st_mtime_ns
    status, _, err = run_verb(train.main, capsys, *base, place)
    assert status == 2 and "--resume" in err
    status, out, err = run_verb(train.main, capsys, *base, place, "--resume")
    assert status == 0 and "2 folds, 280 faces; kept together: identical faces" in out, err
    assert (place / "fold01" / "model.keras").stat().st_mtime_ns == first
    summary = json.loads((place / api.SUMMARY).read_text())
    assert summary["n"] == 280 and [fold["n"] for fold in summary["per_fold"]] == [140, 140]
    assert summary["kept_together"] == "identical faces"

    faces = insideout_tf.read_faces(small_drawn)
    seen = np.zeros(280, int)
    for number in (1, 2):
        with np.load(place / f"fold{number:02d}" / "test" / "predictions.npz") as file:
            rows, labels, told = file["rows"], file["labels"], file["probabilities"]
        seen[rows] += 1
        assert np.array_equal(labels, faces.labels[:280][rows])
        own = insideout_tf.open_run(place / f"fold{number:02d}").predict(faces.pixels[:280][rows])
        np.testing.assert_allclose(own, told, atol=2e-3)
    assert (seen == 1).all()


@pytest.mark.parametrize(
    "words,expected",
    [
        (("--folds", "1"), "folds: expected"),
        (("--folds", "50"), "expected at least 50 different faces"),
        (("--folds", "2", "--dry-run"), "--folds: expected the recipe"),
        (("--set", "fold=1"), "fold: expected both fold"),
    ],
)
def test_refusals(words, expected, tiny_experiment, small_drawn, tmp_path, capsys):
    status, _, err = run_verb(
        train.main,
        capsys,
        tiny_experiment,
        "--data",
        small_drawn,
        *words,
        "--run-dir",
        tmp_path / "r",
    )
    assert status == 2 and expected in err and len(err.strip().splitlines()) == 1
    assert not (tmp_path / "r").exists()


def test_another_file_of_that_name_stays(tiny_experiment, small_drawn, tmp_path):
    (tmp_path / api.SUMMARY).write_text("mine")
    with pytest.raises(UserError, match="a file of another kind"):
        insideout_tf.cross_validate(
            tiny_experiment, small_drawn, 2, run_dir=tmp_path, overwrite=True, verbose=0
        )
    assert (tmp_path / api.SUMMARY).read_text() == "mine"
