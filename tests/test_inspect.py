"""The facts of the real data, as text and JSON, and on small files counted by hand."""

import functools
import json

import numpy as np
import pytest
from conftest import run_verb
from PIL import Image

from insideout_tf import inspect
from insideout_tf.data.faces import Faces

call = functools.partial(run_verb, inspect.main)


@pytest.mark.slow
@pytest.mark.fer2013
def test_the_real_fer2013(unpacked, capsys, tmp_path):
    figure = tmp_path / "faces.png"
    status, out, _ = call(capsys, unpacked("csv"), "--json", "--figure", figure)
    facts = json.loads(out)
    assert status == 0 and set(facts) == {
        "source",
        "identified",
        "classes",
        "side",
        "channels",
        "people",
        "people_in_two_usages",
        "usages",
        "duplicates",
        "blank",
        "skipped",
    }
    assert {name: usage["n"] for name, usage in facts["usages"].items()} == {
        "Training": 28709,
        "PublicTest": 3589,
        "PrivateTest": 3589,
    }
    assert list(facts["usages"]["PrivateTest"]["per_class"].values()) == [
        491,
        55,
        528,
        879,
        594,
        416,
        626,
    ]
    duplicates = facts["duplicates"]
    assert duplicates["distinct"] == 34034 and duplicates["groups_within"] == 1077
    assert duplicates["groups_within_conflicting"] == 42 and duplicates["groups_across"] == 557
    assert Image.open(figure).size[0] > 800
    status, out, _ = call(capsys, unpacked("npz"))
    assert "34,034 of 35,887" in out and "4,965" in out and "--drop-leaks" in out


def test_duplicates_counted_by_hand():
    images = np.zeros((8, 48, 48), np.uint8)
    images[:, 0, 0] = [1, 1, 1, 2, 2, 3, 3, 0]
    labels = np.array([0, 0, 1, 4, 4, 5, 6, 2], np.uint8)
    usage = np.array([0, 0, 1, 0, 0, 1, 2, 2], np.uint8)
    facts = inspect.examine(Faces(images, labels, usage, "x"))
    assert facts["duplicates"] == {
        "distinct": 4,
        "groups_within": 2,
        "groups_within_conflicting": 0,
        "groups_across": 2,
        "groups_across_conflicting": 2,
    }
    assert facts["blank"] == 1
    labels[1] = 6
    conflicting = inspect.examine(Faces(images, labels, usage, "x"))["duplicates"]
    assert conflicting["groups_within_conflicting"] == 1


def test_file_without_labels(capsys, tmp_path):
    path = tmp_path / "test.csv"
    path.write_text("pixels\r\n" + '"' + " ".join(["1"] * 2304) + '"\r\n')
    status, out, _ = call(capsys, path)
    assert status == 0 and "(no labels)" in out
    status, _, error = call(capsys, path, "--figure", tmp_path / "a.png")
    assert status == 2 and "labelled faces" in error and not (tmp_path / "a.png").exists()


@pytest.mark.slow
def test_errors_are_one_line(capsys, tmp_path):
    (tmp_path / "a.csv").write_text("emotion,pixels,Usage\n0,1 2 3,Training\n")
    status, out, error = call(capsys, tmp_path / "a.csv")
    assert status == 2 and not out and error.count("\n") == 1
    assert error.startswith("insideout inspect: ") and "a.csv, line 2: expected 2304" in error
    status, _, error = call(capsys, "drawn", "--figure", tmp_path / "a.jpg")
    assert status == 2 and "ending in .png" in error
    status, _, error = call(capsys, "drawn", "--figure", "/proc/none/a.png")
    assert status == 2 and error.count("\n") == 1 and "Traceback" not in error
