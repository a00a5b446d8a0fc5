"""The delivered model keeps its contract; freezing, precision and the step's parts do as they say."""

import dataclasses

import keras
import numpy as np
import pytest
from conftest import WEIGHTS, run_python

from insideout_tf.config import Augmentation, Experiment, Stage
from insideout_tf.data import batches
from insideout_tf.errors import UserError
from insideout_tf.network import backbones
from insideout_tf.network.build import build_network, freeze_layers
from insideout_tf.network.predict import predict_probabilities
from insideout_tf.network.standardize import (
    MEAN_RANGE,
    MIN_DEVIATION,
    TRAINING_DEVIATION,
    TRAINING_MEAN,
)
from insideout_tf.training import augment, averaging, fused, optimizers
from insideout_tf.training.model import TrainingModel

STAGE = Stage("a", epochs=1, learning_rate=1e-2)
TINY = Experiment(
    name="x", stages=(STAGE,), backbone="tiny", weights="none", image_size=40, batch_size=8
)
FACES = np.random.default_rng(0).integers(0, 256, (20, 48, 48), np.uint8)


def test_contract_of_the_delivered_model(tmp_path):
    keras.utils.set_random_seed(0)
    model = build_network(TINY)
    assert model.input_shape == (None, 48, 48, 1) and model.output_shape == (None, 7)
    assert model.inputs[0].dtype == "float32" and model.outputs[0].dtype == "float32"
    assert all(type(layer).__module__.startswith("keras.") for layer in model.layers)
    assert not any(isinstance(layer, (keras.Model, keras.layers.Lambda)) for layer in model.layers)
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}
    probabilities = predict_probabilities(model, FACES)
    # Plainly called it judges as well, and learns nothing: Keras' Resizing alone would train.
    before = model.get_weights()
    called = np.asarray(model(FACES[..., None].astype(np.float32)))
    assert np.abs(called - probabilities).max() < 1e-6
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))
    assert probabilities.shape == (20, 7) and np.allclose(probabilities.sum(1), 1, atol=1e-5)
    path = tmp_path / "model.keras"
    model.save(path)
    np.save(tmp_path / "faces.npy", FACES)
    code = """
import sys, numpy as np
sys.path = [p for p in sys.path if p not in ("", sys.argv[3])]
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "insideout_tf":
            raise ImportError("blocked")
sys.meta_path.insert(0, Blocked())
import keras
model = keras.models.load_model(sys.argv[1], safe_mode=True)
faces = np.load(sys.argv[2])
print(repr(model.predict(faces[..., None].astype("float32"), verbose=0).tolist()))
uint8 = model.predict(faces[..., None], verbose=0)
assert np.abs(uint8 - model.predict(faces[..., None].astype("float32"), verbose=0)).max() < 1e-6
try:
    import insideout_tf
except ImportError:
    print("blocked")
"""
    from conftest import ROOT

    out = run_python(code, path, tmp_path / "faces.npy", ROOT, cwd=tmp_path).stdout.splitlines()
    assert out[-1] == "blocked"
    assert np.allclose(eval(out[-2]), probabilities, atol=1e-6)


@pytest.fixture(scope="module")
def by_standard():
    """Returns {which: function of faces `[n, 48, 48, 1]` to answers}, one network behind all of them."""
    keras.utils.set_random_seed(0)
    models = {
        which: build_network(dataclasses.replace(TINY, image_size=48, standardize=which))
        for which in ("none", "all", "outliers")
    }
    kernel = models["none"].get_layer("logits").kernel
    kernel.assign(300 * np.asarray(kernel))  # fresh weights alone find every face alike
    for model in models.values():
        model.set_weights(models["none"].get_weights())  # none has a weight more

    def judge(model):
        return lambda faces: np.asarray(model(faces.astype(np.float32), training=False))

    return {which: judge(model) for which, model in models.items()}


