"""The packaged models: complete, as good as their facts say, and usable without this package."""

import hashlib
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from conftest import ROOT, run_python

import insideout_tf
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.evaluation import metrics
from insideout_tf.serving import packaged

NAMES = ("nano", "small")
LIMITS = {"nano": 100_000, "small": 1_200_000}  # parameters


@pytest.fixture(scope="module")
def public(real):
    """The pixels and the labels of PublicTest."""
    is_public = real.usage == 1
    return real.pixels[is_public], real.labels[is_public]


def test_facts_describe_the_files():
    assert packaged.names() == list(NAMES)
    total = 0
    for name in NAMES:
        facts = packaged.facts(name)
        for suffix in (".keras", ".tflite"):
            content = packaged.path_of(name, suffix).read_bytes()
            assert hashlib.sha256(content).hexdigest() == facts["sha256"][suffix]
            total += len(content)
        assert facts["parameters"] <= LIMITS[name] and facts["classes"] == list(EMOTIONS)
    assert total < 6_000_000


@pytest.mark.slow
@pytest.mark.fer2013
@pytest.mark.parametrize("name", NAMES)
def test_both_engines_have_the_accuracy_in_the_facts(name, public):
    """Parity on 512 faces; accuracy of each file on PublicTest; calibration improves it there."""
    pixels, labels = public
    facts, by_engine = packaged.facts(name), {}
    for engine, suffix in (("keras", ".keras"), ("litert", ".tflite")):
        raw = insideout_tf.predict_emotions(pixels, name, engine=engine, calibrated=False)
        figures = facts["evaluations"][f"PublicTest {suffix}"]
        assert raw.dtype == np.float32 and raw.shape == (3589, 7)
        assert (raw.argmax(1) == labels).mean() == pytest.approx(figures["accuracy"], abs=1e-3)
        by_engine[engine] = raw
    limit = {"float16": 2e-3, "dynamic": 0.05}[facts["litert_weights"]]
    assert np.abs(by_engine["keras"] - by_engine["litert"])[:512].max() < limit
    calibrated = insideout_tf.predict_emotions(pixels, name, engine="litert")
    raw = by_engine["litert"]
    assert np.array_equal(calibrated.argmax(1), raw.argmax(1))
    nll = metrics.negative_log_likelihood
    assert nll(calibrated, labels) < nll(raw, labels)
    assert metrics.expected_calibration_error(calibrated, labels) < 0.03
    averaged = insideout_tf.predict_emotions(pixels, name, engine="litert", tta="flip")
    mirrored = insideout_tf.predict_emotions(pixels[:, :, ::-1], name, engine="litert", tta="flip")
    np.testing.assert_allclose(averaged, mirrored, atol=1e-6)
    gain = (averaged.argmax(1) == labels).mean() - (raw.argmax(1) == labels).mean()
    assert gain > {"nano": -0.005, "small": 0}[name]
    assert nll(averaged, labels) < nll(calibrated, labels)  # every face changes it
    assert metrics.expected_calibration_error(averaged, labels) < 0.03


@pytest.mark.slow
@pytest.mark.fer2013
@pytest.mark.parametrize("name", NAMES)
def test_dark_and_pale_faces_keep_their_emotions(name, public):
    """A tenth of the light or of the contrast leaves 25 grey levels; accuracy falls by at most 3 %."""
    pixels, labels = public
    levels = pixels.astype(np.float32)
    mean = levels.mean((1, 2), keepdims=True)

    def accuracy(faces):
        probabilities = insideout_tf.predict_emotions(np.rint(faces).astype(np.uint8), name)
        return (probabilities.argmax(1) == labels).mean()

    original = accuracy(levels)
    for worse in (0.1 * levels, mean + 0.1 * (levels - mean)):
        assert accuracy(worse) > original - 0.03


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_plain_keras_loads_it_without_this_package(name, small_drawn, tmp_path):
    code = """
import sys
import numpy as np
class Refuse:
    def find_spec(self, name, *rest):
        if name.partition(".")[0] == "insideout_tf":
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import keras
model = keras.models.load_model(sys.argv[1])
faces = np.load(sys.argv[2])["pixels"][..., None].astype("float32")
np.save(sys.argv[3], model.predict(faces, verbose=0))
"""
    out = tmp_path / "p.npy"
    run_python(code, packaged.path_of(name, ".keras"), small_drawn, out, cwd=tmp_path)
    with np.load(small_drawn) as data:
        again = insideout_tf.predict_emotions(data["pixels"], name, "keras", calibrated=False)
    assert np.abs(np.load(out) - again).max() < 1e-6
    assert insideout_tf.load(name).count_params() == packaged.facts(name)["parameters"]


@pytest.mark.slow
def test_a_wheel_contains_the_models(tmp_path):
    """A wheel is built, and used from another folder, as after `pip install`."""
    source = tmp_path / "source"  # a copy, since setuptools leaves its build in the tree
    shutil.copytree(ROOT / "insideout_tf", source / "insideout_tf")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE", "requirements.txt"):
        shutil.copy(ROOT / name, source)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "-w", tmp_path, source],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    code = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import insideout_tf
assert sys.argv[1] in insideout_tf.__file__
assert insideout_tf.predict_emotions(np.zeros((1, 48, 48), np.uint8), "small").shape == (1, 7)
"""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    run_python(code, tmp_path / "site", cwd=tmp_path)


@pytest.mark.slow
@pytest.mark.fer2013
def test_evaluate_takes_a_packaged_model(small_real, tmp_path, monkeypatch):
    from insideout_tf import evaluate

    monkeypatch.chdir(tmp_path)
    summary, out = evaluate.evaluate("small", small_real, split="public")
    assert summary["n"] == 140 and summary["accuracy"] > 0.4
    assert out is None and not list(tmp_path.iterdir())  # nothing is written where nobody asked
    _, out = evaluate.evaluate("small", small_real, split="public", out=tmp_path / "out")
    assert out == tmp_path / "out" and (out / "metrics.json").exists()


def test_the_model_card_quotes_the_facts():
    done = run_python(
        "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__')",
        ROOT / "experiments/tools/model_card.py",
    )
    card = (packaged.FOLDER / "README.md").read_text("utf-8")
    assert done.stdout.strip() in card
