"""`predict_files` and `insideout predict --out`: the same records on every path, whole after a kill."""

import csv
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, run_verb
from PIL import Image

import insideout_tf
from insideout_tf import predict
from insideout_tf.api import bulk
from insideout_tf.errors import UserError
from insideout_tf.photos import detect, lists, parquet, result_files

COUNT = 70  # pictures: some chunks and a rest


@pytest.fixture(scope="module")
def folder(small_drawn, tmp_path_factory):
    """A folder of faces and of three files that are no pictures."""
    folder = tmp_path_factory.mktemp("many")
    with np.load(small_drawn) as data:
        for index, face in enumerate(data["pixels"][:COUNT]):
            Image.fromarray(face).save(folder / f"{index:03}.png")
    for index in (0, 20, COUNT - 1):
        (folder / f"{index:03}.png").write_bytes(b"\x89PNG no picture")
    return folder


@pytest.fixture(scope="module")
def expected(folder, tmp_path_factory):
    """The CSV that one process writes, a picture after the other."""
    out = tmp_path_factory.mktemp("expected") / "out.csv"
    with pytest.raises(SystemExit):  # for the unreadable ones
        predict.main([str(folder), "--csv", str(out), "--model", "nano"])
    return out.read_bytes()


def predict_folder(folder, out, **options):
    return insideout_tf.predict_files(folder, out, "nano", workers=1, **options)


def test_tables_hold_the_records_of_the_verb(folder, expected, tmp_path):
    summary = predict_folder(folder, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == expected
    assert summary[1:4] == (COUNT, COUNT - 3, 3)
    unreadable = list(csv.DictReader(open(summary.unreadable_table)))
    assert [pathlib.Path(row["source"]).name for row in unreadable] == [
        *("000.png", "020.png", f"{COUNT - 1:03}.png")
    ]
    assert all("expected a readable PNG or JPEG image" in row["error"] for row in unreadable)
    rows = list(csv.DictReader(expected.decode().splitlines()))
    predict_folder(folder, tmp_path / "out.jsonl")
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line)["emotion"] for line in lines] == [row["emotion"] for row in rows]
    predict_folder(folder, tmp_path / "out.parquet")
    table = pd.read_parquet(tmp_path / "out.parquet")
    assert list(table["source"]) == [row["source"] for row in rows]
    values = table[list(insideout_tf.EMOTIONS)].to_numpy()
    text = np.array([[row[name] for name in insideout_tf.EMOTIONS] for row in rows], np.float32)
    assert np.abs(values - text).max() < 1e-6
    names = {each.name for each in tmp_path.iterdir()}
    kinds = ("csv", "jsonl", "parquet")
    assert names == {f"out.{kind}{rest}" for kind in kinds for rest in ("", ".unreadable.csv")}


@pytest.mark.slow
def test_processes_give_the_bytes_of_one(folder, expected, tmp_path, capsys):
    out = tmp_path / "out.csv"
    words = (folder, "--out", out, "--workers", 3, "--model", "nano")
    status, text, err = run_verb(predict.main, capsys, *words)
    assert status == 0 and err == "" and out.read_bytes() == expected
    assert text.startswith(f"{out}: {COUNT - 3} faces in {COUNT} pictures, ")
    assert text.endswith(f"{out}.unreadable.csv: 3 pictures cannot be read\n")
    status, _, err = run_verb(predict.main, capsys, *words)
    assert status == 2 and "expected a new file" in err and err.count("\n") == 1
    assert run_verb(predict.main, capsys, *words, "--overwrite")[0] == 0
    status, text, _ = run_verb(predict.main, capsys, *words, "--resume")
    assert (status, text) == (0, f"{out}: is finished, nothing to do\n")


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_an_interrupted_call_goes_on_without_losing_or_doubling(
    kind, folder, tmp_path, monkeypatch
):
    predict_folder(folder, tmp_path / f"whole.{kind}")
    out, run = tmp_path / f"out.{kind}", bulk.run

    def run_two_chunks(*arguments):
        for index, each in enumerate(run(*arguments)):
            if index == 2:
                raise KeyboardInterrupt
            yield each

    monkeypatch.setattr(bulk, "run", run_two_chunks)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            predict_folder(folder, out, resume=True)
    monkeypatch.undo()
    state = result_files.read_state(out)
    assert (state.done, state.unreadable) == (64, 2)
    if kind == "parquet":
        parts = parquet.list_parts(result_files.work_folder(out))
        assert [len(pd.read_parquet(part)) for part in parts] == [30, 32]
    else:
        with open(out, "ab") as file:  # what a kill may leave after the last note
            file.write(b'{"source": "half a rec')
    with pytest.raises(UserError, match="Add --resume to go on, or --overwrite to begin again"):
        predict_folder(folder, out)
    with pytest.raises(UserError, match="expected tta 'none'. Give the options of the unfinished"):
        predict_folder(folder, out, resume=True, tta="flip")
    other = [folder / "001.png", *sorted(folder.iterdir())]
    with pytest.raises(UserError, match="expected the same first 64 pictures in the same order"):
        predict_folder(other, out, resume=True)
    assert predict_folder(folder, out, resume=True).resumed == 64
    assert out.read_bytes() == (tmp_path / f"whole.{kind}").read_bytes()
    unreadable = [tmp_path / f"{name}.{kind}.unreadable.csv" for name in ("out", "whole")]
    assert unreadable[0].read_bytes() == unreadable[1].read_bytes()


