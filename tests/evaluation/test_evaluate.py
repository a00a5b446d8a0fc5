"""Each split's figures land in their own folder, with test-time averaging and honest notes."""

import functools
import json
import shutil

import numpy as np
import pytest
from conftest import run_verb

from insideout_tf import evaluate
from insideout_tf.api import evaluate as api_evaluate
from insideout_tf.data.read import read_faces
from insideout_tf.network.weights import load_model


@pytest.fixture(scope="module")
def run(tiny_run, tmp_path_factory):
    return shutil.copytree(tiny_run, tmp_path_factory.mktemp("evaluate") / "run")


call = functools.partial(run_verb, evaluate.main)


@pytest.mark.slow
def test_splits_are_never_mixed_up(run, capsys, small_drawn):
    before = (run / "metrics.json").read_bytes()
    faces = read_faces(small_drawn)
    for split, name, usages, overlap in (
        ("private", "PrivateTest", [2], False),
        ("public", "PublicTest", [1], True),
        ("merged", "merged", [1, 2], True),
        ("validation", "validation", [1], True),
        ("training", "Training", [0], True),
    ):
        status, out, error = call(capsys, run, "--split", split, "--json")
        assert status == 0, error
        summary = json.loads(out)
        assert json.loads((run / split / "metrics.json").read_text()) == summary
        assert summary["split"] == name and summary["selection_overlap"] is overlap
        with np.load(run / split / "predictions.npz") as saved:
            assert np.array_equal(saved["rows"], np.flatnonzero(np.isin(faces.usage, usages)))
            assert np.array_equal(saved["labels"], faces.labels[saved["rows"]])
            assert saved["probabilities"].dtype == np.float32
        assert (run / split / "plots" / "confusion.png").exists()
        assert summary["data_is_that_of_training"] is True
    assert (run / "metrics.json").read_bytes() == before
    status, _, error = call(capsys, run, "--split", "rest")
    assert status == 2 and "whose training_fraction left faces of Training out" in error
    assert not (run / "rest").exists()


@pytest.mark.slow
def test_report_warns_of_selection(run, capsys):
    _, out, _ = call(capsys, run, "--split", "public")
    assert "chose its epoch on PublicTest" in out and "precision" in out
    _, out, _ = call(capsys, run, "--split", "private")
    assert "chose its epoch" not in out


def test_flip_is_the_mean_over_two_views(run, capsys, small_drawn):
    faces = read_faces(small_drawn)
    pixels = faces.pixels[faces.usage == 2]
    model = load_model(run / "model.keras")

    def direct(images):
        return model.predict(images[..., None].astype(np.float32), verbose=0)

    flipped = (direct(pixels) + direct(pixels[:, :, ::-1])) / 2
    assert np.allclose(api_evaluate.predict_views(model, pixels, "flip"), flipped, atol=1e-5)


@pytest.mark.slow
def test_model_file_alone(run, capsys, small_drawn, tmp_path):
    path = tmp_path / "mine.keras"
    shutil.copy(run / "model.keras", path)
    status, _, error = call(capsys, path)
    assert status == 2 and "--data: expected the path of labelled faces" in error
    words = (path, "--data", small_drawn, "--json", "--out", tmp_path / "public")
    status, out, _ = call(capsys, *words)
    summary = json.loads(out)
    assert status == 0 and summary["selected_on"] is None and summary["n"] == 70
    assert (tmp_path / "public" / "metrics.json").exists()  # never the test split unasked


@pytest.mark.slow
def test_other_data_is_noted(run, capsys, tmp_path):
    status, out, _ = call(capsys, run, "--data", "drawn", "--out", tmp_path / "out")
    assert status == 0 and "Drawn faces, not FER2013" in out
    assert "not the data set the run was trained with" in out


@pytest.mark.slow
def test_refusals(run, capsys, tmp_path):
    damaged = tmp_path / "damaged.keras"
    whole = bytearray((run / "model.keras").read_bytes())
    whole[len(whole) // 2] ^= 255
    damaged.write_bytes(whole)
    (tmp_path / "text.keras").write_text("no")
    (tmp_path / "empty").mkdir()
    for arguments, expected in (
        ((tmp_path / "none",), "expected a run folder, a .keras file"),
        ((tmp_path / "empty",), "expected a finished run with model.keras"),
        ((damaged, "--data", "drawn"), "expected a whole Keras model"),
        ((tmp_path / "text.keras", "--data", "drawn"), "expected a whole Keras model"),
        ((run, "--out", run), "expected another folder than the run"),
        ((run, "--data", tmp_path / "none.csv"), "expected a file or folder that exists"),
    ):
        status, _, error = call(capsys, *arguments)
        assert status == 2 and expected in error and error.count("\n") == 1, error


@pytest.mark.slow
def test_model_of_another_shape_is_refused(capsys, tmp_path):
    import keras

    path = tmp_path / "other.keras"
    keras.Sequential(
        [keras.Input((32, 40, 3)), keras.layers.Flatten(), keras.layers.Dense(7)]
    ).save(path)
    status, _, error = call(capsys, path, "--data", "drawn")
    assert status == 2 and "from square faces [n, side, side, 1 or 3]" in error


@pytest.mark.slow
def test_lambda_layers_are_refused(capsys, tmp_path):
    import keras

    path = tmp_path / "unsafe.keras"
    keras.Sequential(
        [
            keras.Input((48, 48, 1)),
            keras.layers.Lambda(lambda x: x),
            keras.layers.Flatten(),
            keras.layers.Dense(7),
        ]
    ).save(path)
    status, _, error = call(capsys, path, "--data", "drawn")
    assert status == 2 and "expected a whole Keras model" in error