LEVELS = FACES[..., None].astype(np.float32)
DARK, PALE = 0.1 * LEVELS, 0.1 * (LEVELS - 128) + 160


@pytest.mark.parametrize("which", ["all", "outliers"])
def test_standardized_faces_are_judged_alike_in_any_light(which, by_standard):
    plain, standardized = by_standard["none"], by_standard[which]
    reference = standardized(0.12 * LEVELS)
    for worse in (
        DARK,
        0.1 * (LEVELS - 128) + 60,
    ):  # "outliers" keeps the levels between its borders
        changed = np.abs(standardized(worse) - reference).max()
        assert changed < 0.1 * np.abs(plain(worse) - plain(LEVELS)).max() and changed < 0.01
    # Without contrast a face is one grey level, not noise.
    level = {"all": 129.5, "outliers": 75.0}[which]
    assert np.allclose(standardized(0 * LEVELS), plain(0 * LEVELS + level), atol=1e-4)


def test_standards_by_hand(by_standard):
    def by_hand(faces, deviation=None, mean=None):
        own = faces.mean((1, 2, 3), keepdims=True)
        unit = (faces - own) / np.sqrt(faces.var((1, 2, 3), keepdims=True) + 1)
        return unit * deviation + (own if mean is None else mean)

    plain, every, outliers = (by_standard[which] for which in ("none", "all", "outliers"))
    assert np.abs(every(LEVELS) - plain(by_hand(LEVELS, 54.0, 129.5))).max() < 1e-3
    # Those of usual light and contrast stay as they are.
    assert (LEVELS.std((1, 2, 3)) > 40).all()
    assert np.abs(outliers(LEVELS) - plain(LEVELS)).max() < 1e-3
    assert np.abs(outliers(PALE) - plain(by_hand(PALE, 40.0))).max() < 1e-3
    assert np.abs(outliers(DARK) - plain(by_hand(DARK, 40.0, 75.0))).max() < 1e-3
    bright = 255 - DARK
    assert np.abs(outliers(bright) - plain(by_hand(bright, 40.0, 185.0))).max() < 1e-3


@pytest.mark.parametrize("which", ["all", "outliers"])
@pytest.mark.parametrize("batch_size", [31, 40])
def test_graphs_standardize_as_layer_by_layer(which, batch_size):
    """Also in batches of as many faces as a side has pixels, where TensorFlow confuses the two."""
    model = build_network(dataclasses.replace(TINY, standardize=which))
    levels = keras.Model(model.input, model.get_layer("replicate").output)
    faces = np.concatenate([0.1 * LEVELS, LEVELS, 255 - 0.1 * LEVELS, LEVELS])
    found = levels.predict(faces.astype(np.float32), batch_size=batch_size, verbose=0)
    assert np.abs(found - np.asarray(levels(faces.astype(np.float32), training=False))).max() < 1e-3


@pytest.mark.fer2013
def test_standards_are_those_of_training(real):
    pixels = real.pixels[real.usage == 0].astype(np.float32)
    means, deviations = pixels.mean((1, 2)), pixels.std((1, 2))
    assert means.mean() == pytest.approx(TRAINING_MEAN, abs=0.05)
    assert deviations.mean() == pytest.approx(TRAINING_DEVIATION, abs=0.05)
    low, high = MEAN_RANGE
    assert ((means > low) & (means < high)).mean() == pytest.approx(9 / 10, abs=0.01)
    usual = (deviations >= MIN_DEVIATION).mean()
    assert usual == pytest.approx(5 / 6, abs=0.02)


