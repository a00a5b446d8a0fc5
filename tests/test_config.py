import dataclasses
import json

import pytest

from insideout_tf import config, overrides
from insideout_tf.config import Augmentation, Experiment, Stage
from insideout_tf.errors import UserError

STAGE = Stage("only", epochs=2, learning_rate=1e-3)


def experiment(**changes):
    return Experiment(**{"name": "x", "stages": (STAGE,), **changes})


def test_round_trip_through_json():
    one = experiment(augmentation=Augmentation(zoom=(0.9, 1.2), keras_cv=("RandAugment",)))
    text = json.dumps(config.to_dict(one))
    assert config.from_dict(json.loads(text)) == one


def test_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        experiment().seed = 3


@pytest.mark.parametrize(
    "changes,expected",
    [
        ({"batch_size": "64"}, "batch_size: expected a value of type int"),
        ({"batch_size": True}, "batch_size: expected a value of type int"),
        ({"dropout": 2.0}, "dropout: expected a number from 0 to 0.99"),
        ({"split": "random"}, "split: expected one of 'official', 'stratified'"),
        ({"stages": ()}, "stages: expected at least one stage"),
        ({"stages": (STAGE, STAGE)}, "stages: expected different names"),
        ({"class_weight": "clipped(2,1)"}, "class_weight: expected clipped"),
        ({"class_weight": "heavy"}, "class_weight: expected 'none', 'balanced'"),
        ({"class_weight": "clipped(a,b)"}, "class_weight: expected"),
        ({"seed": -1}, "seed: expected"),
        ({"name": " "}, "name: expected a name for the run's folder"),
        ({"name": "../other"}, "name: expected a name for the run's folder"),
        ({"name": ".replaced"}, "name: expected a name for the run's folder"),
        ({"interpolation": (0.5, 1.0)}, "interpolation: expected shares above 0 and below 1"),
        ({"fold": 3, "folds": 2}, "fold: expected both fold and folds"),
        ({"augmentation": {"flp": True}}, "unknown field 'flp'. Did you mean 'flip'?"),
    ],
)
def test_wrong_values_are_explained(changes, expected):
    with pytest.raises(UserError) as caught:
        experiment(**changes)
    assert expected in str(caught.value) and "Received: " in str(caught.value)


@pytest.mark.parametrize(
    "changes,expected",
    [
        ({"epochs": 0}, "stage 'only': epochs: expected at least 1"),
        ({"learning_rate": float("nan")}, "learning_rate: expected a positive number"),
        ({"optimizer": "lion"}, "optimizer: expected one of 'adamw', 'adam', 'sgd'"),
        ({"optimizer": "adam", "weight_decay": 0.1}, "decoupled decay is 'adamw'"),
        ({"schedule": "plateau", "warmup_epochs": 1.0}, "stage of its own"),
        ({"warmup_epochs": 3.0}, "warmup_epochs: expected a number from 0 to 2"),
    ],
)
def test_wrong_stages_are_explained(changes, expected):
    with pytest.raises(UserError) as caught:
        dataclasses.replace(STAGE, **changes)
    assert expected in str(caught.value)


def test_override():
    changed = overrides.override(
        experiment(),
        [
            "stages.0.epochs=7",
            "stages.only.patience=3",
            "augmentation.flip=true",
            "augmentation.zoom=[0.8,1]",
            "weights=none",
            "ema_decay=0.99",
            "name=y",
        ],
    )
    assert changed.stages[0].epochs == 7 and changed.stages[0].patience == 3
    assert changed.augmentation.flip is True and changed.augmentation.zoom == (0.8, 1.0)
    assert changed.augmentation_of(changed.stages[0]) == changed.augmentation
    last = overrides.override(changed, ['stages.only.augmentation={"noise": 0.1}'])
    assert last.augmentation_of(last.stages[0]) == config.Augmentation(noise=0.1)
    assert config.from_dict(config.to_dict(last)) == last
    with pytest.raises(UserError, match="augmentation.keras_cv: expected nothing"):
        overrides.override(changed, ['stages.only.augmentation={"keras_cv": ["AugMix"]}'])
    assert changed.weights == "none" and changed.ema_decay == 0.99 and changed.name == "y"


@pytest.mark.parametrize(
    "text,expected",
    [
        ("batchsize=3", "unknown field 'batchsize'. Did you mean 'batch_size'?"),
        ("stages.0.epoch=3", "Did you mean 'epochs'?"),
        ("stages.4.epochs=3", "an index from 0 to 0 or one of ['only']"),
        ("stages.².epochs=3", "an index from 0 to 0 or one of"),
        ("batch_size=many", "expected a value of type int"),
        ("batch_size", "expected key=value"),
        ("seed.x=1", "it has no field 'x'"),
    ],
)
def test_override_errors(text, expected):
    with pytest.raises(UserError) as caught:
        overrides.override(experiment(), [text])
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    "changes,expected",
    [
        (
            ["consistency_weight=1", 'stages.0.augmentation={"mixup_alpha": 0.2}'],
            "consistency_weight: expected 0 with mixup_alpha",
        ),
    ],
)
def test_fields_that_exclude_each_other(changes, expected):
    for order in (changes, changes[::-1]):
        with pytest.raises(UserError) as caught:
            overrides.override(experiment(), order)
        assert expected in str(caught.value)
