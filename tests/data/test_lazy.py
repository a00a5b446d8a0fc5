"""Faces that stay in their files are the faces, the batches and the training of those in memory."""

import json
import shutil

import keras
import numpy as np
import pytest
from conftest import run_verb
from PIL import Image
from test_own_data import OWN, write_tree

from insideout_tf import train
from insideout_tf.data import batches, lazy, reading, splits
from insideout_tf.data.faces import content_keys
from insideout_tf.data.read import read, read_faces
from insideout_tf.errors import UserError
from insideout_tf.network.weights import load_model


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("lazy") / "faces", OWN, side=40)


def read_lazily(path, **options):
    return read(path, reading.Reading(feed="files", **options))


@pytest.mark.parametrize("options", [{}, {"input_size": 24, "channels": 1}, {"channels": 1}])
def test_the_faces_are_equal(options, tree):
    there, in_files = read_faces(tree, **options), read_lazily(tree, **options)
    pixels = in_files.pixels
    assert isinstance(pixels, lazy.FilePixels) and pixels.shape == there.pixels.shape
    assert (pixels.dtype, pixels.ndim, pixels.size) == (
        np.uint8,
        there.pixels.ndim,
        there.pixels.size,
    )
    assert np.array_equal(np.asarray(pixels), there.pixels)
    rows = np.array([5, 2, 90])
    part = pixels[rows]
    assert isinstance(part, lazy.FilePixels) and np.array_equal(part, there.pixels[rows])
    assert np.array_equal(pixels[7], there.pixels[7])
    assert np.array_equal(pixels[3:6], there.pixels[3:6])
    assert np.array_equal(pixels[:, ::-1], there.pixels[:, ::-1])
    assert in_files.contract == there.contract and in_files.names == there.names
    equal = content_keys(there.pixels) == content_keys(there.pixels)[:1]
    assert np.array_equal(content_keys(pixels) == content_keys(pixels)[:1], equal)
    assert np.array_equal(in_files.select(rows).pixels, there.pixels[rows])
    assert in_files.digest == read_lazily(tree, **options).digest


def test_grey_files_among_colour_are_colour(tree, tmp_path):
    mixed = shutil.copytree(tree, tmp_path / "mixed")
    for path in (mixed / "train/bored").glob("*.png"):
        Image.open(path).convert("L").save(path)
    there, in_files = read_faces(mixed), read_lazily(mixed)
    assert there.contract == in_files.contract and there.contract.channels == 3
    assert np.array_equal(np.asarray(in_files.pixels), there.pixels)


def test_files_are_chosen_by_size(tree, monkeypatch):
    assert not isinstance(read_faces(tree).pixels, lazy.FilePixels)
    monkeypatch.setattr(lazy, "MEMORY_BYTES", 96 * 40 * 40 * 3 - 1)
    assert isinstance(read_faces(tree).pixels, lazy.FilePixels)
    assert not isinstance(read_faces(tree, channels=1).pixels, lazy.FilePixels)


def test_batches_have_the_same_order_and_content(tiny_experiment, tree):
    from insideout_tf import overrides

    experiment = overrides.override(
        overrides.load(tiny_experiment), ["batch_size=16", "split=stratified"]
    )
    found = []
    for faces in (read_faces(tree), read_lazily(tree)):
        split = splits.of_experiment(faces, experiment)
        arrays = batches.training_arrays(faces, split.training, experiment)
        epoch = batches.epoch_batches(arrays, experiment, 0, 1)
        order = batches.epoch_order(len(arrays["image"]), 0, 0, 1)[:16]
        plain = batches.ArrayBatches(arrays, lambda order=order: order[None], 1)[0]
        found.append([{name: np.asarray(each[name]) for name in each} for each in epoch])
        assert np.array_equal(found[-1][0]["image"], plain["image"])
    for one, other in zip(*found, strict=True):
        for name in ("image", "label", "weight"):
            assert np.array_equal(one[name], other[name])


