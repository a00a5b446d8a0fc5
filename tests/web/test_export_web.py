"""The folder that `insideout export --format web` writes, and what it refuses."""

import json
import shutil

import pytest
from conftest import run_verb

from insideout_tf import export as verb
from insideout_tf.api.export_web import export_web
from insideout_tf.errors import UserError


@pytest.mark.slow
def test_the_folder_is_whole_and_allows_its_own_origin_alone(site):
    text = (site / "index.html").read_text()
    assert (
        "default-src 'none'" in text
        and "http" not in text.split("Content-Security-Policy")[1].split(">")[0]
    )
    record = json.loads((site / "export.json").read_text())
    assert [entry["name"] for entry in record["models"]] == ["nano", "tiny"]
    assert all(entry["furthest"] < 1e-4 for entry in record["models"])
    with pytest.raises(UserError, match="an earlier|already|expected"):
        export_web(["nano"], site)


def test_what_has_no_npm_is_one_line(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    status, _, error = run_verb(
        verb.main, capsys, "nano", "--format", "web", "--out", tmp_path / "o"
    )
    assert status == 2 and "expected npm, which fetches LiteRT for browsers once" in error
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    "words, message",
    [
        (("nano", "small"), "expected one model. Several are for --format web"),
        (("nano", "--format", "web,onnx"), "expected web alone"),
        (("nano", "--format", "web", "--format", "onnx"), "expected web alone"),
        (("nano", "--node-modules", "x"), "--node-modules: expected --format web"),
        (
            ("nano", "--format", "web", "--embeddings"),
            "--embeddings: expected another format than web",
        ),
        (
            ("nano", "--format", "web", "--node-modules", "missing"),
            "--node-modules: expected @litertjs",
        ),
        (("no", "--format", "web"), "expected a run folder, a .keras file or a packaged model"),
    ],
)
def test_wrong_options_are_one_line(words, message, capsys, tmp_path):
    status, out, error = run_verb(verb.main, capsys, *words, "--out", tmp_path / "o")
    assert status == 2 and message in error and error.rstrip().count("\n") <= 1
    assert not (tmp_path / "o").exists()


@pytest.mark.slow
def test_two_models_of_one_name_are_refused(node_modules, tmp_path):
    with pytest.raises(UserError, match="expected models of different names"):
        export_web(["nano", "nano"], tmp_path / "o", node_modules=node_modules)
    assert not (tmp_path / "o").exists()
