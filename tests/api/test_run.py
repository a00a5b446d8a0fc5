"""The Python API: real signatures, a run from training to export, and what it refuses."""

import inspect
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, run_python

import insideout_tf
from insideout_tf.errors import UserError


@pytest.fixture(scope="module")
def run(tiny_run, tmp_path_factory):
    return insideout_tf.open_run(shutil.copytree(tiny_run, tmp_path_factory.mktemp("api") / "run"))


def test_names_are_complete_lazy_and_have_signatures():
    run_python(
        """
import sys, insideout_tf
assert not {"keras", "tensorflow", "pandas", "cv2", "PIL"} & set(sys.modules)
assert set(insideout_tf.__all__) <= set(dir(insideout_tf))
"""
    )
    for name in insideout_tf.__all__:
        value = getattr(insideout_tf, name)
        if callable(value):
            assert value.__doc__, name
            kinds = {each.kind for each in inspect.signature(value).parameters.values()}
            assert inspect.Parameter.VAR_POSITIONAL not in kinds or name == "UserError", name
    options = inspect.signature(insideout_tf.predict_emotions).parameters
    assert {"model", "engine", "calibrated", "tta"} <= set(options)
    with pytest.raises(AttributeError, match="no attribute 'predict_emotion'"):
        _ = insideout_tf.predict_emotion


@pytest.mark.slow
def test_train_model_returns_a_run(tiny_experiment, small_drawn, tmp_path, capsys):
    epochs = []
    import keras

    counter = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: epochs.append(epoch))
    run = insideout_tf.train_model(
        str(tiny_experiment),
        small_drawn,
        run_dir=tmp_path / "run",
        callbacks=[counter],
        epochs=[1, 1],
        dropout=0.1,
        verbose=0,
    )
    assert capsys.readouterr().out == ""
    assert epochs == [0, 1] and list(run.history["stage"]) == ["head", "finetune"]
    assert run.experiment.dropout == 0.1 and run.metrics["split"] == "PublicTest"
    again = insideout_tf.train_model(
        run.experiment, run_dir=tmp_path / "run", resume=True, verbose=0
    )
    assert again.metrics == run.metrics and str(tmp_path) in repr(again)


def test_run_offers_model_history_metrics_and_classes(run):
    assert run.classes == insideout_tf.EMOTIONS
    assert isinstance(run.history, pd.DataFrame) and len(run.history) == 2
    assert run.metrics == json.loads((run.path / "metrics.json").read_text())
    assert run.model.input_shape == (None, 48, 48, 1)


@pytest.mark.slow
def test_run_predicts_evaluates_explains_and_exports(run, small_drawn, tmp_path):
    faces = insideout_tf.read_faces(small_drawn)
    pixels = faces.pixels[faces.usage == 2]
    probabilities = run.predict(pixels)
    direct = run.model.predict(pixels[..., None].astype("float32"), verbose=0)
    assert probabilities.dtype == np.float32 and np.allclose(probabilities, direct, atol=1e-5)
    metrics = run.evaluate("private")
    right = probabilities.argmax(1) == faces.labels[faces.usage == 2]
    assert metrics["split"] == "PrivateTest" and metrics["accuracy"] == pytest.approx(right.mean())
    (explanation,) = run.explain(pixels[0])
    assert explanation.emotion == insideout_tf.EMOTIONS[probabilities[0].argmax()]
    assert explanation.maps.shape == (2, 48, 48)
    assert np.allclose(explanation.probabilities, probabilities[0], atol=1e-5)
    record = run.export(tmp_path / "exported", formats=["onnx"])
    assert (tmp_path / "exported/model.onnx").exists() and list(record["formats"]) == ["onnx"]


@pytest.mark.slow
@pytest.mark.fer2013
def test_explain_and_predict_print_the_same_probability(real, tmp_path):
    from PIL import Image

    paths = []
    for index in range(3):
        path = tmp_path / f"{index}.png"
        Image.fromarray(real.pixels[index]).save(path)
        paths.append(str(path))
    explanations = insideout_tf.explain_images(paths, "small")
    predicted = insideout_tf.predict_emotions(paths)
    assert [each.source for each in explanations] == paths
    assert np.allclose([each.probabilities for each in explanations], predicted, atol=1e-6)
    figure = tmp_path / "figure.png"
    from insideout_tf import explain

    text = explain.explain("small", paths, figure)
    with Image.open(figure) as picture:
        assert picture.size[1] > picture.size[0]  # three rows
    for path, row in zip(paths, predicted):
        assert f"{path}: face 1: {insideout_tf.EMOTIONS[row.argmax()]} {row.max():.1%}" in text
    lines = run_python(
        "import sys; from insideout_tf import predict; predict.main(sys.argv[1:])", *paths
    ).stdout
    for row in predicted:
        assert f"{insideout_tf.EMOTIONS[row.argmax()]} {row.max():.1%}" in " ".join(lines.split())


@pytest.mark.parametrize(
    "call,expected",
    [
        (lambda: insideout_tf.open_run("nothing/here"), "expected a run folder, a .keras file"),
        (lambda: insideout_tf.open_run("small"), "expected a run folder with config.json"),
        (lambda: insideout_tf.train_model("effnet_b3"), "Did you mean 'effnet_b2'?"),
        (lambda: insideout_tf.train_model("quickstart", epoch=3), "Did you mean 'epochs'?"),
        (lambda: insideout_tf.train_model("v2b0_cpu"), "--data: expected the path of faces"),
        (lambda: insideout_tf.load("smal"), "expected a run folder, a .keras file"),
    ],
)
def test_refusals(call, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as refusal:
        call()
    assert expected in str(refusal.value)
    assert not list(tmp_path.iterdir())


def test_unfinished_runs_and_missing_histories_are_named(run, tmp_path):
    copy = shutil.copytree(run.path, tmp_path / "copy")
    (copy / "history.csv").unlink()
    with pytest.raises(UserError, match="expected the history of the run"):
        _ = insideout_tf.open_run(copy).history
    (copy / "model.keras").unlink()
    with pytest.raises(UserError, match="finish it with --resume"):
        insideout_tf.open_run(copy)


@pytest.mark.slow
def test_resume_of_a_folder_alone_needs_no_other_option(
    tiny_experiment, small_drawn, tmp_path, capsys
):
    """An interruption prints the command that resumes, and that command goes on to the same run."""
    from insideout_tf import train

    (tmp_path / "stopping.py").write_text(
        """
import keras


class Stop(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def create():
    return Stop()
"""
    )
    directory = tmp_path / "run"
    base = f"{tiny_experiment} --data {small_drawn} --run-dir {directory} --verbose 0"
    done = run_python(
        "import sys; from insideout_tf import train; train.main(sys.argv[1:])",
        *base.split(),
        *("--callback", "stopping:create"),
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 130, done.stderr
    command = f"insideout train --resume {directory}"
    assert command in done.stderr and "interrupted" in done.stderr
    train.main(command.split()[2:] + ["--verbose", "0"])
    assert "best" not in capsys.readouterr().err
    assert len(insideout_tf.open_run(directory).history) == 3
