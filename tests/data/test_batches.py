"""One seed gives one order of batches; an epoch has every face once, with soft label and weight."""

import dataclasses

import numpy as np
import pytest

from insideout_tf import config
from insideout_tf.config import Augmentation, Stage
from insideout_tf.data import batches, drawn, keras_cv
from insideout_tf.data.faces import Faces
from insideout_tf.errors import UserError

EXPERIMENT = config.Experiment(
    name="x",
    stages=(Stage("a", epochs=1, learning_rate=1.0),),
    batch_size=10,
    label_smoothing=0.14,
    class_weight="balanced",
)


def arrays(count=70, experiment=EXPERIMENT):
    pixels = np.arange(count, dtype=np.uint8)[:, None, None] * np.ones((1, 48, 48), np.uint8)
    labels = (np.arange(count) % 7).astype(np.uint8)
    faces = Faces(pixels, labels, np.zeros(count, np.uint8), "fake")
    return batches.training_arrays(faces, np.arange(count), experiment)


def list_batches(**changes):
    """Returns the batches of one epoch as dicts of NumPy arrays."""
    return [
        {name: np.asarray(value) for name, value in batch.items()}
        for batch in batches.epoch_batches(
            arrays(), EXPERIMENT, **{"stage": 0, "epoch": 0, **changes}
        )
    ]


def test_an_epoch_has_every_face_once_with_its_label_and_weight():
    result = list_batches()
    assert len(result) == 7
    for batch in result:
        assert batch["image"].dtype == np.uint8 and batch["image"].shape == (10, 48, 48)
        assert batch["label"].dtype == np.float32 and batch["label"].shape == (10, 7)
        assert batch["weight"].dtype == np.float32 and batch["weight"].shape == (10,)
        faces = batch["image"][:, 0, 0]
        assert np.array_equal(batch["label"].argmax(1), faces % 7)
        assert np.allclose(batch["label"].max(1), 0.86 + 0.02)
        assert np.allclose(batch["label"].min(1), 0.02)
        assert np.allclose(batch["weight"], 1)  # the classes are balanced
    seen = np.concatenate([batch["image"][:, 0, 0] for batch in result])
    assert sorted(seen) == list(range(70))


def test_datasets_have_no_autotuner_to_wait_for():
    for data in (
        batches.epoch_batches(arrays(), EXPERIMENT, 0, 0),
        batches.in_order(np.zeros((20, 48, 48, 1), np.float32), 10),
    ):
        assert data.options().autotune.enabled is False


def test_order_follows_from_seed_stage_and_epoch():
    first, again = list_batches(epoch=3), list_batches(epoch=3)
    assert all(np.array_equal(a["image"], b["image"]) for a, b in zip(first, again))
    for change in ({"epoch": 4}, {"epoch": 3, "stage": 1}):
        other = list_batches(**change)
        same = [np.array_equal(a["image"], b["image"]) for a, b in zip(first, other)]
        assert not any(same), change
    orders = [batches.epoch_order(70, seed, 0, 3).tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_fewer_steps_are_the_first_of_the_epoch():
    whole, part = list_batches(epoch=1), list_batches(epoch=1, steps=3)
    assert len(part) == 3
    assert all(np.array_equal(a["image"], b["image"]) for a, b in zip(whole, part))


def test_batches_of_indices_have_the_same_faces():
    host, device = list_batches(epoch=2), list_batches(epoch=2, resident=True)
    for a, b in zip(host, device):
        assert list(b) == ["index"] and b["index"].dtype == np.int32
        assert np.array_equal(a["image"][:, 0, 0], b["index"])


def test_other_backends_get_the_same_batches(monkeypatch):
    import keras

    expected = list_batches(epoch=5)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    data = batches.epoch_batches(arrays(), EXPERIMENT, 0, 5)
    assert isinstance(data, keras.utils.PyDataset) and len(data) == 7
    for a, b in zip(expected, [data[i] for i in range(7)]):
        assert a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)
    with pytest.raises(IndexError):
        data[7]
    augmentation = Augmentation(keras_cv=("AugMix",))
    with pytest.raises(UserError, match="expected the TensorFlow backend.*backend 'jax'"):
        layered = dataclasses.replace(EXPERIMENT, augmentation=augmentation)
        batches.epoch_batches(arrays(), layered, 0, 5)


def test_groups_of_steps_hold_the_same_batches(monkeypatch):
    """Seven steps in groups of three: two whole groups, and one with a single step."""
    import keras

    expected = [batch["index"] for batch in list_batches(epoch=5, resident=True)]
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    data = batches.epoch_batches(arrays(), EXPERIMENT, 0, 5, resident=True, together=3)
    groups = [data[i] for i in range(len(data))]
    assert [group["count"].tolist() for group in groups] == [[3], [3], [1]]
    steps = np.concatenate([group["index"][: group["count"][0]] for group in groups])
    assert all(group["index"].shape == (3, 10) for group in groups)
    assert np.array_equal(steps, expected)


