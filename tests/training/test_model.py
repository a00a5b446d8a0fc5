"""The training step: its layers, precision, loss, averages, teachers and pseudo-labels."""

import dataclasses

import keras
import numpy as np
import pytest

from insideout_tf.config import Augmentation, Experiment, Stage
from insideout_tf.data import batches
from insideout_tf.network import backbones
from insideout_tf.network.build import build_network, freeze_layers
from insideout_tf.network.predict import predict_probabilities
from insideout_tf.training import augment, averaging, fused, optimizers
from insideout_tf.training.model import TrainingModel

STAGE = Stage("a", epochs=1, learning_rate=1e-2)
TINY = Experiment(
    name="x", stages=(STAGE,), backbone="tiny", weights="none", image_size=40, batch_size=8
)
FACES = np.random.default_rng(0).integers(0, 256, (20, 48, 48), np.uint8)


def test_frozen_batch_norm_keeps_its_statistics():
    for mode in ("frozen", "train"):
        model = fused.clone_for_training(build_network(TINY), "float32")
        freeze_layers(model, dataclasses.replace(STAGE, batch_norm=mode), "tiny")
        norm = model.get_layer("block1_bn")
        before = np.asarray(norm.moving_mean).copy()
        model(FACES[..., None].astype("float32"), training=True)
        assert np.array_equal(before, np.asarray(norm.moving_mean)) == (mode == "frozen")


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_training_precision_leaves_ends_in_float32_and_weights_aligned(precision):
    delivered = build_network(
        dataclasses.replace(TINY, backbone="EfficientNetB0", image_size=48, standardize="outliers")
    )
    model = fused.clone_for_training(delivered, precision)
    policies = {layer.name: layer.dtype_policy.name for layer in model.layers}
    for layer in model.layers:
        if type(layer).__name__ in backbones.PREPROCESSING:
            assert policies[layer.name] == "float32", layer.name
    for name in ("standardize", "standardize_squares", "logits", "probabilities"):
        assert policies[name] == "float32"
    assert policies["stem_conv"] == precision
    assert [v.path.split("/", 1)[-1] for v in model.weights] == [
        v.path.split("/", 1)[-1] for v in delivered.weights
    ]
    mine = np.asarray(model(FACES[..., None].astype("float32")))
    exact = predict_probabilities(delivered, FACES)
    assert np.abs(mine - exact).max() < 0.03


def make_step(experiment, resident=None, seed=3):
    keras.utils.set_random_seed(0)
    model = fused.clone_for_training(build_network(experiment), "float32")
    freeze_layers(model, experiment.stages[0], experiment.backbone)
    step = TrainingModel(model, experiment, experiment.stages[0], seed, resident)
    stage = dataclasses.replace(experiment.stages[0], optimizer="sgd", momentum=0.0)
    optimizer = optimizers.create(
        stage, 5, step.trainable_variables, False, ema_decay=experiment.ema_decay
    )
    step.compile(optimizer=optimizer, jit_compile=False, auto_scale_loss=False)
    return model, step


def arrays():
    random = np.random.default_rng(2)
    return {
        "image": random.integers(0, 256, (40, 48, 48), np.uint8),
        "label": np.eye(7, dtype=np.float32)[random.integers(0, 7, 40)],
        "weight": random.uniform(0.5, 2, 40).astype(np.float32),
    }


