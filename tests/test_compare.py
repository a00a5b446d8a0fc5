"""Models compared on the same faces, and embeddings."""

import json

import keras
import numpy as np
import pytest
from conftest import run_verb
from PIL import Image
from test_own_data import write_tree

import insideout_tf
from insideout_tf import compare
from insideout_tf.data import drawn
from insideout_tf.errors import UserError
from insideout_tf.evaluation import comparison, metrics

LABELS = np.random.default_rng(0).integers(0, 3, 300)


def make_probabilities(seed, right):
    """Returns `[300, 3]`, right for about the given share of faces."""
    random = np.random.default_rng(seed)
    predicted = np.where(random.random(300) < right, LABELS, (LABELS + 1) % 3)
    return np.eye(3)[predicted] * 0.8 + 0.2 / 3


def test_figures_gains_and_p_values():
    given = {
        "a": make_probabilities(1, 0.6),
        "b": make_probabilities(2, 0.8),
        "c": np.eye(3)[LABELS],
    }
    found = comparison.compare(LABELS, given, ("x", "y", "z"))
    assert "gain" not in found["a"] and found["c"]["accuracy"] == 1
    for name in ("b", "c"):
        value, low, high = found[name]["gain"]["accuracy"]
        assert value == pytest.approx(found[name]["accuracy"] - found["a"]["accuracy"])
        assert 0 < low < value < high and found[name]["p_value"] < 1e-3
    assert found["a"]["per_class"].keys() == {"x", "y", "z"}
    same = comparison.compare(LABELS, {"a": given["a"], "again": given["a"]}, ("x", "y", "z"))
    assert same["again"]["p_value"] == 1 and same["again"]["gain"]["accuracy"] == [0, 0, 0]


def test_mcnemar_by_hand():
    """8 faces gained, 2 lost: twice the tail of a fair coin, (1 + 10 + 45) / 1024 · 2."""
    before = np.array([False] * 8 + [True] * 2 + [True] * 20)
    after = np.array([True] * 8 + [False] * 2 + [True] * 20)
    assert comparison.mcnemar(before, after) == pytest.approx(2 * 56 / 1024)


def test_intervals_of_two_hundred_classes():
    labels = np.random.default_rng(0).integers(0, 200, 2000)
    probabilities = np.eye(200, dtype=np.float32)[(labels + (labels % 4 == 0)) % 200]
    found = metrics.summarize(probabilities, labels, tuple(map(str, range(200))))
    low, high = found["intervals_95"]["accuracy"]
    assert low < found["accuracy"] < high < low + 0.05 and len(found["per_class"]) == 200


@pytest.mark.slow
def test_the_verb_writes_the_table_and_the_figures(tmp_path, capsys):
    folder = write_tree(tmp_path / "faces", {"Joy": 3, "sadness": 4, "bored": 6}, side=80)
    outputs = ("--out", tmp_path / "t.md", "--json", tmp_path / "t.json")
    words = ("nano", "small", "--data", folder, "--data", "drawn", *outputs)
    status, out, error = run_verb(compare.main, capsys, *words)
    assert status == 0, error
    assert "faces: excluded, since a model lacks them: bored" in out
    own, made = json.loads((tmp_path / "t.json").read_text())
    assert own["split"] == "val" and own["n"] == 16 and own["classes"] == ["happy", "sad"]
    assert made["n"] == 600 and len(made["classes"]) == 7
    for each in (own, made):
        assert list(each["models"]) == ["nano", "small"] and "gain" in each["models"]["small"]
    table = (tmp_path / "t.md").read_text()
    assert table.count("| nano |") == 2 and "faces, val, 16 faces, 2 classes" in table
    status, _, error = run_verb(compare.main, capsys, *words)
    assert status == 2 and "--overwrite" in error
    assert run_verb(compare.main, capsys, *words, "--overwrite")[0] == 0


@pytest.mark.slow
def test_a_model_is_compared_as_it_is_evaluated(tiny_run, capsys):
    """The same faces and figures as `evaluate` has; a run beside a packaged model."""
    (found,) = insideout_tf.compare_models([str(tiny_run), "nano"], "drawn", "private")
    metrics_of_run = insideout_tf.open_run(tiny_run).evaluate(
        "private", "drawn", out=tiny_run.parent / "compared"
    )
    assert found["models"][str(tiny_run)]["accuracy"] == metrics_of_run["accuracy"]


def test_bad_comparisons_are_one_line():
    with pytest.raises(UserError, match="at least two different models.*Received: small"):
        insideout_tf.compare_models(["small", "small"], "drawn")


@pytest.mark.slow
def test_embeddings_are_the_pooled_features(tmp_path):
    faces = drawn.draw_all(14, 1, 1)[0][:14]
    found = insideout_tf.embed(faces, "small")
    assert found.shape == (14, 256) and found.dtype == np.float32
    model = insideout_tf.load("small")
    after = model.get_layer("logits")(found)
    expected = model(faces[..., None].astype(np.float32), training=False)
    assert np.abs(keras.ops.softmax(after) - expected).max() < 1e-5
    Image.fromarray(faces[0]).save(tmp_path / "a.png")
    one = insideout_tf.embed(tmp_path / "a.png")
    assert np.abs(one[0] - found[0]).max() < 1e-3
    assert insideout_tf.embed([], "nano").shape == (0, 96)
    flat = keras.Sequential(
        [keras.Input((48, 48, 1)), keras.layers.Flatten(), keras.layers.Dense(7, "softmax")]
    )
    with pytest.raises(UserError, match="global average pooling"):
        insideout_tf.embed(faces, flat)
