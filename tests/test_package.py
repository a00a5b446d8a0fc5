"""What importing costs, what the verbs say, and which layer may import which."""

import ast
import subprocess
import sys
import time

import pytest
from conftest import ROOT, run_python

import insideout_tf
from insideout_tf import __main__ as listing

LAYERS = (
    {"errors", "emotions", "usages", "config"},
    {
        "cache",
        "fer2013",
        "fer2013_csv",
        "fer2013_files",
        "drawn",
        "ferplus",
        "packaged",
        "images",
        "augment",
        "losses",
        "backbones",
        "metrics",
        "plots",
        "runs",
        "devices",
        "splits",
        "optimizers",
        "quickstart",
        "export_check",
        "faces",
        "video",
        "annotate",
        "records",
    },
    {
        "batches",
        "classifier",
        "averaging",
        "stages",
        "judgement",
        "recognition",
        "conversion",
        "grad_cam",
        "footage",
    },
    {"predict", "explain", "inspect", "train", "evaluate", "export"},
    {"__main__", "__init__"},
)


def imports_of(path):
    """Yields the insideout_tf modules a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("insideout_tf"):
            inner = node.module.removeprefix("insideout_tf").lstrip(".")
            yield from [inner] if inner else [alias.name for alias in node.names]


def test_imports_point_down_only():
    rank = {name: level for level, names in enumerate(LAYERS) for name in names}
    files = {path.stem: path for path in (ROOT / "insideout_tf").glob("*.py")}
    assert set(files) == set(rank)
    for name, path in files.items():
        for imported in imports_of(path):
            assert rank[imported] <= rank[name], f"{name} imports {imported}, of a higher layer"
            if rank[name] == 3:
                assert rank[imported] < 3, f"verb {name} imports verb {imported}"


def test_importing_the_package_loads_no_framework():
    run_python("""
import sys
import insideout_tf, insideout_tf.train, insideout_tf.evaluate, insideout_tf.inspect
import insideout_tf.predict, insideout_tf.export, insideout_tf.explain
heavy = {"tensorflow", "keras", "jax", "torch", "matplotlib", "sklearn", "pandas", "scipy"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
""")


@pytest.mark.parametrize("verb", listing.VERBS)
def test_help_answers_at_once_and_says_what_the_verb_does(verb):
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", f"insideout_tf.{verb}", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"usage: python -m insideout_tf.{verb}" in done.stdout
    assert time.perf_counter() - started < 10  # a framework's import alone takes about that


def test_list_of_verbs_is_complete(capsys):
    listing.main()
    out = capsys.readouterr().out
    for verb in LAYERS[3]:
        assert f"python -m insideout_tf.{verb}" in out


def test_public_api(tmp_path):
    assert insideout_tf.EMOTIONS[3] == "happy"
    faces = insideout_tf.read_faces("drawn")
    assert faces.pixels.shape[1:] == (48, 48)
    with pytest.raises(insideout_tf.UserError, match="run directory or a .keras file"):
        insideout_tf.load(tmp_path / "none")


def test_disk_errors_are_one_line(tmp_path, capsys, monkeypatch):
    import errno

    from insideout_tf import drawn, inspect, plots

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "a.png"))

    monkeypatch.setattr(plots, "save", full)
    monkeypatch.setattr(drawn, "draw_all", lambda draw=drawn.draw_all: draw(14, 7, 7))
    with pytest.raises(SystemExit) as stop:
        inspect.main(["drawn", "--figure", str(tmp_path / "a.png")])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and "No space left on device" in error and error.count("\n") == 1
