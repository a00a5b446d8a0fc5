"""What the first call makes is made once, whichever threads ask for it first."""

import collections
import threading

import numpy as np
import pytest
from conftest import run_python

import insideout_tf
from insideout_tf import processes
from insideout_tf.errors import UserError
from insideout_tf.network import weights
from insideout_tf.photos import detectors
from insideout_tf.serving import engines, recognize

THREADS = 8
FACES = np.full((1, 48, 48), 128, np.uint8)


def call_together(function):
    """Calls a function in threads that begin at once; returns their results."""
    barrier, results = threading.Barrier(THREADS), []

    def run():
        barrier.wait()
        results.append(function())

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_threads_wait_for_one_result_and_errors_are_not_kept():
    counts: collections.Counter = collections.Counter()

    @processes.made_once(2)
    def make(value):
        counts[value] += 1
        threading.Event().wait(0.05)
        if value == "bad" and counts[value] == 1:
            raise UserError("not yet")
        return object()

    assert len(set(map(id, call_together(lambda: make("a"))))) == 1 and counts["a"] == 1
    with pytest.raises(UserError):
        make("bad")
    assert make("bad") is make("bad") and counts["bad"] == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "owner,name,call",
    [
        (engines, "load_predictor", lambda path: insideout_tf.predict_emotions(FACES, path)),
        (weights, "load_model", lambda path: insideout_tf.embed(FACES, path)),
    ],
    ids=["predict", "embed"],
)
def test_eight_first_calls_load_one_model(owner, name, call, tiny_run, tmp_path, monkeypatch):
    import shutil

    from insideout_tf.api import embed

    path = shutil.copy(tiny_run / "model.keras", tmp_path / "fresh.keras")
    original, loaded = getattr(owner, name), []

    def load(*arguments):
        loaded.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(owner, name, load)
    monkeypatch.setattr(embed, "load_model", load) if name == "load_model" else None
    results = call_together(lambda: call(path))
    assert len(results) == THREADS and len(loaded) == 1
    assert all(np.allclose(results[0], each, atol=1e-6) for each in results)


FIRST_CALLS = {
    "predict_emotions": "insideout_tf.predict_emotions(face[None], 'nano', engine=engine)",
    "detect_emotions": "insideout_tf.detect_emotions(scene, 'nano', engine=engine)",
    "haar": "insideout_tf.detect_emotions(scene, 'nano', engine=engine, detector='haar')",
    "analyze_video": "insideout_tf.analyze_video(sys.argv[2], 'nano', engine=engine).to_numpy()",
    "embed": "insideout_tf.embed(face[None], 'nano')",
    "explain_images": "insideout_tf.explain_images(face, 'nano', faces='crop')[0].maps",
}
IN_THREADS = """
import sys, threading
import numpy as np
import insideout_tf
engine = sys.argv[1]
face = np.arange(48 * 48, dtype=np.uint8).reshape(48, 48)
scene = np.full((300, 300, 3), 90, np.uint8)
barrier, answers, errors = threading.Barrier(8), [], []
def run():
    barrier.wait()
    try:
        answers.append(eval(sys.argv[3]))
    except BaseException as error:
        errors.append(repr(error))
threads = [threading.Thread(target=run) for _ in range(8)]
for each in threads: each.start()
for each in threads: each.join()
assert not errors, errors
first = str(answers[0])
print(len(answers), all(str(each) == first for each in answers))
"""


@pytest.mark.parametrize(
    "engine,entry",
    [
        *[("litert", each) for each in list(FIRST_CALLS)[:4]],
        *[pytest.param("keras", each, marks=pytest.mark.slow) for each in FIRST_CALLS],
    ],
)
def test_the_first_calls_of_a_process_may_be_threads(engine, entry, tmp_path):
    from PIL import Image

    frames = [Image.new("L", (64, 64), 60 * each) for each in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    done = run_python(IN_THREADS, engine, tmp_path / "a.gif", FIRST_CALLS[entry])
    assert done.stdout == "8 True\n", done.stderr


def test_warm_up_makes_what_the_first_call_uses(monkeypatch):
    insideout_tf.warm_up("nano")
    monkeypatch.setattr(engines, "load_predictor", None)  # nothing is loaded any more
    monkeypatch.setattr(detectors, "_CREATORS", {})
    insideout_tf.predict_emotions(FACES, "nano")
    insideout_tf.detect_emotions(np.full((99, 300, 3), 90, np.uint8), "nano")
    insideout_tf.warm_up("nano", detector=None)
    monkeypatch.undo()
    for wrong in ({"model": "smal"}, {"detector": "x"}, {"engine": "x"}):
        with pytest.raises(UserError):
            insideout_tf.warm_up(**{"model": "nano", **wrong})
    assert recognize.load_recognizer("nano", "auto").contract.count == 7
