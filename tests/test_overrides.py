"""Short options and Python keywords: what they change, and what they refuse."""

import pytest

from insideout_tf import overrides
from insideout_tf.config import Experiment, Stage
from insideout_tf.errors import UserError

EXPERIMENT = Experiment(
    name="two",
    image_size=96,
    stages=(
        Stage("warmup", epochs=3, learning_rate=1e-3, image_size=64),
        Stage("finetune", epochs=7, learning_rate=1e-4, schedule="cosine", warmup_epochs=2.0),
    ),
)


def test_one_value_concerns_the_last_stage_and_a_list_each():
    changed = overrides.apply_options(EXPERIMENT, epochs="5", learning_rate=2e-4)
    assert [stage.epochs for stage in changed.stages] == [3, 5]
    assert [stage.learning_rate for stage in changed.stages] == [1e-3, 2e-4]
    changed = overrides.apply_options(EXPERIMENT, epochs="2,10", learning_rate=(0.1, 0.2))
    assert [stage.epochs for stage in changed.stages] == [2, 10]
    assert [stage.learning_rate for stage in changed.stages] == [0.1, 0.2]


def test_warmup_is_cut_to_the_epochs():
    changed = overrides.apply_options(EXPERIMENT, epochs=1)
    assert changed.stages[1].warmup_epochs == 1.0


def test_image_size_removes_larger_sizes_of_stages():
    assert overrides.apply_options(EXPERIMENT, image_size=48).stages[0].image_size is None
    assert overrides.apply_options(EXPERIMENT, image_size="80").stages[0].image_size == 64


def test_other_options_and_nothing():
    changed = overrides.apply_options(
        EXPERIMENT, batch_size="32", weights="none", precision="float32", seed=4
    )
    assert (changed.batch_size, changed.weights, changed.precision, changed.seed) == (
        *(32, "none", "float32", 4),
    )
    assert overrides.apply_options(EXPERIMENT, epochs=None, seed=None) == EXPERIMENT


def test_keywords_are_fields_or_short_options():
    changed = overrides.from_keywords(EXPERIMENT, epochs=4, dropout=0.25, drop_leaks=True)
    assert changed.stages[1].epochs == 4 and changed.dropout == 0.25 and changed.drop_leaks


@pytest.mark.parametrize(
    "options,expected",
    [
        ({"epochs": "many"}, "--epochs: expected a whole number. Received: 'many'"),
        ({"epochs": 2.5}, "--epochs: expected a whole number. Received: 2.5"),
        ({"epochs": True}, "--epochs: expected a whole number. Received: True"),
        ({"epochs": "1,2,3"}, "one for each of the 2 stages (warmup, finetune)"),
        ({"epochs": 0}, "stage 'finetune': epochs: expected at least 1"),
        ({"learning_rate": "fast"}, "--learning-rate: expected a number. Received: 'fast'"),
        ({"learning_rate": -1}, "learning_rate: expected a positive number"),
        ({"batch_size": "1e3"}, "--batch-size: expected a whole number. Received: '1e3'"),
        ({"seed": float("inf")}, "--seed: expected a whole number. Received: inf"),
        ({"image_size": 8}, "image_size: expected a number from 32 to 1024"),
        ({"precision": "half"}, "precision: expected one of 'auto'"),
    ],
)
def test_wrong_values_name_the_option(options, expected):
    with pytest.raises(UserError) as refusal:
        overrides.apply_options(EXPERIMENT, **options)
    assert expected in str(refusal.value)


@pytest.mark.parametrize(
    "assignment,expected",
    [
        (
            "epochs=2",
            "Give --set stages.warmup.epochs=2 or --set stages.finetune.epochs=2, or --epochs 2.",
        ),
        ("learning_rate=2", "--set stages.finetune.learning_rate=2, or --learning-rate 2."),
        ("unfreeze_from=all", "or --set stages.finetune.unfreeze_from=all. Received"),
        ("flip=true", "belongs to its augmentation. Give --set augmentation.flip=true."),
        ("drop_out=0.1", "Did you mean 'dropout'?"),
    ],
)
def test_set_points_to_the_right_place(assignment, expected):
    with pytest.raises(UserError) as refusal:
        overrides.override(EXPERIMENT, [assignment])
    assert expected in str(refusal.value)


def test_unknown_keywords_name_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'dropout'"):
        overrides.from_keywords(EXPERIMENT, drop_out=0.1)
    with pytest.raises(UserError, match="dropout: expected"):
        overrides.from_keywords(EXPERIMENT, dropout="much")
