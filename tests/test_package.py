"""What importing costs, what the verbs say, and which layer may import which."""

import ast
import os
import shutil

import pytest
from conftest import ROOT, run_python

import insideout_tf
from insideout_tf import __main__ as listing

VERBS = {
    "predict",
    "explain",
    "inspect",
    "train",
    "sweep",
    "evaluate",
    "compare",
    "audit",
    "report",
    "export",
    "demo",
}
# Lowest first. What stands on one line does not import each other.
LAYERS = (
    {"errors"},
    {"native_notes", "resources"},
    {"targets", "processes", "hosts"},
    {"imports"},
    {"files", "devices", "fields", "progress", "options"},
    {"locks"},
    {"config"},
    {"recipes"},
    {"overrides"},
    {"data"},
    {"network"},
    {"evaluation"},
    {"serving", "training", "photos"},
    {"runs"},
    {"api"},
    {"bulk"},  # a part of the verb predict
    VERBS,
    {"__main__", "__init__"},
)


def part_of(module):
    """Returns the package, or the top-level module, that a dotted name under insideout_tf is in."""
    return module.removeprefix("insideout_tf").lstrip(".").split(".")[0] or "__init__"


def imports_of(path):
    """Yields the part of the package that each import in a file names, wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("insideout_tf"):
            if node.module != "insideout_tf":
                yield part_of(node.module)
            else:
                yield from (alias.name for alias in node.names)


def test_imports_point_down_only():
    rank = {name: level for level, names in enumerate(LAYERS) for name in names}
    folder = ROOT / "insideout_tf"
    for path in folder.rglob("*.py"):
        part = path.relative_to(folder).parts[0].removesuffix(".py")
        assert part in rank, f"{path}: give it a layer"
        for imported in imports_of(path):
            if imported == part or imported not in rank:
                continue
            assert rank[imported] < rank[part], f"{path} imports {imported}, which is not below it"


def test_files_stay_small():
    for path in (ROOT / "insideout_tf").rglob("*.py"):
        lines = path.read_text("utf-8").count("\n")
        assert lines <= 400, f"{path} has {lines} lines: divide it"


def test_importing_the_package_loads_no_framework():
    run_python("""
import sys
import insideout_tf, insideout_tf.train, insideout_tf.evaluate, insideout_tf.inspect
import insideout_tf.predict, insideout_tf.export, insideout_tf.explain, insideout_tf.api.predict
heavy = {"tensorflow", "keras", "jax", "torch", "matplotlib", "sklearn", "pandas", "scipy"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
""")


def test_it_runs_from_a_zip_archive(tmp_path):
    """As Spark's --py-files and zipapp import it."""
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", ROOT, "insideout_tf")
    code = """
import pathlib, sys
import numpy as np
import insideout_tf
from insideout_tf import __main__, native_notes, resources
from insideout_tf.evaluation import page
assert ".zip" in insideout_tf.__file__
print(insideout_tf.predict_emotions(np.zeros((1, 48, 48), np.uint8)).shape)
assert (page.TEMPLATES / "run.html").is_file()
__main__.main(["recipes"])
print(resources.folder())
"""
    done = run_python(code, cwd=tmp_path, env={"PYTHONPATH": archive})
    lines = done.stdout.splitlines()
    assert lines[0] == "(1, 7)" and any(line.startswith("effnet_b2 ") for line in lines)
    assert not os.path.exists(lines[-1]) and done.stderr == ""


@pytest.mark.parametrize("verb", [*sorted(VERBS), "recipes"])
def test_help_answers_at_once_and_says_what_the_verb_does(verb):
    code = """
import contextlib, io, runpy, sys
out = io.StringIO()
sys.argv = [sys.argv[1], "--help"]
with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
    runpy.run_module(sys.argv[0], run_name="__main__")
heavy = {"tensorflow", "keras", "jax", "torch", "matplotlib", "sklearn", "pandas", "scipy", "cv2"}
heavy |= {"gradio", "jinja2"}
print(out.getvalue(), "loaded", sorted(heavy & set(sys.modules)))
"""
    done = run_python(code, f"insideout_tf.{verb}")
    assert done.stdout.startswith(f"usage: insideout {verb}")
    assert done.stdout.endswith("loaded []\n"), done.stdout


def test_list_of_verbs_is_complete(capsys):
    listing.main(["--help"])
    out = capsys.readouterr().out
    for verb in (*VERBS, "recipes"):
        assert f"  insideout {verb} " in out


@pytest.mark.slow
def test_public_api(tmp_path):
    assert insideout_tf.EMOTIONS[3] == "happy"
    faces = insideout_tf.read_faces("drawn")
    assert faces.pixels.shape[1:] == (48, 48)
    with pytest.raises(insideout_tf.UserError, match="run folder, a .keras file"):
        insideout_tf.load(tmp_path / "none")


def test_disk_errors_are_one_line(tmp_path, capsys, monkeypatch):
    import errno

    from insideout_tf import inspect
    from insideout_tf.data import drawn
    from insideout_tf.evaluation import plots

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "a.png"))

    monkeypatch.setattr(plots, "save", full)
    monkeypatch.setattr(drawn, "draw_all", lambda draw=drawn.draw_all: draw(14, 7, 7))
    with pytest.raises(SystemExit) as stop:
        inspect.main(["drawn", "--figure", str(tmp_path / "a.png")])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and "No space left on device" in error and error.count("\n") == 1