@pytest.mark.parametrize("name", backbones.BACKBONES)
def test_backbone_facts_and_unfreeze_points(name):
    experiment = dataclasses.replace(TINY, backbone=name, image_size=48)
    model = build_network(experiment)
    head = (backbones_output(model) + 1) * 7
    assert model.count_params() - head == backbones.BACKBONES[name].parameters
    blocks = backbones.BACKBONES[name].blocks
    before = -1
    for block in (None, *reversed(blocks), "all"):
        freeze_layers(model, dataclasses.replace(STAGE, unfreeze_from=block), name)
        trainable = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
        assert trainable > before or block in (blocks[0], "all"), (block, trainable)
        before = trainable
    with pytest.raises(UserError, match="unfreeze_from expects None, 'all' or a block"):
        freeze_layers(model, dataclasses.replace(STAGE, unfreeze_from="block9"), name)


def test_stochastic_depth_rises_to_the_last_block():
    def rates(name, wanted):
        experiment = dataclasses.replace(TINY, backbone=name, stochastic_depth=wanted)
        model = fused.build_training_network(experiment, 48, "float32")
        dropped = [layer for layer in model.layers if layer.name.endswith("_drop")]
        return [layer.rate for layer in dropped], [w.shape for w in model.get_weights()]

    plain, shapes = rates("CompactFERSmallWhole", None)
    found, same_shapes = rates("CompactFERSmallWhole", 0.28)
    assert plain == [] and sorted(same_shapes) == sorted(shapes)
    assert found == pytest.approx([0.28 * block / 8 for block in range(1, 9)])
    own, _ = rates("EfficientNetV2B0", None)
    less, _ = rates("EfficientNetV2B0", 0.05)
    assert 0.15 < max(own) < 0.2 and less == pytest.approx([rate / 4 for rate in own])
    with pytest.raises(UserError, match="'tiny', which has no residual branches"):
        rates("tiny", 0.1)


def backbones_output(model):
    return model.get_layer("pooling").output.shape[-1]


def test_frozen_batch_norm_keeps_its_statistics():
    for mode in ("frozen", "train"):
        model = fused.clone_for_training(build_network(TINY), "float32")
        freeze_layers(model, dataclasses.replace(STAGE, batch_norm=mode), "tiny")
        norm = model.get_layer("block1_bn")
        before = np.asarray(norm.moving_mean).copy()
        model(FACES[..., None].astype("float32"), training=True)
        assert np.array_equal(before, np.asarray(norm.moving_mean)) == (mode == "frozen")


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


def test_padded_prediction_equals_face_by_face():
    model = build_network(TINY)
    whole = predict_probabilities(model, FACES, batch_size=16)
    single = np.concatenate([predict_probabilities(model, FACES[i : i + 1]) for i in range(20)])
    assert whole.shape == (20, 7) and np.abs(whole - single).max() < 1e-5


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


def test_weights_errors(tmp_path):
    for weights, expected in (
        (str(tmp_path / "none.h5"), "no such file"),
        ("imagenet", "no ImageNet weights for 'tiny'"),
    ):
        with pytest.raises(UserError, match=expected):
            build_network(dataclasses.replace(TINY, weights=weights))
    (tmp_path / "bad.weights.h5").write_bytes(b"no")
    (tmp_path / "bad.txt").write_bytes(b"no")
    with pytest.raises(UserError, match="belongs to this backbone"):
        build_network(dataclasses.replace(TINY, weights=str(tmp_path / "bad.weights.h5")))
    with pytest.raises(UserError, match="named .weights.h5 or .h5"):
        build_network(dataclasses.replace(TINY, weights=str(tmp_path / "bad.txt")))
    with pytest.raises(UserError, match="backbone: expected one of EfficientNetV2S"):
        build_network(dataclasses.replace(TINY, backbone="resnet"))


def test_imagenet_weights_offline_give_advice(monkeypatch):
    def fail(*_, **__):
        raise Exception("URL fetch failure on https://...: None -- [Errno -2] no network")

    monkeypatch.setattr(keras.applications, "EfficientNetB0", fail)
    with pytest.raises(UserError, match="Connect to the internet once, or give a file"):
        build_network(dataclasses.replace(TINY, backbone="EfficientNetB0", weights="imagenet"))


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