@pytest.mark.slow
def test_resident_data_trains_to_the_same_weights():
    experiment = dataclasses.replace(TINY, augmentation=Augmentation(flip=True, shift=0.1))
    results = []
    for resident in (None, arrays()):
        model, step = make_step(experiment, resident)
        step.fit(
            batches.epoch_batches(arrays(), experiment, 0, 0, resident is not None),
            verbose=0,
            shuffle=False,
        )
        results.append(model.get_weights())
    for a, b in zip(*results):
        assert np.allclose(a, b, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("resident", [False, True])
def test_whole_step_compiles_under_xla(resident):
    """Augmentation, dropout, averages, decay and clipping in one step with jit_compile=True."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow's own compiler")
    from insideout_tf.training import optimizers

    augmentation = Augmentation(
        flip=True,
        rotation_degrees=10.0,
        zoom=(0.9, 1.1),
        shift=0.1,
        brightness=0.1,
        contrast=0.1,
        erasing_probability=0.3,
        mixup_alpha=0.2,
        cutmix_alpha=1.0,
    )
    stage = dataclasses.replace(STAGE, weight_decay=1e-2, clip_norm=1.0, schedule="cosine")
    experiment = dataclasses.replace(
        TINY,
        augmentation=augmentation,
        ema_decay=0.9,
        dropout=0.5,
        hidden_units=16,
        stages=(stage,),
    )
    model, step = make_step(experiment, arrays() if resident else None)
    step.compile(
        optimizer=optimizers.create(stage, 5, step.trainable_variables, False),
        jit_compile=True,
        auto_scale_loss=False,
    )
    before = model.get_weights()
    history = step.fit(
        batches.epoch_batches(arrays(), experiment, 0, 0, resident), verbose=0, shuffle=False
    ).history
    assert np.isfinite(history["loss"][0])
    assert any(not np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


def test_loss_is_the_weighted_mean():
    model, step = make_step(dataclasses.replace(TINY, dropout=0.0))
    freeze_layers(model, dataclasses.replace(STAGE, batch_norm="frozen"), "tiny")
    data = {name: array[:8] for name, array in arrays().items()}
    loss = float(step.compute_loss(y_pred=step(data, training=True)))
    probabilities = np.asarray(model(data["image"][..., None].astype("float32")))
    each = -(data["label"] * np.log(probabilities)).sum(1)
    assert loss == pytest.approx((each * data["weight"]).mean(), rel=1e-4)


def test_moving_average_follows_its_definition():
    experiment = dataclasses.replace(TINY, ema_decay=0.9)
    model, step = make_step(experiment)
    expected = [np.asarray(v).copy() for v in step.core.trainable_variables]
    for t, batch in enumerate(batches.epoch_batches(arrays(), experiment, 0, 0)):
        step.train_on_batch(batch)
        decay = min(0.9, (1 + t) / (10 + t))
        now = [np.asarray(v).copy() for v in step.core.trainable_variables]
        expected = [decay * e + (1 - decay) * n for e, n in zip(expected, now)]
    averages = optimizers.averages(step.optimizer)
    for average, value in zip(averages, expected):
        assert np.allclose(average, value, atol=1e-6)
    assert any(
        not np.allclose(a, np.asarray(v), atol=1e-4)
        for a, v in zip(averages, step.core.trainable_variables)
    )


@pytest.mark.slow
@pytest.mark.parametrize("consistency_weight", [0.0, 1.0])
def test_delivered_statistics_are_those_of_the_averaged_weights(consistency_weight):
    """A BatchNorm's re-estimated mean equals the mean its inputs have under the averages.

    Also with consistency, whose step passes through the network twice.
    """
    experiment = dataclasses.replace(
        TINY, ema_decay=0.5, dropout=0.0, batch_size=40, consistency_weight=consistency_weight
    )
    model, step = make_step(experiment)
    for epoch in range(3):
        step.fit(batches.epoch_batches(arrays(), experiment, 0, epoch), verbose=0, shuffle=False)
    before = model.get_weights()
    weights = averaging.inference_weights(
        step, model, batches.epoch_batches(arrays(), experiment, 0, 9)
    )
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))
    delivered = build_network(experiment)
    delivered.set_weights(weights)
    inputs = keras.Model(delivered.input, delivered.get_layer("block2_conv").output)
    seen = np.asarray(inputs(arrays()["image"][..., None].astype("float32")))
    # block1's statistics come from the same batch, so its output is normalised exactly.
    norm = delivered.get_layer("block2_bn")
    assert np.allclose(np.asarray(norm.moving_mean), seen.mean((0, 1, 2)), atol=2e-2)
    assert np.allclose(np.asarray(norm.moving_variance), seen.var((0, 1, 2)), rtol=0.1, atol=1e-3)


def test_fused_batch_norm_equals_keras_own(monkeypatch):
    """Outputs, gradients and moving statistics of a training step, and the inference mode."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow's own operation")
    import tensorflow as tf

    images = np.random.default_rng(0).normal(2, 3, (8, 5, 6, 4)).astype("float32")
    results = []
    for kind in (keras.layers.BatchNormalization, fused.FusedBatchNormalization):
        layer = kind(momentum=0.9)
        layer.build(images.shape)
        layer.gamma.assign([1.0, 2.0, 0.5, -1.0])
        layer.beta.assign([0.0, 1.0, -1.0, 2.0])
        with tf.GradientTape() as tape:
            inputs = tf.constant(images)
            tape.watch(inputs)
            outputs = layer(inputs, training=True)
            loss = tf.reduce_sum(outputs**3)
        gradients = tape.gradient(loss, [inputs, layer.gamma.value, layer.beta.value])
        still = layer(images, training=False)
        layer.trainable = False
        frozen = layer(images, training=True)
        results.append([outputs, *gradients, *layer.get_weights(), still, frozen])
    for theirs, mine in zip(*results):
        assert np.allclose(theirs, mine, rtol=1e-3, atol=1e-3)


