"""Short options, keywords and misplaced `--set` fields change the experiment or say where to go."""

import inspect

import numpy as np
import pytest

from insideout_tf import overrides
from insideout_tf.config import Augmentation, Experiment, Stage
from insideout_tf.errors import UserError

WARMUP = Stage("warmup", epochs=2, learning_rate=1e-3, image_size=64)
FINETUNE = Stage("finetune", epochs=9, learning_rate=3e-5, warmup_epochs=3.0, image_size=200)


def experiment(*stages):
    return Experiment(name="x", stages=stages or (WARMUP, FINETUNE), image_size=160)


def values(changed, field):
    return [getattr(stage, field) for stage in changed.stages]


@pytest.mark.parametrize("epochs", [4, "4", np.int64(4)])
def test_one_value_concerns_the_last_stage(epochs):
    changed = overrides.apply_options(experiment(), epochs=epochs, learning_rate="1e-2")
    assert values(changed, "epochs") == [2, 4]
    assert values(changed, "learning_rate") == [1e-3, 1e-2]
    changed = overrides.apply_options(experiment(FINETUNE), epochs=epochs)
    assert values(changed, "epochs") == [4] and values(changed, "warmup_epochs") == [3.0]


@pytest.mark.parametrize("epochs", ["5,7", "5, 7", [5, 7], (5, "7")])
def test_a_list_has_one_value_for_each_stage(epochs):
    changed = overrides.apply_options(experiment(), epochs=epochs, learning_rate=[1, 0.5])
    assert values(changed, "epochs") == [5, 7]
    assert values(changed, "learning_rate") == [1.0, 0.5]


def test_warmup_is_cut_to_the_epochs_only_where_it_exceeds_them():
    changed = overrides.apply_options(experiment(), epochs=1)
    assert values(changed, "warmup_epochs") == [0.0, 1.0]
    assert values(overrides.apply_options(experiment(), epochs=3), "warmup_epochs") == [0.0, 3.0]


def test_image_size_clears_larger_sizes_of_stages():
    changed = overrides.apply_options(experiment(), image_size="96")
    assert changed.image_size == 96 and values(changed, "image_size") == [64, None]
    assert [changed.size_of(stage) for stage in changed.stages] == [64, 96]
    changed = overrides.apply_options(experiment(), image_size=224)
    assert values(changed, "image_size") == [64, 200]


