"""The inference model keeps its contract, and stages train the layers that they name."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from conftest import ROOT, run_python

from insideout_tf.config import Experiment, Stage
from insideout_tf.errors import UserError
from insideout_tf.network.build import HEAD, build_network, freeze_layers
from insideout_tf.network.predict import predict_probabilities

STAGE = Stage("a", epochs=1, learning_rate=1e-2)
TINY = Experiment(
    name="x", stages=(STAGE,), backbone="tiny", weights="none", image_size=40, batch_size=8
)
FACES = np.random.default_rng(0).integers(0, 256, (20, 48, 48), np.uint8)

LOAD_ELSEWHERE = """
import json, sys, numpy as np
sys.path = [p for p in sys.path if p not in ("", sys.argv[3])]
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "insideout_tf":
            raise ImportError("blocked")
sys.meta_path.insert(0, Blocked())
import keras
model = keras.models.load_model(sys.argv[1], safe_mode=True)
faces = np.load(sys.argv[2])[..., None]
try:
    import insideout_tf
except ImportError:
    print(json.dumps([model.predict(faces.astype(kind), verbose=0).tolist() for kind in ("float32", "uint8")]))
"""


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return build_network(TINY)


def test_contract_of_the_inference_model(model):
    assert model.input_shape == (None, 48, 48, 1) and model.output_shape == (None, 7)
    assert model.inputs[0].dtype == "float32" and model.outputs[0].dtype == "float32"
    assert all(type(layer).__module__.startswith("keras.") for layer in model.layers)
    assert not any(isinstance(layer, (keras.Model, keras.layers.Lambda)) for layer in model.layers)
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    probabilities = predict_probabilities(model, FACES)
    assert probabilities.shape == (20, 7) and np.allclose(probabilities.sum(1), 1, atol=1e-5)


def test_a_plain_call_is_inference(model):
    """It changes no weight: with Keras' Resizing as it is, moving statistics would change."""
    before = model.get_weights()
    called = np.asarray(model(FACES[..., None].astype(np.float32)))
    assert np.abs(called - predict_probabilities(model, FACES)).max() < 1e-6
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


@pytest.mark.slow
def test_a_saved_model_loads_without_this_package(model, tmp_path):
    path = tmp_path / "model.keras"
    model.save(path)
    np.save(tmp_path / "faces.npy", FACES)
    out = run_python(LOAD_ELSEWHERE, path, tmp_path / "faces.npy", ROOT, cwd=tmp_path).stdout
    from_float32, from_uint8 = json.loads(out.splitlines()[-1])
    assert np.allclose(from_float32, predict_probabilities(model, FACES), atol=1e-6)
    assert np.allclose(from_uint8, from_float32, atol=1e-6)


def test_padded_prediction_equals_face_by_face(model):
    whole = predict_probabilities(model, FACES, batch_size=16)
    single = np.concatenate([predict_probabilities(model, FACES[i : i + 1]) for i in range(20)])
    assert whole.shape == (20, 7) and np.abs(whole - single).max() < 1e-5
    assert np.abs(whole - whole[0]).max() > 1e-4  # or every order of the faces would do


def test_head_has_dropout_and_a_hidden_layer_where_asked():
    model = build_network(dataclasses.replace(TINY, hidden_units=16, dropout=0.3))
    assert model.get_layer("head_hidden").kernel.shape == (96, 16)
    assert model.get_layer("logits").kernel.shape == (16, 7)
    for name in ("head_dropout", "head_hidden_dropout"):
        assert model.get_layer(name).rate == 0.3
    assert not any(layer.name.startswith("head_hidden") for layer in build_network(TINY).layers)


@pytest.mark.parametrize(
    "start,expected",
    [
        (None, ()),
        ("top", ("top",)),
        ("block3", ("block3", "block4", "top")),
        ("all", ("block1", "block2", "block3", "block4", "top")),
    ],
)
@pytest.mark.parametrize("batch_norm", ["train", "frozen"])
def test_stages_train_the_layers_that_they_name(model, start, expected, batch_norm):
    stage = dataclasses.replace(STAGE, unfreeze_from=start, batch_norm=batch_norm)
    assert freeze_layers(model, stage, "tiny") == expected
    for layer in model.layers:
        is_named = start == "all" or layer.name.split("_")[0] in expected
        is_frozen = batch_norm == "frozen" and layer.name.endswith("_bn")
        assert layer.trainable == ((is_named or layer.name in HEAD) and not is_frozen), layer.name


def test_an_unknown_block_is_refused(model):
    with pytest.raises(UserError) as refusal:
        freeze_layers(model, dataclasses.replace(STAGE, unfreeze_from="block9"), "tiny")
    assert str(refusal.value) == (
        "stage 'a': unfreeze_from expects None, 'all' or a block of tiny: block1, block2, block3, "
        "block4, top. Received: 'block9'"
    )