def test_teachers_label_the_view_that_the_student_sees():
    """Their mean is the named share of the label, at the student's size or another; they stay out.

    A model from elsewhere teaches as well, through its own input of 48 px.
    """
    keras.utils.set_random_seed(1)
    own = [build_network(dataclasses.replace(TINY, image_size=size)) for size in (40, 48)]
    foreign = keras.Sequential(
        [keras.Input((48, 48, 1)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
        + [keras.layers.Dense(7, activation="softmax")]
    )
    teachers = (*own, foreign)
    for teacher in teachers:  # far from even, so that a mistake shows
        teacher.set_weights([4 * weight for weight in teacher.get_weights()])
    experiment = dataclasses.replace(TINY, teacher=("a", "b"), distillation_weight=0.75)
    model = fused.build_training_network(experiment, 40, "float32")
    plain = TrainingModel(model, experiment, experiment.stages[0], 0)
    step = TrainingModel(model, experiment, experiment.stages[0], 0, None, teachers)
    assert len(step.variables) == len(plain.variables)
    batch = {name: array[:8] for name, array in arrays().items()}
    found = np.asarray(step(batch, training=True)["label"])
    seen = keras.layers.Resizing(40, 40)(batch["image"][..., None].astype("float32"))
    first = keras.Model(teachers[0].get_layer("resize").output, teachers[0].output)
    second = keras.Model(teachers[1].get_layer("resize").output, teachers[1].output)
    larger = keras.ops.image.resize(seen, (48, 48))
    said = sum(np.asarray(each) for each in (first(seen), second(larger), foreign(larger))) / 3
    assert np.abs(said - batch["label"]).max() > 0.3
    assert np.abs(found - (0.25 * batch["label"] + 0.75 * said)).max() < 1e-5
    assert np.array_equal(np.asarray(step(batch, training=False)["label"]), batch["label"])


def test_a_stage_without_augmentation_sees_the_faces_as_they_are():
    plain = dataclasses.replace(STAGE, name="plain", augmentation=Augmentation())
    experiment = dataclasses.replace(
        TINY, augmentation=Augmentation(noise=0.5, zoom=(0.5, 0.6)), stages=(STAGE, plain)
    )
    model = fused.build_training_network(experiment, 48, "float32")
    batch = {name: array[:8] for name, array in arrays().items()}
    logits = keras.Model(model.input, model.get_layer("logits").output)
    expected = np.asarray(logits(batch["image"][..., None].astype("float32"), training=False))
    for stage, same in ((STAGE, False), (plain, True)):
        step = TrainingModel(model, experiment, stage, 0)
        found = np.asarray(step(batch, training=False)["logits"])
        assert np.allclose(found, expected, atol=1e-4) == same


@pytest.mark.slow
def test_pseudo_labels_where_the_model_is_sure():
    """Faces of weight 0 teach by consistency alone: the loss is that of FixMatch's equation 4."""
    batch = {name: array[:16] for name, array in arrays().items()}
    batch["weight"] = np.zeros(16, np.float32)

    def step_of(weight, threshold):
        keras.utils.set_random_seed(4)
        experiment = dataclasses.replace(
            TINY, dropout=0.0, consistency_weight=weight, consistency_threshold=threshold
        )
        model = fused.build_training_network(experiment, 48, "float32")
        logits = model.get_layer("logits")
        logits.set_weights([10 * array for array in logits.get_weights()])  # so that some are sure
        return TrainingModel(model, experiment, STAGE, 0)

    def of(outputs):
        return float(step_of(2.0, 0.5).compute_loss(y_pred=outputs))

    assert (
        float(step_of(0.0, 0.0).compute_loss(y_pred=step_of(0.0, 0.0)(batch, training=True))) == 0
    )
    assert "pseudo_label" not in step_of(2.0, 0.5)(batch, training=False)
    outputs = step_of(2.0, 0.5)(batch, training=True)
    pseudo = np.asarray(outputs["pseudo_label"])
    sure = pseudo.sum(axis=1)
    assert set(np.unique(pseudo)) == {0, 1} and set(sure) == {0, 1}
    log = np.asarray(keras.ops.log_softmax(outputs["logits"]))
    assert of(outputs) == pytest.approx(2.0 * -(pseudo * log).sum() / 16, rel=1e-4)
    import tensorflow as tf

    logits = tf.Variable(outputs["logits"])
    with tf.GradientTape() as tape:
        loss = step_of(2.0, 0.5).compute_loss(y_pred={**outputs, "logits": logits})
    pull = 2.0 / 16 * sure[:, None] * (np.exp(log) - pseudo)  # none where there is no pseudo-label
    assert np.abs(tape.gradient(loss, logits).numpy() - pull).max() < 1e-6
    assert not np.asarray(step_of(2.0, 1.0)(batch, training=True)["pseudo_label"]).any()
    # Without a change of the view they are what the model itself says, in training.
    step = step_of(2.0, 0.0)
    plain = np.asarray(step.core(batch["image"][..., None].astype("float32"), training=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(augment, "WEAK", Augmentation())
        pseudo = np.asarray(step(batch, training=True)["pseudo_label"])
    assert np.array_equal(pseudo.argmax(1), plain.argmax(1)) and (pseudo.sum(1) == 1).all()
    # The accuracy of training counts faces with labels alone.
    outputs["label"] = np.eye(7, dtype=np.float32)[np.asarray(outputs["logits"]).argmax(1)]
    outputs["label"][4:] = 1 / 7
    outputs["weight"] = np.array([1] * 4 + [0] * 12, np.float32)
    assert float(step.compute_metrics(None, None, outputs)["accuracy"]) == 1
