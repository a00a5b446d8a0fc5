"""Faces become probabilities in the same way on every engine; a model is loaded once."""

import concurrent.futures
import shutil

import numpy as np
import pytest

import insideout_tf
from insideout_tf import processes
from insideout_tf.errors import UserError
from insideout_tf.serving import engines, packaged, recognize


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "large"}, "expected one of nano, small, or the path.*'large'"),
        ({"engine": "torch"}, "expected one of auto, keras, litert"),
        ({"model": __file__, "engine": "litert"}, "expects a packaged model or a .tflite"),
        ({"model": __file__}, "expected a saved Keras model"),
    ],
)
def test_wrong_model_or_engine(options, message):
    with pytest.raises(UserError, match=message):
        insideout_tf.predict_emotions(np.zeros((1, 48, 48), np.uint8), **options)


def test_damaged_or_foreign_litert_files(tmp_path):
    face = np.zeros((1, 48, 48), np.uint8)
    path = tmp_path / "m.tflite"
    content = packaged.path_of("small", ".tflite").read_bytes()
    for damaged in (b"", b"x" * 1000, content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="m.tflite: expected a whole .tflite file"):
            insideout_tf.predict_emotions(face, path)
    path.write_bytes(content)
    raw = insideout_tf.predict_emotions(face, "small", engine="litert", calibrated=False)
    assert np.array_equal(insideout_tf.predict_emotions(face, path), raw)
    with pytest.raises(
        UserError, match="expects 'litert'. Leave out the engine. Received: 'keras'"
    ):
        insideout_tf.predict_emotions(face, path, engine="keras")


@pytest.mark.slow
def test_a_name_a_file_and_a_model_in_memory():
    model = insideout_tf.load("small")
    face = np.full((2, 48, 48), 100, np.uint8)
    by_name = insideout_tf.predict_emotions(face, "small", engine="keras", calibrated=False)
    for source in (model, packaged.path_of("small", ".keras")):
        assert np.abs(insideout_tf.predict_emotions(face, source) - by_name).max() < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".tflite", ".keras"])
def test_threads_share_a_model_loaded_once(suffix, small_drawn, tmp_path, monkeypatch):
    """Threads with other batch sizes get the results of one thread; a file that changes is loaded again."""
    calls, load = [], engines.load_predictor
    monkeypatch.setattr(
        engines, "load_predictor", lambda *arguments: calls.append(arguments) or load(*arguments)
    )
    path = tmp_path / f"model{suffix}"
    shutil.copy(packaged.path_of("nano", suffix), path)
    with np.load(small_drawn) as data:
        batches = [data["pixels"][: 1 + i % 5] for i in range(64)]
    alone = [insideout_tf.predict_emotions(batch, path) for batch in batches]
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        together = list(
            threads.map(lambda batch: insideout_tf.predict_emotions(batch, path), batches)
        )
    assert max(np.abs(one - other).max() for one, other in zip(alone, together)) < 1e-6
    assert len(calls) == 1
    shutil.copy(packaged.path_of("small", suffix), path)
    other = insideout_tf.predict_emotions(batches[4], path)
    assert len(calls) == 2 and np.abs(other - alone[4]).max() > 0.01


def test_temperature_by_hand():
    probabilities = np.array([[0.5, 0.3, 0.2, 0, 0, 0, 0]], np.float32)
    cooler = recognize.apply_temperature(probabilities, 0.5)  # squares, normalised
    assert np.allclose(cooler[0, :3], np.square([0.5, 0.3, 0.2]) / 0.38, atol=1e-6)
    assert np.array_equal(recognize.apply_temperature(probabilities, 1.0), probabilities)


def test_views_by_hand():
    """A function that returns the left column: "flip" averages it with the right column."""
    faces = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    seen = []

    def predict(views):
        seen.append(views)
        return views[:, :, 0]

    assert np.array_equal(recognize.average_views(predict, faces), faces[:, :, 0])
    assert len(seen) == 1
    expected = (faces[:, :, 0] + faces[:, :, -1]) / 2
    assert np.array_equal(recognize.average_views(predict, faces, "flip"), expected)
    assert seen[-1].flags["C_CONTIGUOUS"]  # LiteRT reads the memory as it lies
    with_channels = recognize.average_views(predict, faces[..., None], "flip")
    assert np.array_equal(with_channels[..., 0], expected)
    with pytest.raises(UserError, match="tta: expected one of none, flip. Received: 'both'"):
        recognize.average_views(predict, faces, "both")


def test_many_faces_use_all_processors_and_no_more_than_allowed(small_drawn, monkeypatch):
    """More faces than one call of LiteRT takes go in groups, by several threads: the same results."""
    with np.load(small_drawn) as data:
        faces = data["pixels"][:19].astype(np.float32)[..., None]
    threads = []
    load = engines.litert_probe.load
    monkeypatch.setattr(
        engines.litert_probe, "load", lambda content, n: threads.append(n) or load(content, n)
    )
    predict, *_ = engines.load_predictor("nano", "litert")
    monkeypatch.setattr(processes, "count_processors", lambda: 3)
    together = predict(faces)
    parts = [predict(faces[start : start + 8]) for start in (0, 8, 16)]
    assert threads == [3, 1] and np.array_equal(together, np.concatenate(parts))
    monkeypatch.setattr(processes, "_has_one_thread", True)
    assert np.array_equal(predict(faces), together) and threads == [3, 1]


def test_batch_size_changes_nothing(small_drawn):
    with np.load(small_drawn) as data:
        faces = data["pixels"][:10]
    by_size = [
        insideout_tf.predict_emotions(faces, "nano", engine="litert", batch_size=size, tta="flip")
        for size in (256, 3, 1)
    ]
    assert max(np.abs(other - by_size[0]).max() for other in by_size[1:]) < 1e-5
    assert insideout_tf.predict_emotions([], "nano").shape == (0, 7)