def start(folder, out, *words):
    command = [
        sys.executable,
        "-m",
        "insideout_tf.predict",
        folder,
        "--out",
        out,
        "--model",
        "nano",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [*map(str, command), *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.slow
def test_kills_leave_whole_records_and_resume_gives_the_same_table(folder, expected, tmp_path):
    many = tmp_path / "many"
    for index in range(20):
        shutil.copytree(folder, many / f"{index:02}")
    whole, out = tmp_path / "whole.csv", tmp_path / "out.csv"
    insideout_tf.predict_files(many, whole, "nano")
    random, kills = np.random.default_rng(0), 0
    for attempt in range(4):
        process = start(many, out, "--resume", "--workers", "2")
        deadline = time.monotonic() + 60
        size = out.stat().st_size if out.exists() else 0
        while process.poll() is None and time.monotonic() < deadline:
            if out.exists() and out.stat().st_size != size:
                time.sleep(float(random.uniform(0, 0.2)))
                break
            time.sleep(0.01)
        kills += process.poll() is None
        process.send_signal(signal.SIGKILL if attempt % 2 else signal.SIGTERM)
        process.wait()
        text = out.read_bytes()
        assert text.endswith(b"\n") and whole.read_bytes().startswith(text)
    assert kills >= 2
    process = start(many, out, "--resume")
    assert process.wait(120) == 0
    assert out.read_bytes() == whole.read_bytes()
    unreadable = [tmp_path / f"{name}.csv.unreadable.csv" for name in ("out", "whole")]
    assert unreadable[0].read_bytes() == unreadable[1].read_bytes()


class EndingDetector(detect.FaceDetector):
    """Ends its process at some pictures, as a damaged picture may; at others once."""

    def __init__(self, deadly, once):
        super().__init__("crop")
        self.deadly, self.once = deadly, once

    def __call__(self, image, source=None):
        name = pathlib.Path(source).name
        if name in self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "050.png" and not self.once.exists():
            self.once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(image, source)


@pytest.mark.slow
def test_a_worker_that_ends_loses_nothing_but_the_picture_that_ends_it(folder, tmp_path):
    paths = [str(path) for path in sorted(folder.iterdir())]
    detector = EndingDetector(("018.png",), tmp_path / "once")
    job = bulk.Job(detector, "nano", "litert", True, "none", True)
    rows, errors, order = [], [], []
    for chunk, results in bulk.run(job, paths, 2, None):
        order += chunk
        rows += results.rows
        errors += results.errors
    assert order == paths and detector.once.exists()
    assert [row["source"] for row in rows] == [
        path for path in paths if path[-7:-4] not in ("000", "018", "020", f"{COUNT - 1:03}")
    ]
    assert len(errors) == 4
    assert errors[1][1].endswith("Remove it. Received: one whose process ended")


@pytest.mark.slow
def test_keras_models_recognise_in_the_calling_process(folder, tmp_path, tiny_run):
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    insideout_tf.predict_files(folder, one, tiny_run, workers=1)
    insideout_tf.predict_files(folder, two, tiny_run, workers=2)
    assert one.read_bytes() == two.read_bytes() and one.read_bytes().count(b"\n") == COUNT - 2


def test_lists_name_pictures(folder, expected, tmp_path):
    names = sorted(path.name for path in folder.iterdir())
    text, table = folder / "list.txt", folder / "list.parquet"
    try:
        text.write_text("\n".join(names) + "\n\n")
        pd.DataFrame({"Path": names, "other": 1}).to_parquet(table)
        paths = [str(folder / name) for name in names]
        assert lists.read_list(text) == lists.read_list(table) == paths
        predict_folder(text, tmp_path / "out.csv")
        assert (tmp_path / "out.csv").read_bytes() == expected
    finally:
        text.unlink()
        table.unlink()
    pd.DataFrame({"label": [1]}).to_csv(tmp_path / "no.csv")
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "bytes.txt").write_bytes(b"\0")
    pd.DataFrame({"path": [1]}).to_parquet(tmp_path / "numbers.parquet")
    for name, message in {
        "no.csv": r"expected a column of paths \(source, path",
        "empty.txt": "expected paths of pictures. Write one a line",
        "bytes.txt": "Received: zero bytes",
        "numbers.parquet": "expected paths in the column path",
        "none.txt": "expected a list of pictures. Check the path",
    }.items():
        with pytest.raises(UserError, match=message):
            lists.read_list(tmp_path / name)


@pytest.mark.parametrize(
    "words, message",
    [
        (("--out", "{0}/o.xlsx"), "expected a name that ends in .parquet, .csv, .jsonl"),
        (("--out", "{0}/o.csv", "--json", "-"), "--out: expected no --json. Leave one out"),
        (("--resume",), "--resume: expected --out TABLE. Add it"),
        (("--out", "{0}/o.csv", "--workers", "0"), "workers: expected a whole number, at least 1"),
        (("--out", "{0}/o.csv", "--resume", "--overwrite"), "resume: expected no overwrite"),
        (
            ("--out", "{0}/mine.csv", "--overwrite"),
            "Received: {0}/mine.csv, a file of another kind",
        ),
        (("--out", "{0}/mine.parquet", "--resume"), "a file of another kind"),
    ],
)
def test_refusals_are_one_line(words, message, folder, tmp_path, capsys):
    for name in ("mine.csv", "mine.parquet"):
        (tmp_path / name).write_text("precious")
    given = [word.format(tmp_path) for word in words]
    status, _, err = run_verb(predict.main, capsys, folder, "--model", "nano", *given)
    assert status == 2 and message.format(tmp_path) in err and err.count("\n") == 1
    assert {each.name for each in tmp_path.iterdir()} == {"mine.csv", "mine.parquet"}
    assert (tmp_path / "mine.csv").read_text() == "precious"
