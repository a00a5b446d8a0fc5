"""Folders, links and patterns give the pictures that people mean, each once."""

import os

import numpy as np
import pytest
from conftest import run_verb
from PIL import Image

from insideout_tf import predict
from insideout_tf.errors import UserError
from insideout_tf.photos import listing


def save(path, size=60):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size, size), 128, np.uint8)).save(path)


def names_of(paths, folder):
    return [os.path.relpath(path, folder) for path in paths]


def test_links_to_folders_are_followed_once(tmp_path):
    save(tmp_path / "here/a.png")
    save(tmp_path / "elsewhere/b.png")
    (tmp_path / "here/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "here/again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/circle").symlink_to(tmp_path / "here")
    found = listing.list_sources(tmp_path / "here")
    assert sorted(os.path.basename(path) for path in found.paths) == ["a.png", "b.png"]
    assert not found.unread and not found.errors


def test_a_pattern_that_the_shell_has_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a.png", "sub/c.png", "[x].png"):
        save(tmp_path / name)
    assert listing.expand_folders(["*.png"])[0] == ["[x].png", "a.png", "b.png"]
    assert listing.expand_folders(["**/*.png"])[0] == ["[x].png", "a.png", "b.png", "sub/c.png"]
    assert listing.expand_folders(["[x].png"])[0] == ["[x].png"]  # a file of that name
    with pytest.raises(UserError, match=r"\*\.jpg: expected a pattern of files that exist"):
        listing.expand_folders(["*.jpg"])
    with pytest.raises(UserError, match="A camera is webcam:0. Received: a number"):
        listing.expand_folders(["0"])


def test_many_pictures_without_a_face_name_the_option(tmp_path, capsys):
    for number in range(3):
        save(tmp_path / f"{number}.png", size=150)
    words = (tmp_path, "--model", "nano", "--detector", "haar")
    status, _, error = run_verb(predict.main, capsys, *words)
    assert status == 0
    assert "3 of 3 pictures without a face. If these are cropped faces, use --faces crop" in error
    status, _, error = run_verb(predict.main, capsys, *words, "--faces", "crop")
    assert status == 0 and "without a face" not in error
