"""Every experiment loads, round-trips, is named after its file and plans on its backbone."""

import json

import numpy as np
import pytest
from conftest import ROOT

from insideout_tf import backbones, config, metrics

PROMISED = {
    "quickstart",
    "insideout_v2s",
    "effnet_b2",
    "v2b0_cpu",
    "baseline_cnn",
    "baseline_vgg16",
}
FILES = sorted((ROOT / "experiments").glob("*.py"))


def test_the_promised_experiments_are_there():
    assert PROMISED <= {file.stem for file in FILES}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_loads_and_round_trips(file):
    experiment = config.load(file)
    assert experiment.name == file.stem
    assert config.from_dict(json.loads(json.dumps(config.to_dict(experiment)))) == experiment
    blocks = backbones.get(experiment.backbone).blocks
    for stage in experiment.stages:
        assert stage.unfreeze_from in (None, "all", *blocks)
    assert "python -m insideout_tf.train" in file.read_text()


def test_second_paper_as_published():
    experiment = config.load(ROOT / "experiments/effnet_b2.py")
    warmup, finetune = experiment.stages
    assert (experiment.backbone, experiment.weights) == ("EfficientNetB2", "imagenet")
    assert (experiment.split, experiment.validation_fraction) == ("stratified", 0.125)
    assert (experiment.label_smoothing, experiment.dropout) == (0.06, 0.5)
    assert experiment.class_weight.startswith("clipped") and experiment.precision == "auto"
    assert (warmup.epochs, warmup.optimizer, warmup.learning_rate, warmup.unfreeze_from) == (
        3,
        "adam",
        1e-3,
        None,
    )
    assert (
        finetune.epochs,
        finetune.optimizer,
        finetune.learning_rate,
        finetune.weight_decay,
        finetune.batch_norm,
    ) == (7, "adamw", 3e-5, 1e-4, "frozen")


def test_quickstart_needs_no_file_outside_the_package():
    from insideout_tf import quickstart

    assert config.load(ROOT / "experiments/quickstart.py") == quickstart.get_config()


@pytest.mark.parametrize(
    "folder", sorted((ROOT / "experiments/results").glob("*/")), ids=lambda folder: folder.name
)
def test_committed_results_follow_from_their_predictions(folder):
    """The figures of metrics.json, and those README quotes, are those of predictions.npz."""
    summary = json.loads((folder / "metrics.json").read_text())
    with np.load(folder / "predictions.npz") as saved:
        again = metrics.summarize(saved["probabilities"], saved["labels"])
    # The bootstrap's random draws are those of a NumPy release.
    drawn = again.pop("intervals_95")
    for name, interval in summary["intervals_95"].items():
        assert interval == pytest.approx(drawn[name], abs=2e-3)
    for key, value in again.items():
        assert summary[key] == (pytest.approx(value) if isinstance(value, float) else value), key
    text = (ROOT / "experiments/README.md").read_text()
    assert f"{again['accuracy']:.2%}".replace("%", " %") in text
    assert f"{again['macro_f1']:.3f}" in text and summary["split"] == "PrivateTest"
