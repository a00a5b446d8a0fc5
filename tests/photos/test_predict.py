"""`insideout predict`: lines, records, annotated copies and errors of pictures and folders."""

import collections
import csv
import json
import sys

import numpy as np
import pytest
from conftest import run_python, run_verb
from PIL import Image

import insideout_tf
from insideout_tf import predict, progress
from insideout_tf.data import drawn
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.errors import UserError


def test_litert_answers_without_a_framework(small_drawn, tmp_path):
    with np.load(small_drawn) as data:
        Image.fromarray(data["pixels"][0]).save(tmp_path / "face.png")
    done = run_python(
        """
import sys
from insideout_tf import predict
predict.main([sys.argv[1], "--engine", "litert"])
heavy = {"tensorflow", "keras", "jax", "torch", "matplotlib", "sklearn", "pandas", "scipy"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
""",
        tmp_path / "face.png",
    )
    assert done.stderr == "" and done.stdout.startswith(f"{tmp_path / 'face.png'}: ")


def test_verb_prints_lines_json_and_csv(small_drawn, tmp_path, capsys):
    with np.load(small_drawn) as data:
        pixels = data["pixels"][:3]
    paths = [tmp_path / f"a face {i}.png" for i in range(3)]
    for path, face in zip(paths, pixels):
        Image.fromarray(face).save(path)
    expected = insideout_tf.predict_emotions(pixels, "small")
    out = {kind: tmp_path / f"out.{kind}" for kind in ("json", "csv")}
    arguments = [*paths, "--model", "small", "--json", out["json"], "--csv", out["csv"]]
    status, text, err = run_verb(predict.main, capsys, *arguments)
    assert status == 0 and err == "" and len(text.splitlines()) == 3
    records = json.loads(out["json"].read_text())
    rows = list(csv.DictReader(out["csv"].open()))
    for path, face, row, line, values in zip(paths, records, rows, text.splitlines(), expected):
        emotion = EMOTIONS[values.argmax()]
        assert face["source"] == row["source"] == str(path)
        assert face["emotion"] == row["emotion"] == emotion
        assert line.startswith(f"{path}: {emotion} {values.max():.1%}")
        assert list(face["probabilities"]) == list(EMOTIONS)
        assert np.allclose(list(face["probabilities"].values()), values, atol=1e-5)
        assert np.allclose([float(row[name]) for name in EMOTIONS], values, atol=1e-5)
    status, text, _ = run_verb(predict.main, capsys, paths[0], "--json", "-")
    assert status == 0 and len(json.loads(text)) == 1
    status, text, _ = run_verb(predict.main, capsys, paths[0], "--csv", "-", "--uncalibrated")
    assert status == 0 and text.startswith("source,faces,frame,seconds,face,left,")
    status, text, _ = run_verb(predict.main, capsys, paths[0], "--json", "-", "--tta", "flip")
    expected = insideout_tf.predict_emotions([paths[0]], tta="flip")[0]
    assert np.allclose(
        list(json.loads(text)[0]["probabilities"].values()), expected, rtol=0, atol=1e-5
    )
    with pytest.raises(UserError, match="tta: expected one of none, flip. Received: 'both'"):
        insideout_tf.predict_emotions([paths[0]], tta="both")
    status, _, err = run_verb(predict.main, capsys, paths[0], "--csv", "-", "--json", "-")
    assert status == 2 and "expected one of them on standard output" in err


def test_errors_name_unreadable_files_and_the_others_have_results(small_drawn, tmp_path, capsys):
    with np.load(small_drawn) as data:
        Image.fromarray(data["pixels"][0]).save(tmp_path / "face.png")
    (tmp_path / "broken.png").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("no picture")
    Image.fromarray(np.full((48, 48), 70_000, np.int32)).save(tmp_path / "depth.tiff")
    out = tmp_path / "faces.csv"
    sources = [tmp_path / "none.png", tmp_path / "depth.tiff", tmp_path]
    status, text, err = run_verb(predict.main, capsys, *sources, "--csv", out)
    assert status == 2 and text.startswith(str(tmp_path / "face.png")) and text.count("\n") == 1
    assert (
        len(err.splitlines()) == 5
        and "none.png: expected an image file. Check the path. Received: No such file" in err
    )
    assert "depth.tiff: expected grey levels from 0 to 255" in err
    assert "insideout predict: not read: 1 .txt, since" in err
    assert "broken.png: expected a readable" in err and "Received: 3 that are not readable" in err
    assert [row["source"] for row in csv.DictReader(out.open())] == [str(tmp_path / "face.png")]


