"""The notebooks are kept with the outputs of their code, and run from top to bottom on small data."""

import importlib.util
import subprocess
import sys

import nbformat
import pytest
from conftest import ROOT


def load_tool():
    """Returns notebooks/execute.py as a module."""
    spec = importlib.util.spec_from_file_location("execute", ROOT / "notebooks/execute.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = load_tool()
notebooks = pytest.mark.parametrize("path", tool.list_notebooks(), ids=lambda path: path.stem)


def test_there_are_six():
    assert [path.stem[0] for path in tool.list_notebooks()] == list("123456")
    page = (ROOT / "docs/examples.md").read_text("utf-8")
    for path in tool.list_notebooks():
        assert f"| `{path.stem}` |" in page


@notebooks
def test_outputs_are_those_of_the_code(path):
    """Each has tables and pictures, no error, no warning, no path of a machine; and is small."""
    assert tool.find_faults(nbformat.read(path, 4), path.stat().st_size) == []


@pytest.mark.parametrize(
    "fault, expected",
    [
        (lambda cell: cell.update(source="1 + 1"), "the outputs are of other code"),
        (lambda cell: cell.update(execution_count=None), "one run from top to bottom"),
        (lambda cell: cell.update(outputs=[output("stdout", "/root/a")]), "a path of this machine"),
        (lambda cell: cell.update(outputs=[output("stdout", "C:\\a")]), "a path of this machine"),
        (
            lambda cell: cell.update(outputs=[output("stderr", "Warning")]),
            "standard error: Warning",
        ),
        (
            lambda cell: cell.update(outputs=[nbformat.v4.new_output("error", ename="E")]),
            "cell 1: E",
        ),
    ],
)
def test_faults_of_outputs_are_named(fault, expected):
    notebook = nbformat.read(tool.list_notebooks()[0], 4)
    fault(tool.code_cells(notebook)[0])
    (found,) = tool.find_faults(notebook, 1)
    assert expected in found
    assert "expected at most 400,000 bytes" in str(tool.find_faults(notebook, 400_001))


def output(name, text):
    return nbformat.v4.new_output("stream", name=name, text=text)


def test_logs_and_the_folder_are_taken_out_of_outputs():
    notebook = nbformat.read(tool.list_notebooks()[0], 4)
    cell = tool.code_cells(notebook)[0]
    log = "2026-01-01 10:00:00.123456: I tensorflow/core/a.cc:1] note\n"
    cell.outputs = [
        output("stdout", "/tmp/x/runs/a\n"),
        output("stderr", log),
        output("stderr", f"{log}UserWarning: mind\n"),
    ]
    tool.clean(notebook, "/tmp/x")
    assert [each.text for each in cell.outputs] == ["runs/a\n", "UserWarning: mind\n"]


@notebooks
def test_the_first_cell_is_for_colab(path, tmp_path):
    """In Colab, here a module of its name, it names what is missing; elsewhere it does nothing."""
    first = tool.code_cells(nbformat.read(path, 4))[0]
    assert first.source.startswith("# Open in Colab\n") and first.outputs == []
    (tmp_path / "google").mkdir()
    (tmp_path / "google/colab.py").touch()
    # What pip would install is printed instead.
    code = first.source.replace("%pip install -q ", "raise SystemExit(f").replace(
        '{SOURCE}"', '{SOURCE}")'
    )
    code = f"import sys\nif len(sys.argv) > 1:\n    import google.colab\n{code}"
    for source, words, expected in (
        ("", (), ""),
        ("", ("colab",), "ValueError: SOURCE: expected where pip finds insideout_tf."),
        ("git+https://host/x.git", ("colab",), " @ git+https://host/x.git"),
    ):
        done = subprocess.run(
            [
                sys.executable,
                "-S",
                "-c",
                code.replace('SOURCE = ""', f'SOURCE = "{source}"'),
                *words,
            ],
            cwd=tmp_path,  # the package is not found here
            env={},
            capture_output=True,
            text=True,
        )
        assert expected in (done.stderr.splitlines() or [""])[-1] and bool(done.stderr) == bool(
            words
        )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder they run in, one after the other: the second trains what others load."""
    return tmp_path_factory.mktemp("notebooks")


@pytest.mark.slow
@notebooks
def test_it_runs(path, folder, small_drawn, monkeypatch):
    monkeypatch.setenv("FER2013", str(small_drawn))
    monkeypatch.setenv("EPOCHS", "1")
    monkeypatch.setenv("FACES", "200")
    notebook = nbformat.read(path, 4)
    tool.run(notebook, folder, seconds=900)
    tool.clean(notebook, folder)
    faults = tool.find_faults(notebook, 0)
    assert not [each for each in faults if "path of this machine" not in each]  # that of the data
