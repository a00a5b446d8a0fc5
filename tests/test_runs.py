"""Files of a run are whole or absent; checkpoints keep every bit."""

import dataclasses
import pathlib

import numpy as np
import pytest

from insideout_tf import files, overrides, runs
from insideout_tf.data import drawn
from insideout_tf.data.faces import Faces
from insideout_tf.errors import UserError
from insideout_tf.training import checkpoint


def test_replacing_keeps_the_old_file_when_writing_fails(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"x": 1})
    with pytest.raises(TypeError):
        files.write_json(path, {"x": object()})
    with pytest.raises(RuntimeError):
        with files.replacing(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError
    assert files.read_json(path) == {"x": 1}
    assert [child.name for child in tmp_path.iterdir()] == ["a.json"]


def test_checkpoint_round_trip_and_damage(tmp_path):
    assert checkpoint.load_checkpoint(tmp_path) == (None, {})
    progress = {"stage": 1, "best": -0.1234567890123456789, "history": [{"loss": 1e-30}]}
    arrays = {"a": np.float32([1.5, np.nan]), "b": np.arange(3, dtype=np.uint32)}
    checkpoint.save_checkpoint(tmp_path, progress, arrays)
    again, loaded = checkpoint.load_checkpoint(tmp_path)
    assert again == progress
    for name in arrays:
        assert loaded[name].dtype == arrays[name].dtype
        assert np.array_equal(loaded[name], arrays[name], equal_nan=name == "a")
    path = tmp_path / checkpoint.CHECKPOINT
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match="expected a whole checkpoint"):
        checkpoint.load_checkpoint(tmp_path)


def test_read_json_errors(tmp_path):
    with pytest.raises(UserError, match="nothing there"):
        files.read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(UserError, match="expected JSON"):
        files.read_json(tmp_path / "a.json")


def test_a_folder_that_is_no_run_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(UserError, match="a run folder or an empty one"):
        runs.check(tmp_path, None, resume=False, overwrite=True)
    assert (tmp_path / "thesis.txt").exists()


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(tmp_path, monkeypatch):
    out, rename = tmp_path / "out", pathlib.Path.rename
    out.mkdir()
    (out / "old").touch()

    def fail(path, target):
        if path.name.startswith(files.TEMPORARY) and "-old" not in path.name:
            raise PermissionError(13, "no", str(path))
        return rename(path, target)

    monkeypatch.setattr(pathlib.Path, "rename", fail)
    kind = files.FolderKind("test", "a test", ("old", "new"))
    files.mark(out, kind)
    with pytest.raises(PermissionError) as caught:
        with files.replacing_folder(out, kind, overwrite=True) as folder:
            (folder / "new").touch()
    assert caught.value.filename == str(out)
    assert sorted(tmp_path.rglob("*")) == [out, out / files.MARKER, out / "old"]


def test_weights_may_move_but_not_change_before_a_resumption(tmp_path):
    """Their content is compared, as that of the other inputs."""
    experiment = overrides.load("quickstart")
    first, second = (
        dataclasses.replace(experiment, weights=str(tmp_path / name))
        for name in ("a.weights.h5", "b.weights.h5")
    )
    pixels, labels, usage = drawn.draw_all(7, 7, 7)
    faces = Faces(pixels, labels, usage, "drawn")
    directory = tmp_path / "run"
    told = {"data_digest": faces.digest, "weights_sha256": "1" * 64}
    runs.create(directory, first, False, {**runs.environment(), **told})
    assert runs.check(directory, second, True, False) == "unfinished"
    runs.note_resumed(directory, second, faces, {"weights_sha256": "1" * 64})
    assert runs.experiment_of(directory).weights == second.weights
    with pytest.raises(UserError, match="--weights: --resume expects the content"):
        runs.note_resumed(directory, second, faces, {"weights_sha256": "2" * 64})
    with pytest.raises(UserError, match="weights .* → 'none'"):
        runs.check(directory, dataclasses.replace(first, weights="none"), True, False)