def test_a_folder_is_read_by_content_and_a_named_file_once(small_drawn, tmp_path, capsys):
    with np.load(small_drawn) as data:
        Image.fromarray(data["pixels"][0]).save(tmp_path / "face.png")
    (tmp_path / "face.png").rename(tmp_path / "face.jfif")  # a PNG, whatever its name says
    (tmp_path / "._face.jfif").write_bytes(b"AppleDouble")
    status, text, err = run_verb(predict.main, capsys, tmp_path / "face.jfif", tmp_path)
    assert status == 0 and err == ""
    assert text.startswith(str(tmp_path / "face.jfif")) and text.count("\n") == 1


def test_shares_of_a_summary_are_of_time():
    durations = collections.Counter(happy=2.0, sad=6.0)
    text = predict.summarize(500, 410, 12.5, durations)
    assert text == "500 frames, 12.5 s, a face in 410 of them; of the time sad 75%, happy 25%"
    assert predict.summarize(3, 0, 0.1, collections.Counter()).endswith("; no face found")


def test_a_folder_of_photos_and_annotated_copies(tmp_path, capsys):
    """Photos with the same name in several folders, one without a face: lines, records, copies."""
    for folder in ("a", "b c", "d"):
        (tmp_path / "photos" / folder).mkdir(parents=True)
    Image.new("RGB", (320, 200), (80, 120, 90)).save(tmp_path / "photos/a/one.jpg")
    face = drawn.draw_all(7, 7, 7)[0][0]
    for name in ("b c/one.png", "d/ONE.png", "d/one-2.png"):
        Image.fromarray(face).save(tmp_path / "photos" / name)
    folder, records = tmp_path / "annotated", tmp_path / "o.json"
    status, text, err = run_verb(
        predict.main, capsys, tmp_path / "photos", "--annotate", folder, "--json", records
    )
    assert status == 0 and err == ""
    first, second, _, _ = text.splitlines()
    assert first == f"{tmp_path / 'photos/a/one.jpg'}: no face found"
    assert second.endswith(", the whole picture")
    nothing, crop, _, _ = json.loads(records.read_text())
    assert nothing["faces"] == "detected" and nothing["emotion"] is nothing["box"] is None
    assert crop["faces"] == "crop" and crop["emotion"] in EMOTIONS
    names = {
        "one-annotated.png",
        "one-annotated-2.png",
        "ONE-annotated-3.png",
        "one-2-annotated.png",
    }  # unique on a disk that ignores case
    assert {path.name for path in folder.iterdir()} == names
    panel = np.asarray(Image.open(folder / "one-annotated-2.png"))[
        :, 384:
    ]  # 48 pixels enlarged 8 times
    assert panel.shape[1] > 100 and (panel > 200).any()  # letters and bars beside the face


def test_no_source_and_wrong_values(tmp_path, capsys):
    for words, message in (
        ((tmp_path,), "expected pictures (.png"),
        (("x.png", "--margin", "7"), "--margin: expected -0.4 to 2"),
        (("x.png", "--smooth", "nan"), "--smooth: expected seconds"),
        (("x.png", "--seconds", "0"), "--seconds: expected more than 0"),
        (("x.png", "--seconds", "inf"), "--seconds: expected more than 0"),
        (("x.png", "--json", "-", "--jsonl", "-"), "expected one of them on standard output"),
        (("x.png", "--json", tmp_path), "a folder"),
    ):
        status, text, err = run_verb(predict.main, capsys, *words)
        assert status == 2 and message in err and err.splitlines()[-1].startswith("insideout ")
        assert text == "" and list(tmp_path.iterdir()) == []


def test_a_terminal_shows_the_remaining_time(small_drawn, tmp_path, capsys, monkeypatch):
    with np.load(small_drawn) as data:
        for index in range(20):
            Image.fromarray(data["pixels"][index]).save(tmp_path / f"{index:02}.png")
    (tmp_path / "99.png").write_bytes(b"x")
    monkeypatch.setattr(progress, "DELAY", 0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    status, text, err = run_verb(predict.main, capsys, tmp_path)
    assert status == 2 and text.count("\n") == 20 and "\r" not in text
    assert "/21 pictures, " in err and " left" in err
    assert "\r\033[Kinsideout predict: " in err  # an error has a line without the bar
