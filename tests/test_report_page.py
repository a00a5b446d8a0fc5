"""`insideout report`: pages of real runs in a real browser, and what is refused."""

import functools
import json
import pathlib
import shutil

import numpy as np
import pytest
from browser_helpers import open_browser, watch
from conftest import ROOT, run_verb

import insideout_tf
from insideout_tf import files, report, runs
from insideout_tf.data import drawn
from insideout_tf.errors import UserError
from insideout_tf.evaluation import comparison, page

EVIDENCE = ROOT / "experiments/results"
FIXTURE = ROOT / "tests/fixtures/run_of_0_1"


draw_once = functools.cache(drawn.draw_all)


@pytest.fixture(autouse=True)
def drawn_once(monkeypatch):
    """Lets all tests share one set of drawn faces, which takes seconds to draw."""
    monkeypatch.setattr(drawn, "draw_all", draw_once)


@pytest.fixture
def old_run(tmp_path):
    """A copy of a run that release 0.1 made."""
    return shutil.copytree(FIXTURE, tmp_path / "old")


def look(path, scheme="light", width=1280):
    """Returns what a browser without a network says about a page, a dict."""
    with open_browser() as browser:
        context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
        context.set_offline(True)
        view = context.new_page()
        seen = watch(view)
        view.goto(pathlib.Path(path).resolve().as_uri())
        sizes = view.evaluate(
            """() => [...document.querySelectorAll("svg.chart, .faces img, .matrix, h1")].map(
                (each) => [each.tagName, each.getBoundingClientRect().width,
                           each.tagName === "IMG" ? each.naturalWidth : 1])"""
        )
        found = {
            "seen": seen,
            "sizes": sizes,
            "background": view.evaluate("getComputedStyle(document.body).backgroundColor"),
            "overflow": view.evaluate("document.documentElement.scrollWidth - innerWidth"),
            "order": [],
        }
        head = view.locator("#run-1-classes th button", has_text="recall").first
        for _ in range(2):
            head.click()
            found["order"].append(
                view.locator("#run-1-classes tbody tr").evaluate_all(
                    "rows => rows.map(row => Number(row.cells[3].dataset.value))"
                )
            )
        return found


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_without_network_shows_every_figure(scheme, width, old_run, tmp_path):
    out = insideout_tf.report_runs(old_run, tmp_path / "page.html")
    found = look(out, scheme, width)
    assert found["seen"] == []
    kinds = [kind for kind, *_ in found["sizes"]]
    assert kinds.count("svg") == 3 and kinds.count("IMG") == page.MAX_MISTAKES
    assert kinds.count("TABLE") == kinds.count("H1") == 1
    assert all(shown > 60 and natural > 0 for _, shown, natural in found["sizes"])
    assert found["overflow"] <= 0
    red = int(found["background"].removeprefix("rgb(").split(",")[0])
    assert red > 200 if scheme == "light" else red < 60
    falling, rising = found["order"]
    assert falling == sorted(falling, reverse=True) and rising == sorted(rising)


@pytest.mark.slow
def test_training_ends_with_its_page(tiny_run, tmp_path):
    text = (tiny_run / runs.REPORT).read_text("utf-8")
    assert text.startswith(page.BEGIN) and "mistakes" in text and "data:image/png" in text
    again = insideout_tf.open_run(tiny_run).report(tmp_path / "again.html").read_text("utf-8")
    shown = [each.partition("run-1-settings")[0] for each in (text, again)]
    assert shown[0] == shown[1]


@pytest.mark.slow
def test_a_failed_page_does_not_lose_the_run(
    tiny_experiment, small_drawn, tmp_path, monkeypatch, capsys
):
    from insideout_tf import train

    monkeypatch.setattr(page, "render", lambda records: 1 / 0)
    words = (
        tiny_experiment,
        "--data",
        small_drawn,
        "--run-dir",
        tmp_path / "run",
        "--epochs",
        "1,1",
    )
    status, out, error = run_verb(train.main, capsys, *words)
    assert status == 0 and "report.html was not written (ZeroDivisionError" in out, error
    assert (tmp_path / "run/metrics.json").exists() and not (tmp_path / "run/report.html").exists()


@pytest.mark.slow
def test_runs_with_other_faces_are_shown_beside_each_other(old_run, tmp_path, capsys):
    """The evidence of three seeds: the pictures of the mistakes need data that are not here."""
    seeds = [EVIDENCE / f"insideout_v2s_grown/seed{seed}" for seed in range(3)]
    out = tmp_path / "page.html"
    status, printed, error = run_verb(report.main, capsys, *seeds, old_run, "--out", out)
    assert status == 0 and str(out) in printed, error
    text = out.read_text("utf-8")
    assert text.count("Not compared face by face") == 1
    assert text.count("Their pictures are not shown") == 3
    gains = comparison.compare(*read_evidence(seeds))["b"]["gain"]
    low, high = (f"{100 * each:+.1f}".replace("-", "−") for each in gains["accuracy"][1:])
    assert f"{low} to {high}" in text