def test_options_of_the_experiment(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    changed = overrides.apply_options(
        experiment(), batch_size="32", weights="~/b0.h5", precision="float32", seed=7
    )
    assert (changed.batch_size, changed.precision, changed.seed) == (32, "float32", 7)
    assert changed.weights == "/home/someone/b0.h5"
    assert changed.stages == experiment().stages
    assert overrides.apply_options(experiment()) == experiment()
    assert list(inspect.signature(overrides.apply_options).parameters)[1:] == list(
        overrides.SHORT_OPTIONS
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"epochs": 0}, "--epochs: expected a whole number from 1, or one for each stage"),
        ({"epochs": "two"}, "--epochs: expected a whole number from 1"),
        (
            {"epochs": "1,2,3"},
            "one for each stage (warmup, finetune). Change it. Received: '1,2,3'",
        ),
        ({"epochs": [4]}, "--epochs: expected a whole number"),
        ({"epochs": []}, "--epochs: expected a whole number"),
        ({"epochs": True}, "--epochs: expected a whole number"),
        ({"epochs": float("inf")}, "--epochs: expected a whole number"),
        ({"epochs": 2.5}, "--epochs: expected a whole number"),
        ({"learning_rate": "nan"}, "--learning-rate: expected a positive number"),
        ({"learning_rate": "1e-3,0"}, "--learning-rate: expected a positive number"),
        (
            {"batch_size": 0},
            "--batch-size: expected a number from 1 to 65536. Change it. Received: 0",
        ),
        ({"batch_size": "many"}, "--batch-size: expected a value of type int"),
        ({"image_size": 8}, "--image-size: expected a number from 32 to 1024"),
        ({"image_size": "big"}, "--image-size: expected a value of type int"),
        ({"weights": 3}, "--weights: expected a value of type str"),
        ({"precision": "half"}, "--precision: expected one of 'auto', 'float32'"),
        (
            {"batch_size": "1e3"},
            "--batch-size: expected a value of type int. Change it. Received: ",
        ),
        ({"seed": float("inf")}, "--seed: expected a value of type int"),
        ({"seed": -1}, "--seed: expected a number from 0"),
    ],
)
def test_wrong_values_name_the_option(options, expected):
    with pytest.raises(UserError) as caught:
        overrides.apply_options(experiment(), **options)
    assert expected in str(caught.value) and "Received: " in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "epochs=2",
            "--set stages.warmup.epochs=2 or --set stages.finetune.epochs=2, or --epochs 2.",
        ),
        ("learning_rate=2", "--set stages.finetune.learning_rate=2, or --learning-rate 2."),
        ("epoch=2", "--set stages.warmup.epochs=2 or"),
        ("optimizer=sgd", "or --set stages.finetune.optimizer=sgd. Valid fields"),
        ("drop_out=0.1", "Did you mean 'dropout'?"),
        ("flip=true", "It belongs to the augmentation: --set augmentation.flip=true."),
        ("stages.warmup.augmentation.flip=true", "set augmentation.flip, or all of stages.warmup."),
        ("stages.warmup.epochs.x=2", "it has no field 'x'. Received: "),
    ],
)
def test_set_points_to_the_place_of_a_field(text, expected):
    with pytest.raises(UserError) as caught:
        overrides.override(experiment(), [text])
    assert expected in str(caught.value) and str(caught.value).endswith(f"Received: {text!r}")
    assert "training_fraction'?" not in str(caught.value)


def test_keywords_are_options_and_fields():
    changed = overrides.from_keywords(
        experiment(),
        epochs=10,
        batch_size=32,
        dropout=0.2,
        ema_decay=None,
        image_size=None,
        augmentation={"flip": True},
    )
    assert values(changed, "epochs") == [2, 10] and changed.batch_size == 32
    assert (changed.dropout, changed.ema_decay, changed.image_size) == (0.2, None, 160)
    assert changed.augmentation == Augmentation(flip=True)
    changed = overrides.from_keywords(experiment(), stages=(FINETUNE,), epochs="1")
    assert values(changed, "epochs") == [1] and values(changed, "name") == ["finetune"]
    assert overrides.from_keywords(experiment()) == experiment()


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [
        ({"dropuot": 0.2}, "Did you mean 'dropout'? Valid names: augmentation,"),
        ({"epoch": 3}, "Did you mean 'epochs'?"),
        ({"flip": True}, "Give augmentation=Augmentation(flip=True)"),
        ({"optimizer": "sgd"}, "It belongs to a stage ('warmup', 'finetune')"),
        ({"dropout": 2}, "dropout: expected a number from 0 to 0.99"),
        ({"epochs": 0}, "epochs: expected a whole number from 1"),
        ({"batch_size": 0}, "batch_size: expected a number from 1 to 65536"),
    ],
)
def test_wrong_keywords_are_explained(keywords, expected):
    with pytest.raises(UserError) as caught:
        overrides.from_keywords(experiment(), **keywords)
    assert expected in str(caught.value) and "Received: " in str(caught.value)
    assert not str(caught.value).startswith("--")


def test_a_recipe_with_a_misplaced_field_says_whose_it_is(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from insideout_tf.config import Experiment\n\n\n"
        "def get_config():\n    return Experiment(name='x', stages=(), epochs=3)\n"
    )
    with pytest.raises(UserError, match="line 5: unknown field 'epochs' .* field of Stage"):
        overrides.load(path)
