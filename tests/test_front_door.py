"""The `insideout` command: its verbs, its recipes, and what it answers to a wrong word."""

import subprocess
import sys

import pytest
from conftest import ROOT, run_verb

import insideout_tf
from insideout_tf import __main__ as front_door
from insideout_tf import overrides, recipes
from insideout_tf.errors import UserError


@pytest.mark.slow
def test_arguments_reach_the_verb(capsys, tmp_path):
    status, out, error = run_verb(
        front_door.main, capsys, "train", "quickstart", "--run-dir", tmp_path / "r", "--dry-run"
    )
    assert status == 0, error
    assert "quickstart: tiny" in out and not (tmp_path / "r").exists()
    status, _, error = run_verb(front_door.main, capsys, "train", "--data", tmp_path / "none.csv")
    assert status == 2 and "none.csv: expected" in error


def test_version_and_help(capsys):
    status, out, _ = run_verb(front_door.main, capsys, "--version")
    assert status == 0 and out == f"insideout_tf {insideout_tf.__version__}\n"
    for arguments in ((), ("--help",), ("-h",)):
        status, out, _ = run_verb(front_door.main, capsys, *arguments)
        assert status == 0 and "train:\n" in out and "ship:\n" in out


def test_unknown_verb_names_the_nearest(capsys):
    status, out, error = run_verb(front_door.main, capsys, "trian", "--data", "x")
    assert status == 2 and not out and error.count("\n") == 1
    assert "Did you mean 'train'?" in error and "Received: 'trian'" in error


@pytest.mark.parametrize("words", [("insideout_tf",), ("insideout_tf.recipes",)])
def test_modules_start_as_programs(words):
    done = subprocess.run(
        [sys.executable, "-m", *words, *(["recipes"] if words == ("insideout_tf",) else [])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    listed = [line.split()[0] for line in done.stdout.splitlines()]
    assert listed == recipes.names() and {"quickstart", "effnet_b2", "insideout_v2s"} <= set(listed)
    assert all(len(line.split()) > 3 for line in done.stdout.splitlines())


def test_a_copied_recipe_is_the_recipe(capsys, tmp_path):
    mine = tmp_path / "mine.py"
    status, out, error = run_verb(recipes.main, capsys, "--copy", "effnet_b2", mine)
    assert status == 0 and f"insideout train {mine}" in out, error
    assert overrides.load(mine) == overrides.load("effnet_b2")
    before = mine.read_bytes()
    status, _, error = run_verb(recipes.main, capsys, "--copy", "quickstart", mine)
    assert status == 2 and "does not exist yet" in error and mine.read_bytes() == before
    status, _, error = run_verb(recipes.main, capsys, "--copy", "efnet_b2", tmp_path / "b.py")
    assert status == 2 and "Did you mean 'effnet_b2'?" in error
    assert not (tmp_path / "b.py").exists()


def test_recipes_are_loaded_by_name_or_by_path(tmp_path):
    with pytest.raises(UserError, match="Did you mean 'quickstart'"):
        overrides.load("quickstrat")
    with pytest.raises(UserError, match="Check the path. Received: nothing there"):
        overrides.load(tmp_path / "none.py")


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--run-dir", "{folder}/run"],
        ["evaluate", "small", "--data", "drawn", "--out", "{folder}/out"],
        ["export", "small", "--out", "{folder}/exported"],
        ["explain", "small", "{folder}/face.png", "--out", "{folder}/map.png"],
        ["predict", "{folder}/face.png", "--engine", "keras"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_terminal_shows_text_before_a_framework_is_imported(arguments, tmp_path):
    """What is slow is announced first: TensorFlow and Keras take ten seconds to import."""
    import os
    import pty

    from PIL import Image

    Image.new("L", (48, 48), 90).save(tmp_path / "face.png")
    code = """
import sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in ("tensorflow", "keras", "jax"):
            sys.stdout.flush()
            print("FRAMEWORK", file=sys.stderr, flush=True)
            raise KeyboardInterrupt
sys.meta_path.insert(0, Watch())
from insideout_tf.__main__ import main
main(sys.argv[1:])
"""
    leader, follower = pty.openpty()
    words = [word.format(folder=tmp_path) for word in arguments]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=follower
    )
    os.close(follower)
    text = b""
    try:
        while chunk := os.read(leader, 4096):
            text += chunk
    except OSError:  # the terminal is closed when the process ends
        pass
    process.wait()
    os.close(leader)
    shown = text.decode()
    assert "loading" in shown.partition("FRAMEWORK")[0] and "FRAMEWORK" in shown
