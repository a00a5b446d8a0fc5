"""Fixtures: the real FER2013 in the forms its users hold, a small real subset, small drawn faces."""

import gc
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Parsed files of the tests, and of the processes they start, stay out of the user's cache.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="insideout_tf_tests_")
# JAX compiles the same steps in many processes: once is enough. Workers share the folder of the first process.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", os.environ["XDG_CACHE_HOME"] + "/jax")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

pytest_plugins = ["web_fixtures"]
ROOT = pathlib.Path(__file__).resolve().parent.parent
# A folder with FER2013 and unpack.py, which writes it byte-identical to the published files.
SOURCE = pathlib.Path(os.environ.get("FER2013_SOURCE", ROOT.parent / "shared/data/fer2013"))
WEIGHTS = SOURCE.parent.parent / "weights/efficientnetv2-b0_imagenet_notop.weights.h5"
_skipped = []


def pytest_runtest_logreport(report):
    if report.skipped and "fer2013" in report.keywords:
        _skipped.append(report.nodeid)


def pytest_sessionfinish(session, exitstatus):
    """Where the real data is at hand, a test that skips it is a failure."""
    shutil.rmtree(os.environ["XDG_CACHE_HOME"], ignore_errors=True)
    if _skipped and SOURCE.is_dir():
        print(f"\nskipped although {SOURCE} is there: {', '.join(_skipped)}")
        session.exitstatus = 1


@pytest.fixture(scope="module", autouse=True)
def _freeze_old_objects():
    """Excludes what a module leaves from later garbage collections. TensorFlow leaves millions of objects."""
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def unpacked(tmp_path_factory):
    """Returns a function: form ("csv", "icml", "train", "npz", "tree") → its path, written once."""
    if not SOURCE.is_dir():
        pytest.skip(f"FER2013 is not at hand: no {SOURCE} (set FER2013_SOURCE)")
    folder = tmp_path_factory.mktemp("fer2013")
    names = {
        "csv": "fer2013.csv",
        "icml": "icml_face_data.csv",
        "train": "train.csv",
        "npz": "fer2013.npz",
        "tree": "tree",
    }

    def write(form):
        path = folder / names[form]
        if not path.exists():
            subprocess.run([sys.executable, SOURCE / "unpack.py", form, path], check=True)
        return path

    return write


@pytest.fixture(scope="session")
def real(unpacked):
    """All of FER2013 as `Faces`, from the npz."""
    from insideout_tf.data.read import read_faces

    return read_faces(unpacked("npz"))


@pytest.fixture(scope="session")
def small_real(real, tmp_path_factory):
    """An npz of 350 Training, 140 PublicTest and 140 PrivateTest faces, every class present."""
    random = np.random.default_rng(0)
    rows = np.sort(
        np.concatenate(
            [
                random.permutation(np.flatnonzero((real.usage == usage) & (real.labels == label)))[
                    :count
                ]
                for usage, count in ((0, 50), (1, 20), (2, 20))
                for label in range(7)
            ]
        )
    )
    path = tmp_path_factory.mktemp("small") / "small.npz"
    np.savez(path, pixels=real.pixels[rows], emotion=real.labels[rows], usage=real.usage[rows])
    return path


@pytest.fixture(scope="session")
def small_drawn(tmp_path_factory):
    """An npz of 280 + 70 + 70 drawn faces."""
    from insideout_tf.data import drawn

    pixels, labels, usage = drawn.draw_all(280, 70, 70)
    path = tmp_path_factory.mktemp("drawn") / "drawn.npz"
    np.savez(path, pixels=pixels, emotion=labels, usage=usage)
    return path


@pytest.fixture(scope="session")
def tiny_experiment(tmp_path_factory):
    """An experiment file of two short stages on the tiny backbone."""
    path = tmp_path_factory.mktemp("experiment") / "tiny.py"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def tiny_run(tiny_experiment, small_drawn, tmp_path_factory):
    """A finished run of the tiny experiment on drawn faces; copy it before changing it."""
    from insideout_tf import train

    directory = tmp_path_factory.mktemp("tiny") / "run"
    options = ("--data", small_drawn, "--run-dir", directory, "--verbose", "0")
    one_epoch = ("--set", "stages.finetune.epochs=1")
    train.main([str(word) for word in (tiny_experiment, *options, *one_epoch)])
    return directory


TINY = """
from insideout_tf.config import Augmentation, Experiment, Stage


def get_config():
    return Experiment(
        name="tiny", backbone="tiny", weights="none", image_size=32, dropout=0.2, batch_size=35,
        class_weight="balanced", label_smoothing=0.06, ema_decay=0.9,
        augmentation=Augmentation(flip=True, rotation_degrees=10.0, zoom=(0.9, 1.1), shift=0.05,
                                  brightness=0.1, contrast=0.2, erasing_probability=0.2,
                                  mixup_alpha=0.2, cutmix_alpha=1.0, mix_probability=0.5),
        stages=(
            Stage("head", epochs=1, learning_rate=1e-2, unfreeze_from=None, optimizer="adam"),
            Stage("finetune", epochs=2, learning_rate=3e-3, weight_decay=1e-2, clip_norm=1.0,
                  schedule="cosine", warmup_epochs=0.5, patience=3),
        ),
    )
"""


def kill_after(process, history, seconds=200):
    """Kills a training once its history tells of two epochs of the stage `finetune`."""
    deadline = time.monotonic() + seconds
    while not (history.exists() and history.read_text().count("finetune") >= 2):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()


def interrupt_second_stage(patch):
    """Lets a training stop as by Ctrl-C before its second stage. patch: a `pytest.MonkeyPatch`."""
    from insideout_tf.training import stages

    run_stage = stages.run_stage

    def run_first_stage(job, index, *rest):
        if index == 1:
            raise KeyboardInterrupt
        return run_stage(job, index, *rest)

    patch.setattr(stages, "run_stage", run_first_stage)


def run_verb(main, capsys, *arguments):
    """Runs a verb's `main` in this process; returns (exit status, stdout, stderr)."""
    capsys.readouterr()
    try:
        main([str(argument) for argument in arguments])
        status = 0
    except SystemExit as error:
        status = error.code
    out = capsys.readouterr()
    return status, out.out, out.err


def run_python(code, *arguments, env=None, check=True, cwd=ROOT, python=None):
    """Runs code in a fresh interpreter; returns the completed process with its output as text.

    python: the interpreter; None: that of the tests.
    """
    done = subprocess.run(
        [python or sys.executable, "-c", code, *map(str, arguments)],
        cwd=cwd,
        text=True,
        capture_output=True,
        env={**os.environ, **(env or {})},
        timeout=600,
    )
    if check and done.returncode:
        raise AssertionError(f"exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done
