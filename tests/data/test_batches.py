"""Batches are the same for the same seed, see every face once, and carry weights and soft labels."""

import dataclasses

import numpy as np
import pytest

from insideout_tf import config
from insideout_tf.config import Augmentation, Stage
from insideout_tf.data import batches, keras_cv
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


def collected(**changes):
    return [
        {name: np.asarray(value) for name, value in batch.items()}
        for batch in batches.epoch_batches(
            arrays(), EXPERIMENT, **{"stage": 0, "epoch": 0, **changes}
        )
    ]


def test_uint8_batches_that_see_each_face_once():
    found = collected()
    assert len(found) == 7
    for batch in found:
        assert batch["image"].dtype == np.uint8 and batch["image"].shape == (10, 48, 48)
        assert batch["label"].dtype == np.float32 and batch["label"].shape == (10, 7)
        assert batch["weight"].dtype == np.float32 and batch["weight"].shape == (10,)
        faces = batch["image"][:, 0, 0]
        assert np.array_equal(batch["label"].argmax(1), faces % 7)
        assert np.allclose(batch["label"].max(1), 0.86 + 0.02) and np.allclose(
            batch["label"].sum(1), 1
        )
    seen = np.concatenate([batch["image"][:, 0, 0] for batch in found])
    assert sorted(seen) == list(range(70))


def test_no_thread_that_tunes_is_waited_for_when_an_epoch_ends():
    for data in (
        batches.epoch_batches(arrays(), EXPERIMENT, 0, 0),
        batches.in_order(np.zeros((20, 48, 48, 1), np.float32), 10),
    ):
        assert data.options().autotune.enabled is False


def test_same_seed_same_batches_another_epoch_another_order():
    first, again = collected(epoch=3), collected(epoch=3)
    assert all(np.array_equal(a["image"], b["image"]) for a, b in zip(first, again))
    for change in ({"epoch": 4}, {"epoch": 3, "stage": 1}):
        assert not all(
            np.array_equal(a["image"], b["image"]) for a, b in zip(first, collected(**change))
        )


def test_resident_batches_name_the_same_faces():
    host, device = collected(epoch=2), collected(epoch=2, resident=True)
    for a, b in zip(host, device):
        assert list(b) == ["index"] and b["index"].dtype == np.int32
        assert np.array_equal(a["image"][:, 0, 0], b["index"])


def test_backends_agree_on_the_batches(monkeypatch):
    import keras

    expected = collected(epoch=5)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    data = batches.epoch_batches(arrays(), EXPERIMENT, 0, 5)
    assert isinstance(data, keras.utils.PyDataset) and len(data) == 7
    for a, b in zip(expected, [data[i] for i in range(7)]):
        assert all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("rule", ["none", "balanced", "clipped(0.5,2)"])
def test_class_weights(rule):
    labels = np.repeat(np.arange(7), [3995, 436, 4097, 7215, 4830, 3171, 4965])
    weights = batches.class_weights(labels, rule)
    assert weights.dtype == np.float32 and weights[labels].mean() == pytest.approx(1, rel=1e-5)
    if rule == "none":
        assert (weights == 1).all()
    else:
        assert weights.argmax() == 1 and weights.argmin() == 3
    if rule == "balanced":
        from sklearn.utils.class_weight import compute_class_weight

        expected = compute_class_weight("balanced", classes=np.arange(7), y=labels)
        assert np.allclose(weights, expected, rtol=1e-5)
    if rule.startswith("clipped"):
        assert weights.max() / weights.min() <= 4.0001


def test_batch_larger_than_the_data():
    with pytest.raises(UserError, match="at most the 5 training faces"):
        batches.epoch_batches(arrays(5), EXPERIMENT, 0, 0)


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


def test_every_named_keras_cv_layer_runs_in_tf_data():
    pytest.importorskip("keras_cv")
    random = np.random.default_rng(0)
    data = {**arrays(10), "image": random.integers(0, 256, (10, 48, 48), np.uint8)}
    for name in keras_cv.KERAS_CV_LAYERS:
        augmentation = Augmentation(keras_cv=(name,))
        experiment = dataclasses.replace(EXPERIMENT, augmentation=augmentation)
        image = next(iter(batches.epoch_batches(data, experiment, 0, 0)))["image"].numpy()
        assert image.dtype == np.uint8 and image.shape == (10, 48, 48) and image.std() > 5, name


def test_faces_without_labels_come_after_the_others():
    experiment = dataclasses.replace(EXPERIMENT, class_weight="none")
    labels = (np.arange(70) % 7).astype(np.uint8)
    pixels = np.arange(70, dtype=np.uint8)[:, None, None] * np.ones((1, 48, 48), np.uint8)
    faces = Faces(pixels, labels, np.zeros(70, np.uint8), "fake")
    rows, others = np.arange(0, 70, 5), np.arange(1, 70, 5)
    found = batches.training_arrays(faces, rows, experiment, others)
    assert np.array_equal(found["image"][:, 0, 0], [*rows, *others])
    assert np.array_equal(found["label"].argmax(1)[:14], labels[rows])
    assert np.allclose(found["label"][14:], 1 / 7) and found["label"].dtype == np.float32
    assert np.allclose(found["weight"], [2] * 14 + [0] * 14)
    # Few labels come again until they are a third of what an epoch sees.
    rows, others = np.arange(7), np.arange(7, 63)
    found = batches.training_arrays(faces, rows, experiment, others)
    assert np.array_equal(found["image"][:, 0, 0], [*np.repeat(rows, 4), *others])
    assert np.array_equal(found["label"].argmax(1)[:28], np.repeat(labels[rows], 4))
    assert np.allclose(found["weight"], [3] * 28 + [0] * 56)