@pytest.mark.slow
def test_training_from_files_is_training_from_memory(tiny_experiment, tree, tmp_path, capsys):
    weights = {}
    for feed in ("memory", "files"):
        run = tmp_path / feed
        words = (tiny_experiment, "--data", tree, "--run-dir", run, "--verbose", 0)
        settings = ("--set", "batch_size=16", "--set", f"feed={feed}")
        status, _, error = run_verb(train.main, capsys, *words, *settings)
        assert status == 0, error
        weights[feed] = load_model(run / "model.keras").get_weights()
    assert all(np.array_equal(*pair) for pair in zip(*weights.values(), strict=True))
    environment = json.loads((tmp_path / "files/environment.json").read_text())
    assert environment["data_digest"] == read_lazily(tree).digest


@pytest.mark.slow
def test_a_file_that_vanishes_in_training_is_named(tiny_experiment, tmp_path, capsys, monkeypatch):
    tree = write_tree(tmp_path / "faces", OWN, side=40)

    class Remover(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            for path in (tree / "train/bored").glob("*.png"):
                path.unlink(missing_ok=True)

    monkeypatch.setattr(train, "load_callbacks", lambda _: [Remover()])
    words = (tiny_experiment, "--data", tree, "--run-dir", tmp_path / "run", "--verbose", 0)
    settings = ("--set", "batch_size=16", "--set", "feed=files")
    status, _, error = run_verb(train.main, capsys, *words, *settings)
    assert status == 2 and "train/bored/" in error and error.count("\n") == 1


def test_bad_files_are_known_before_the_work(tmp_path):
    tree = write_tree(tmp_path / "faces", OWN, side=40)
    bad = tree / "train/bored/3.png"
    bad.write_bytes(bad.read_bytes()[:200])
    with pytest.raises(UserError, match="train/bored/3.png: expected a readable"):
        read_lazily(tree)
    assert len(read_lazily(tree, bad_rows="skip")) == 95


def write_odd_files(folder):
    """Writes one picture in files of many kinds; returns the names of those that are usual."""
    pixels = np.random.default_rng(3).integers(0, 256, (40, 40, 3), np.uint8)
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    image.save(folder / "jpeg.jpg", quality=85)
    image.save(folder / "progressive.jpg", progressive=True)
    image.save(folder / "png.png")
    image.convert("L").save(folder / "grey.jpg")
    image.save(folder / "turned.jpg", exif=exif)
    image.convert("CMYK").save(folder / "cmyk.jpg")
    image.convert("P").save(folder / "palette.png")
    image.convert("RGBA").save(folder / "alpha.png")
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(folder / "deep.png")
    return {"jpeg.jpg", "progressive.jpg", "png.png", "grey.jpg"}


@pytest.mark.parametrize("options", [{}, {"channels": 1}, {"channels": 3, "input_size": 24}])
def test_the_fast_decoder_serves_only_files_of_which_it_gives_the_same_pixels(options, tmp_path):
    for name in ("calm", "cross"):
        (tmp_path / "train" / name).mkdir(parents=True)
        usual = write_odd_files(tmp_path / "train" / name)
    there, in_files = read_faces(tmp_path, **options), read_lazily(tmp_path, **options)
    assert np.array_equal(np.asarray(in_files.pixels), there.pixels)
    plain = in_files.pixels._plain
    by_name = {name.rpartition("/")[2]: flag for name, flag in zip(in_files.names, plain)}
    assert all(by_name[name] for name in usual) and not by_name["turned.jpg"]


def test_a_file_that_changes_later_is_still_decoded_or_named(tmp_path):
    for name in ("calm", "cross"):
        (tmp_path / "train" / name).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (40, 40), (9, number, 80)).save(
                tmp_path / "train" / name / f"{number}.png"
            )
    faces = read_lazily(tmp_path)
    changed = next(tmp_path.rglob(faces.names[0].rpartition("/")[2]))
    changed.write_bytes(changed.read_bytes()[:60])
    with pytest.raises(UserError, match=changed.name):
        np.asarray(faces.pixels)