@pytest.mark.parametrize("rule", ["none", "balanced", "clipped(0.5,2)"])
def test_class_weights(rule):
    labels = np.repeat(np.arange(7), [3995, 436, 4097, 7215, 4830, 3171, 4965])
    weights = batches.class_weights(labels, rule, 7)
    assert weights.dtype == np.float32 and weights[labels].mean() == pytest.approx(1, rel=1e-5)
    from sklearn.utils.class_weight import compute_class_weight

    balanced = compute_class_weight("balanced", classes=np.arange(7), y=labels)
    expected = {
        "none": np.ones(7),
        "balanced": balanced,
        "clipped(0.5,2)": np.clip(balanced, 0.5, 2),
    }[rule]
    assert np.allclose(weights, expected / expected[labels].mean(), rtol=1e-5)


def test_batch_larger_than_the_data():
    with pytest.raises(UserError, match="at most the 5 training faces"):
        batches.epoch_batches(arrays(5), EXPERIMENT, 0, 0)


@pytest.mark.slow
def test_keras_cv_layers_by_name():
    pytest.importorskip("keras_cv")
    import tensorflow as tf

    augmentation = Augmentation(keras_cv=("RandAugment",))
    experiment = dataclasses.replace(EXPERIMENT, augmentation=augmentation)
    random = np.random.default_rng(0)
    data = {**arrays(20), "image": random.integers(0, 256, (20, 48, 48), np.uint8)}
    tf.random.set_seed(0)
    changed = next(iter(batches.epoch_batches(data, experiment, 0, 0)))
    plain = next(iter(batches.epoch_batches(data, EXPERIMENT, 0, 0)))
    assert changed["image"].dtype == tf.uint8 and changed["image"].shape == (10, 48, 48)
    assert not np.array_equal(changed["image"], plain["image"])
    assert np.array_equal(changed["label"], plain["label"])
    wrong = dataclasses.replace(experiment, augmentation=Augmentation(keras_cv=("CutMix",)))
    with pytest.raises(UserError, match="expected one of RandAugment"):
        batches.epoch_batches(data, wrong, 0, 0)


@pytest.mark.slow
def test_every_keras_cv_layer_changes_the_faces():
    pytest.importorskip("keras_cv")
    import tensorflow as tf

    faces = 60 + drawn.draw(10, 0, 0)[0] // 2  # grey levels that every layer can change
    data = {**arrays(10), "image": faces}
    order = batches.epoch_order(10, EXPERIMENT.seed, 0, 0)
    for name in keras_cv.KERAS_CV_LAYERS:
        tf.random.set_seed(0)
        augmentation = Augmentation(keras_cv=(name,))
        experiment = dataclasses.replace(EXPERIMENT, augmentation=augmentation)
        image = next(iter(batches.epoch_batches(data, experiment, 0, 0)))["image"].numpy()
        assert image.dtype == np.uint8 and image.shape == (10, 48, 48), name
        change = np.abs(image.astype(int) - faces[order]).mean()
        assert 0.1 < change < 100, (name, change)


def test_faces_without_labels_come_last_with_weight_zero():
    experiment = dataclasses.replace(EXPERIMENT, class_weight="none")
    labels = (np.arange(70) % 7).astype(np.uint8)
    pixels = np.arange(70, dtype=np.uint8)[:, None, None] * np.ones((1, 48, 48), np.uint8)
    faces = Faces(pixels, labels, np.zeros(70, np.uint8), "fake")
    rows, others = np.arange(0, 70, 5), np.arange(1, 70, 5)
    result = batches.training_arrays(faces, rows, experiment, others)
    assert np.array_equal(result["image"][:, 0, 0], [*rows, *others])
    assert np.array_equal(result["label"].argmax(1)[:14], labels[rows])
    assert np.allclose(result["label"][14:], 1 / 7) and result["label"].dtype == np.float32
    assert np.allclose(result["weight"], [2] * 14 + [0] * 14)
    # Few labelled faces repeat until they are a third of an epoch.
    rows, others = np.arange(7), np.arange(7, 63)
    result = batches.training_arrays(faces, rows, experiment, others)
    assert np.array_equal(result["image"][:, 0, 0], [*np.repeat(rows, 4), *others])
    assert np.array_equal(result["label"].argmax(1)[:28], np.repeat(labels[rows], 4))
    assert np.allclose(result["weight"], [3] * 28 + [0] * 56)
