"""What a run refuses, or bears, and the exact line its user reads."""

import functools

import numpy as np
import pytest
from conftest import run_verb

from insideout_tf import train

call = functools.partial(run_verb, train.main)


def npz(path, labels, usage):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (len(labels), 48, 48), np.uint8)
    np.savez(path, pixels=pixels, emotion=np.asarray(labels), usage=np.asarray(usage))
    return path


@pytest.fixture
def refused(capsys, tiny_experiment, tmp_path):
    """Returns a function: arguments → the one line on stderr, and that nothing was written."""

    def run(*arguments):
        directory = tmp_path / "run"
        status, _, error = call(
            capsys, tiny_experiment, "--run-dir", directory, "--verbose", "0", *arguments
        )
        assert status == 2 and not directory.exists()
        assert error.startswith("insideout train: ") and error.count("\n") == 1
        return error.removeprefix("insideout train: ").strip()

    return run


def test_class_without_a_training_face(refused, tmp_path):
    labels, usage = [i % 7 for i in range(140)], [0] * 140 + [1] * 14
    empty = npz(tmp_path / "a.npz", [0 if i == 1 else i for i in labels] + [1] * 14, usage)
    assert refused("--data", empty) == (
        f"{empty}: expected training faces of all 7 classes. Add some, or choose another "
        "file. Received: none of disgust"
    )
    one = npz(tmp_path / "b.npz", [3] * 154, usage)
    assert refused("--data", one) == (
        f"{one}: expected training faces of all 7 classes. Add some, or choose another "
        "file. Received: none of angry, disgust, fear, sad, surprise, neutral"
    )
    assert refused("--data", one, "--set", "split=stratified") == (
        f"{one}: validation_fraction expects at least 2 Training faces of each class. Add some, "
        "or choose another file. Received: angry: 0, disgust: 0, fear: 0, sad: 0, surprise: 0, "
        "neutral: 0"
    )


def test_class_that_cannot_be_divided(refused, tmp_path):
    labels = [i % 7 for i in range(70)]
    few = npz(tmp_path / "a.npz", labels, [0] * 70)
    settings = ("--set", "split=stratified", "--set", "validation_fraction=0.01")
    assert refused("--data", few, *settings) == (
        f"{few}: validation_fraction 0.01 expects at least one face of each class on either side. "
        "Change it with --set. Received: 1 of 70 Training faces"
    )


def test_batch_larger_than_the_data(refused, tmp_path):
    few = npz(tmp_path / "a.npz", [i % 7 for i in range(28)], [0] * 21 + [1] * 7)
    assert refused("--data", few) == (
        "batch_size: expected at most the 21 training faces. Change it with --set batch_size=5. "
        "Received: 35"
    )


@pytest.mark.slow
def test_validation_smaller_than_a_batch_is_judged_all_the_same(capsys, tiny_experiment, tmp_path):
    few = npz(tmp_path / "a.npz", [i % 7 for i in range(75)], [0] * 70 + [1] * 5)
    base = (tiny_experiment, "--data", few, "--run-dir", tmp_path / "run", "--verbose", "0")
    status, out, error = call(capsys, *base)
    assert status == 0 and "PublicTest: accuracy" in out and ", 5 faces" in out, error


def test_settings_of_a_wrong_type_and_with_a_typo(refused):
    change = "Change it in the experiment file or with --set. "
    assert refused("--set", "batch_size=big") == (
        f"batch_size: expected a value of type int. {change}Received: 'big'"
    )
    assert refused("--set", "stages.head.epochs=2.5") == (
        f"stage 'head': epochs: expected a value of type int. {change}Received: 2.5"
    )
    assert refused("--set", "augmentation.flip=1") == (
        f"augmentation.flip: expected a value of type bool. {change}Received: 1"
    )
    assert refused("--set", "augmentation.zoom=0.9") == (
        f"augmentation.zoom: expected a list such as [0.5,0.5]. {change}Received: 0.9"
    )
    assert refused("--set", "stages.head.epoch=3").startswith(
        "--set stages.head: unknown field 'epoch'. Did you mean 'epochs'? Valid fields: name, "
    )
    assert refused("--set", "epochs") == f"--set: expected key=value. {change}Received: 'epochs'"


def test_experiment_file_with_a_typo(capsys, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from insideout_tf.config import Experiment, Stage\n\n\ndef get_config():\n"
        "    return Experiment(name='mine', stages=(Stage('a', 1, 1e-3),), bach_size=3)\n"
    )
    status, _, error = call(capsys, path)
    assert status == 2 and error.startswith(
        f"insideout train: {path}: line 5: unknown field 'bach_size' of Experiment. "
        "Did you mean 'batch_size'? Valid fields: name, stages, backbone, "
    )
    assert error.count("\n") == 1


def test_loss_that_is_no_number(capsys, tiny_experiment, small_drawn, tmp_path):
    status, _, error = call(
        capsys,
        tiny_experiment,
        *("--data", small_drawn, "--run-dir", tmp_path / "run", "--verbose", "0"),
        *("--set", "stages.head.learning_rate=1e38", "--set", "stages.head.optimizer=sgd"),
    )
    assert status == 2 and error.count("\n") == 1
    assert error.startswith("insideout train: stage 'head', epoch 1, step ")
    assert error.strip().endswith(
        ": expected a finite loss. Lower the learning rate (--set stages.head.learning_rate=3e+37), "
        "set clip_norm, or use precision float32; --resume goes on from the last whole epoch only "
        "with unchanged settings. Received: nan"
    ) or error.strip().endswith("Received: inf")
    assert not (tmp_path / "run/model.keras").exists()


def test_resuming_a_run_of_another_experiment(capsys, tiny_experiment, small_drawn, tmp_path):
    from insideout_tf import overrides, runs

    experiment = overrides.override(overrides.load(tiny_experiment), [f"data={small_drawn}"])
    runs.create(tmp_path / "run", experiment, False, {})
    base = (tiny_experiment, "--data", small_drawn, "--run-dir", tmp_path / "run")
    status, _, error = call(
        capsys, *base, "--resume", "--set", "seed=3", "--set", "stages.head.epochs=9"
    )
    assert status == 2 and error == (
        f"insideout train: {tmp_path / 'run'}: --resume expects the experiment this run was "
        "started with. Give the same file and --set values, or choose another --run-dir. "
        "Received: stages.0.epochs 1 → 9, seed 0 → 3\n"
    )
    (tmp_path / "run/metrics.json").write_text("{}")
    status, _, error = call(capsys, *base, "--resume", "--set", "stages.head.epochs=9")
    assert (
        status == 2
        and (
            f"To train the finished run further, give --start-from {tmp_path / 'run'} and a new --run-dir"
        )
        in error
    )