def read_evidence(folders):
    """Returns the labels, the probabilities of the first two folders by name, and the classes."""
    saved = [np.load(folder / "predictions.npz") for folder in folders[:2]]
    probabilities = dict(zip("ab", (each["probabilities"] for each in saved)))
    return saved[0]["labels"], probabilities, [str(name) for name in saved[0]["classes"]]


def test_names_tell_runs_apart():
    from insideout_tf.api.report import name_runs

    paths = [pathlib.Path(each) for each in ("/a/x/seed0", "/a/y/seed0", "/a/y/seed1")]
    assert name_runs(paths) == ["x/seed0", "y/seed0", "y/seed1"]
    assert name_runs(paths[1:]) == ["seed0", "seed1"]


@pytest.mark.slow
def test_an_evaluation_of_another_split(old_run, tmp_path, capsys):
    out = tmp_path / "page.html"
    status, _, error = run_verb(report.main, capsys, old_run, "--out", out, "--split", "private")
    assert status == 2 and "insideout evaluate RUN --split private" in error and not out.exists()
    other = old_run / "private"
    from insideout_tf.evaluation.report import KIND

    files.mark(other, KIND)
    for name in ("metrics.json", "predictions.npz"):
        shutil.copy(old_run / name, other / name)
    summary = json.loads((other / "metrics.json").read_text()) | {"split": "PrivateTest"}
    (other / "metrics.json").write_text(json.dumps(summary))
    status, _, error = run_verb(report.main, capsys, old_run, "--out", out, "--split", "private")
    text = out.read_text("utf-8")
    assert status == 0 and "All evaluations of this run" in text and "PrivateTest, 600" in text


@pytest.mark.parametrize(
    "name, content, expected",
    [
        ("predictions.npz", b"no", "predictions.npz: expected the predictions of an evaluation"),
        ("predictions.npz", None, "Received: nothing there"),
        ("metrics.json", b"[]", "expected a JSON object"),
        ("metrics.json", b'{"split": "x", "leaks": {"n": "1"}}', "expected numbers as leaks"),
        ("metrics.json", None, "expected a finished run"),
        ("history.csv", b"stage,epoch\nhead,one\n", "expected a CSV file of the epochs"),
        ("history.csv", b"\xff\xfe\x00", "expected a CSV file of the epochs"),
        ("config.json", b"{}", "config.json"),
        ("environment.json", b"{", "expected JSON"),
        ("config.json", None, "expected a run folder"),
    ],
)
def test_a_damaged_run_is_one_line(name, content, expected, old_run, tmp_path, capsys):
    (old_run / name).unlink()
    if content is not None:
        (old_run / name).write_bytes(content)
    out = tmp_path / "page.html"
    status, _, error = run_verb(report.main, capsys, old_run, "--out", out)
    assert status == 2 and expected in error and error.count("\n") == 1, error
    assert not out.exists()


def test_predictions_that_do_not_fit_are_refused(old_run, tmp_path):
    from insideout_tf.evaluation.report import read_predictions

    path = tmp_path / "predictions.npz"
    with np.load(old_run / "predictions.npz") as saved:
        good = dict(saved)
    for changes in (
        {"labels": good["labels"][1:]},
        {"labels": np.full(600, 7, np.uint8)},
        {"rows": good["rows"][1:]},
        {"probabilities": np.full((600, 7), np.nan, np.float16)},
        {"classes": np.array(["a"] * 7)},
        {"labels": np.array([object()] * 600)},
    ):
        np.savez(path, **(good | changes))
        with pytest.raises(UserError, match="expected the predictions of an evaluation"):
            read_predictions(path)
    np.savez(path, **good)
    assert read_predictions(path)[3] == tuple(good["classes"])


def test_other_options_that_are_wrong(old_run, tmp_path, capsys):
    out = tmp_path / "page.html"
    for words, expected in (
        ((old_run, "--out", tmp_path / "page.png"), "expected a file name ending in .html"),
        ((old_run, "--out", out, "--data", tmp_path / "none.csv"), "none.csv: expected"),
        ((tmp_path / "none", "--out", out), "expected a run folder"),
        (("small", "--out", out), "expected a run folder"),
    ):
        status, _, error = run_verb(report.main, capsys, *words)
        assert status == 2 and expected in error and error.count("\n") == 1, error
    with pytest.raises(UserError, match="expected 1 to 12 runs. Received: 0"):
        insideout_tf.report_runs([], out)
    assert not out.exists()


@pytest.mark.slow
def test_other_data_than_those_of_the_evaluation(old_run, small_drawn, tmp_path):
    with pytest.raises(UserError, match="--data: expected the faces that were evaluated"):
        insideout_tf.report_runs(old_run, tmp_path / "page.html", data=small_drawn)
