"""Prediction on Ray's workers: the table of one process, also if a worker is killed in the middle."""

import os
import pathlib
import signal
import threading
import time

import numpy as np
import pytest
from conftest import run_verb
from PIL import Image

import insideout_tf
from insideout_tf import predict
from insideout_tf.api import ray_files
from insideout_tf.errors import UserError

COUNT = 640


def test_ray_is_an_extra(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(ray_files.imports, "is_installed", lambda name: name != "ray")
    Image.new("L", (48, 48)).save(tmp_path / "a.png")
    words = (tmp_path / "a.png", "--out", tmp_path / "o.csv", "--ray")
    status, _, err = run_verb(predict.main, capsys, *words)
    assert status == 2 and "--ray: expected the package ray. Install it with" in err
    with pytest.raises(UserError, match="expected the package ray"):
        insideout_tf.predict_files(tmp_path, tmp_path / "o.csv", ray="auto")


def list_workers():
    """Returns the process numbers of Ray's workers that recognise."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"ray::MapWorker" in entry.read_bytes():
                found.append(int(entry.parent.name))
        except OSError:
            pass
    return found


@pytest.mark.slow
def test_two_workers_give_the_table_of_one_though_one_is_killed(small_drawn, tmp_path):
    pytest.importorskip("ray")
    folder = tmp_path / "faces"
    folder.mkdir()
    with np.load(small_drawn) as data:
        faces = data["pixels"]
    for index in range(COUNT):
        Image.fromarray(faces[index % len(faces)]).save(folder / f"{index:04}.png")
    (folder / "0100.png").write_bytes(b"no picture")
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    insideout_tf.predict_files(folder, one, "nano", workers=1)
    before, killed = set(list_workers()), []

    def kill_one():
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and not killed:
            if two.exists() and two.stat().st_size > 1000:  # the first records are there
                for number in set(list_workers()) - before:
                    os.kill(number, signal.SIGKILL)
                    killed.append(number)
                    return
            time.sleep(0.002)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    summary = insideout_tf.predict_files(folder, two, "nano", workers=2, ray="local")
    killer.join(1)
    assert killed and (summary.pictures, summary.unreadable) == (COUNT, 1)
    assert two.read_bytes() == one.read_bytes()
    unreadable = [pathlib.Path(f"{out}.unreadable.csv").read_bytes() for out in (one, two)]
    assert unreadable[0] == unreadable[1]
