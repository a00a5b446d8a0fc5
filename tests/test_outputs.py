"""No verb writes over a file that it did not make; a new verb is one more row of each table."""

import csv
import errno
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, run_python, run_verb
from PIL import Image

from insideout_tf import (
    audit,
    compare,
    errors,
    evaluate,
    explain,
    export,
    files,
    inspect,
    predict,
    recipes,
    runs,
    train,
)
from insideout_tf import report as report_verb
from insideout_tf import sweep as sweep_verb
from insideout_tf.api import sweep
from insideout_tf.evaluation import report
from insideout_tf.photos import draw, records

pytestmark = pytest.mark.slow

PRECIOUS = b"precious"


@pytest.fixture
def place(tmp_path, tiny_run, small_drawn):
    """A folder with a face, a video's worth of names, data and a run, as the current folder's input."""
    with np.load(small_drawn) as data:
        Image.fromarray(data["pixels"][0]).save(tmp_path / "face.png")
    shutil.copy(small_drawn, tmp_path / "data.npz")
    shutil.copy(tiny_run / "model.keras", tmp_path / "mine.keras")
    shutil.copytree(tiny_run, tmp_path / ".run")
    return tmp_path


MODELS = ["nano", "small", "--data", "{0}/data.npz", "--split", "public"]
# verb and option: (main, words before the option, the input that an output could be).
FILE_OUTPUTS = {
    "predict --json": (predict.main, ["{0}/face.png"], "face.png"),
    "predict --jsonl": (predict.main, ["{0}/face.png"], "face.png"),
    "predict --csv": (predict.main, ["{0}/face.png"], "face.png"),
    "predict --out": (predict.main, ["{0}/face.png"], "face.png"),
    "explain --out": (explain.main, ["small", "{0}/face.png", "--faces", "crop"], "face.png"),
    "inspect --figure": (inspect.main, ["{0}/data.npz"], None),
    "compare --out": (compare.main, MODELS, None),
    "compare --json": (compare.main, MODELS, None),
    "report --out": (report_verb.main, ["{0}/.run"], None),
}
FOLDER_OUTPUTS = {
    "evaluate --out": (evaluate.main, ["small", "--data", "{0}/data.npz"]),
    "export --out": (export.main, ["small", "--format", "litert"]),
    "train --run-dir": (train.main, ["quickstart", "--data", "{0}/data.npz", "--epochs", "1"]),
    "sweep --out": (sweep_verb.main, ["--data", "{0}/data.npz", "--space", "dropout=0:0.5"]),
}
# Outputs that are files in a folder, which may hold others.
FOLDERS_OF_FILES = {
    "predict --annotate": (predict.main, ["{0}/face.png"]),
    "audit --out": (audit.main, ["--data", "{0}/data.npz", "--folds", "2"]),
}


def name_output(row):
    """Returns the name of the file that the verb of a row writes; pages and tables have their own suffix."""
    suffixes = {"report --out": "html", "predict --out": "csv"}
    return f"o.{suffixes.get(row, 'png')}"


def call(capsys, row, table, place, output, *words):
    """Runs the verb of a row with its output at `output`; returns (status, stdout, stderr)."""
    main, before = table[row][:2]
    option = row.split()[1]
    given = [word.format(place) for word in before]
    return run_verb(main, capsys, *given, option, output, *words)


def content(folder):
    """Returns what lies in a folder: {relative path: bytes, target of a link or kind}."""
    return {
        str(path.relative_to(folder)): os.readlink(path)
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else path.stat().st_mode
        for path in folder.rglob("*")
    }


def write_file(path):
    path.write_bytes(PRECIOUS)


def write_link(path):
    write_file(path.with_name("target"))
    path.symlink_to(path.with_name("target"))


def write_dangling_link(path):
    path.symlink_to(path.with_name("nothing"))


def write_folder(path):
    path.mkdir()
    write_file(path / "thesis.txt")


IN_THE_WAY = {
    "a file of the user": write_file,
    "a link": write_link,
    "a dangling link": write_dangling_link,
    "a pipe": os.mkfifo,
    "a folder": write_folder,
}


@pytest.mark.parametrize("obstacle", IN_THE_WAY)
@pytest.mark.parametrize("row", FILE_OUTPUTS)
def test_a_file_output_that_is_not_ours_is_refused(row, obstacle, place, capsys):
    output = place / name_output(row)
    IN_THE_WAY[obstacle](output)
    before = content(place)
    for words in ((), ("--overwrite",)):
        status, out, error = call(capsys, row, FILE_OUTPUTS, place, output, *words)
        assert status == 2 and out == "" and error.count("\n") == 1, error
        assert f"{row.split()[1]}: expected" in error and output.name in error
    assert content(place) == before


@pytest.mark.parametrize("row", [row for row in FILE_OUTPUTS if FILE_OUTPUTS[row][2]])
def test_an_output_that_is_an_input_is_refused(row, place, capsys):
    os.link(place / "face.png", place / "same.png")
    before = content(place)
    for name in ("face.png", "same.png"):
        words = (place / name, "--overwrite")
        status, out, error = call(capsys, row, FILE_OUTPUTS, place, *words)
        assert status == 2 and out == "" and error.count("\n") == 1, error
    assert content(place) == before


@pytest.mark.parametrize("row", FILE_OUTPUTS)
def test_an_earlier_output_is_replaced_only_on_demand(row, place, capsys):
    output = place / name_output(row)
    status, _, error = call(capsys, row, FILE_OUTPUTS, place, output)
    assert status == 0, error
    before = content(place)
    status, _, error = call(capsys, row, FILE_OUTPUTS, place, output)
    assert status == 2 and "--overwrite" in error and content(place) == before
    status, _, error = call(capsys, row, FILE_OUTPUTS, place, output, "--overwrite")
    assert status == 0 and content(place) == before, error


OBSTACLES_OF_FOLDERS = {
    "a file of the user": write_file,
    "a dangling link": write_dangling_link,
    "a pipe": os.mkfifo,
    "a folder of the user": write_folder,
    "a folder with an empty config": lambda path: (path.mkdir(), (path / "config.json").touch()),
    "our folder with a file of the user": None,
    "a folder of another verb": None,
}
KINDS = {
    "evaluate --out": report.KIND,
    "export --out": __import__("insideout_tf.api.export", fromlist=["KIND"]).KIND,
    "train --run-dir": runs.KIND,
    "sweep --out": sweep.KIND,
}


@pytest.mark.parametrize("obstacle", OBSTACLES_OF_FOLDERS)
@pytest.mark.parametrize("row", FOLDER_OUTPUTS)
def test_a_folder_that_is_not_ours_is_refused(row, obstacle, place, capsys, tiny_run):
    output = place / "o"
    if obstacle == "our folder with a file of the user":
        files.mark(output, KINDS[row])
        (output / "config.json").write_text((tiny_run / "config.json").read_text())
        write_file(output / "thesis.txt")
    elif obstacle == "a folder of another verb":
        other = [kind for name, kind in KINDS.items() if name != row][0]
        files.mark(output, other)
        write_file(output / "metrics.json")
    else:
        OBSTACLES_OF_FOLDERS[obstacle](output)
    before = content(place)
    for words in ((), ("--overwrite",)):
        status, out, error = call(capsys, row, FOLDER_OUTPUTS, place, output, *words)
        assert status == 2 and out == "" and error.count("\n") == 1, error
        assert f"{output}: expected" in error
    assert content(place) == before


@pytest.mark.parametrize("obstacle", [name for name in IN_THE_WAY if name != "a folder"])
@pytest.mark.parametrize("row", FOLDERS_OF_FILES)
def test_a_folder_of_files_is_a_folder_and_its_files_are_ours(row, obstacle, place, capsys):
    names = {"audit --out": ("label_errors.csv", "label_errors.png")}
    (place / "d").mkdir()
    outputs = [place / "o"]
    for name in names.get(row, ("face-annotated.png",)):
        outputs.append(place / f"d-{name}" / name)
        outputs[-1].parent.mkdir()
    for output in outputs:
        IN_THE_WAY[obstacle](output)
    before = content(place)
    for output in (outputs[0], *(each.parent for each in outputs[1:])):
        status, out, error = call(capsys, row, FOLDERS_OF_FILES, place, output, "--overwrite")
        assert status == 2 and out == "" and error.count("\n") == 1, error
        assert f"{row.split()[1]}: expected" in error and str(output) in error
    assert content(place) == before


@pytest.mark.parametrize("obstacle", IN_THE_WAY)
def test_the_copy_of_a_recipe_replaces_nothing(obstacle, place, capsys):
    IN_THE_WAY[obstacle](place / "mine.py")
    before = content(place)
    words = ("--copy", "quickstart", place / "mine.py")
    status, out, error = run_verb(recipes.main, capsys, *words)
    assert status == 2 and out == "" and "mine.py: expected a file that does not exist" in error
    assert content(place) == before


def test_an_evaluation_replaces_nothing_that_it_reads(place, capsys):
    words = ("small", "--data", place / "data.npz", "--out", place / "o")
    assert run_verb(evaluate.main, capsys, *words)[0] == 0
    shutil.copy(place / "data.npz", place / "o/predictions.npz")
    before = content(place)
    words = ("small", "--data", place / "o/predictions.npz", "--out", place / "o", "--overwrite")
    status, out, error = run_verb(evaluate.main, capsys, *words)
    assert status == 2 and "--data: expected a path outside the folder" in error
    assert content(place) == before


CHECKED_FIRST = {
    "evaluate": ["small", "--data", "none.csv"],
    "export": ["small", "--data", "none.csv", "--out", "o"],
    "compare": ["small", "nano", "--data", "none.csv"],
    "audit": ["--data", "none.csv"],
    "audit --model": ["--data", "{0}/data.npz", "--model", "none.keras"],
    "train": ["quickstart", "--data", "none.csv"],
    "inspect": ["none.csv"],
}


@pytest.mark.parametrize("row", CHECKED_FIRST)
def test_a_path_is_checked_before_a_model_is_loaded(row, place):
    code = """
import importlib, sys
try:
    importlib.import_module(f"insideout_tf.{sys.argv[1]}").main(sys.argv[2:])
except SystemExit as error:
    print(error.code, "keras" in sys.modules)
"""
    words = [word.format(place) for word in CHECKED_FIRST[row]]
    done = run_python(code, row.split()[0], *words)
    assert done.stdout == "2 False\n", done.stdout + done.stderr
    assert "none." in done.stderr and done.stderr.count("\n") == 1


def test_one_name_for_two_outputs_is_refused(place, capsys):
    for first, second in ((place / "o", place / "o"), (place / "o", f"{place}/../{place.name}/o")):
        words = (place / "face.png", "--json", first, "--csv", second)
        status, out, error = run_verb(predict.main, capsys, *words)
        assert status == 2 and out == "" and "expected a file of its own" in error
    clash = place / "d/face-annotated.png"
    words = (place / "face.png", "--annotate", place / "d", "--jsonl", clash)
    status, _, error = run_verb(predict.main, capsys, *words)
    assert status == 2 and "expected a file of its own" in error and not (place / "d").exists()


def test_annotated_copies_have_names_of_their_own(place, capsys):
    """Beside the originals, twice, with a folder that holds the copies of the first time."""
    (place / "data.npz").unlink()
    write_file(place / "x.png")
    before = content(place)
    words = (place / "face.png", "--annotate", place)
    assert run_verb(predict.main, capsys, *words)[0] == 0
    after = content(place)
    assert set(after) - set(before) == {"face-annotated.png"}
    assert all(after[name] == before[name] for name in before)
    (place / "x.png").unlink()
    words = (place, "--annotate", place / "out", "--json", "-")
    for more in ((), ("--overwrite",)):
        (place / "out/.hidden.png").parent.mkdir(exist_ok=True)
        status, out, error = run_verb(predict.main, capsys, *words, *more)
        assert status == 0 and error.startswith("insideout predict: not read: 1 .keras, since")
        assert error.count("\n") == 1
        assert [each["source"] for each in json.loads(out)] == [str(place / "face.png")]
    status, out, error = run_verb(predict.main, capsys, *words)
    assert status == 2 and out == "" and "--annotate: expected a new file" in error
    write_file(place / "out/face-annotated.png")
    status, _, error = run_verb(predict.main, capsys, *words, "--overwrite")
    assert status == 2 and (place / "out/face-annotated.png").read_bytes() == PRECIOUS


def test_evaluation_without_a_run_writes_nothing(place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    before = content(place)
    status, out, error = run_verb(evaluate.main, capsys, "small", "--data", "data.npz")
    assert status == 0 and "--out FOLDER" in out, error
    assert content(place) == before
    same = ("small", "--data", "data.npz", "--out", "o")
    assert run_verb(evaluate.main, capsys, *same)[0] == 0
    assert run_verb(evaluate.main, capsys, *same)[0] == 0  # the same evaluation
    for other in (("--split", "private"), ("--tta", "flip")):
        status, _, error = run_verb(evaluate.main, capsys, *same, *other)
        assert status == 2 and "add --overwrite" in error
    assert run_verb(evaluate.main, capsys, *same, "--split", "private", "--overwrite")[0] == 0
    assert json.loads((place / "o/metrics.json").read_text())["split"] == "PrivateTest"


def test_export_never_replaces_the_current_folder(place, capsys, monkeypatch):
    (place / "o").mkdir()
    monkeypatch.chdir(place / "o")
    status, _, error = run_verb(export.main, capsys, "small", "--format", "litert", "--out", ".")
    assert status == 2 and "expected another folder than the current one" in error
    assert list(place.joinpath("o").iterdir()) == []


def test_two_exports_to_one_folder_keep_the_first(tmp_path):
    kind = KINDS["export --out"]
    with pytest.raises(errors.UserError, match="expected nothing there yet"):
        with files.replacing_folder(tmp_path / "o", kind) as second:
            (second / "export.json").write_text("2")
            with files.replacing_folder(tmp_path / "other", kind) as first:
                (first / "export.json").write_text("1")
            (tmp_path / "other").rename(tmp_path / "o")
    assert (tmp_path / "o/export.json").read_text() == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["o"]


def test_a_file_that_appears_in_the_meantime_stays(tmp_path):
    path = tmp_path / "a.png"
    with pytest.raises(FileExistsError), files.replacing(path, overwrite=False) as temporary:
        temporary.write_bytes(b"new")
        write_file(path)
    assert path.read_bytes() == PRECIOUS and list(tmp_path.iterdir()) == [path]


# Names of files, and how a line of text and a row of CSV show them.
NAMES = {
    "a$\\frac$b.png": ("a$\\frac$b.png", None),
    "bytes\udcff\udcfe.png": ("bytes\\xff\\xfe.png", None),
    "two\nlines.png": ("two\\nlines.png", None),
    "red\x1b[31m.png": ("red\\x1b[31m.png", None),
    "return\r.png": ("return\\r.png", None),
    "turn\u202egnp.png": ("turn\\u202egnp.png", None),
    "=cmd().png": ("=cmd().png", "./=cmd().png"),
    "-dash.png": ("-dash.png", "./-dash.png"),
    "@at.png": ("@at.png", "./@at.png"),
    "+plus.png": ("+plus.png", "./+plus.png"),
    "größe × 顔.png": ("größe × 顔.png", None),
}


def test_odd_names_are_shown_escaped_and_written_safely(place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    os.mkdir("odd")
    monkeypatch.chdir("odd")
    for name in NAMES:
        shutil.copy("../face.png", name)
    words = ["--", *NAMES]
    outputs = ("--csv", "o.csv", "--json", "o.json", "--jsonl", "o.jsonl", "--annotate", "d")
    status, out, error = run_verb(predict.main, capsys, *outputs, *words)
    assert status == 0 and error == ""
    lines = out.splitlines()
    assert [line.split(": ")[0] for line in lines] == [shown for shown, _ in NAMES.values()]
    assert all(line.isprintable() for line in lines)
    rows = pathlib.Path("o.csv").read_text("utf-8").split("\n")
    assert len(rows) == len(NAMES) + 2 and "\r" not in "".join(rows)
    found = [row["source"] for row in csv.DictReader(rows)]
    assert found == [cell or shown for shown, cell in NAMES.values()]
    for listed in (
        json.loads(pathlib.Path("o.json").read_bytes()),
        [json.loads(line) for line in pathlib.Path("o.jsonl").read_bytes().splitlines()],
    ):
        assert [each["source"] for each in listed] == list(NAMES)  # the very names
    assert len(os.listdir("d")) == len(NAMES)
    assert all(name.isprintable() for name in os.listdir("d"))
    status, out, error = run_verb(explain.main, capsys, "small", "--out", "e.png", "--", *NAMES)
    assert status == 0 and error == "" and out.count("\n") == len(NAMES) + 1
    for name in NAMES:
        if name.startswith("-"):
            continue
        status, out, error = run_verb(explain.main, capsys, "small", name, "--out", f"{name}.e.png")
        assert status == 0 and error == "" and out.count("\n") == 2, error


def test_errors_show_odd_names_escaped(capsys):
    for name in ("none\x1b[2J\n\r.png", "none\udcff.png"):
        for main, words in ((predict.main, [name]), (inspect.main, [name])):
            status, _, error = run_verb(main, capsys, *words)
            assert status == 2 and all(line.isprintable() for line in error.splitlines())
            assert "none\\x" in error


OUT = ("--out", "c.md", "--json", "c.json")  # of compare


def write_tree(folder, name, classes=("happy", "sad")):
    """Writes six different faces of each class, with `name` in the names of their files."""
    noise = np.random.default_rng(0)
    for each in classes:
        (folder / each).mkdir(parents=True)
        for index in range(6):
            pixels = noise.integers(0, 256, (48, 48), np.uint8)
            Image.fromarray(pixels).save(folder / each / f"{index}{name}.png")
    return folder


def test_data_of_odd_names(place, tiny_experiment, capsys, monkeypatch):
    """Every verb that reads data takes names as they are, shows them escaped and writes UTF-8."""
    monkeypatch.chdir(place)
    name = "a$\\frac$|two\nlines\x1b[31m"
    odd = f"{name}\udcff"
    data = write_tree(pathlib.Path(f"data{odd}"), odd)
    small = ("--set", "split=stratified", "--batch-size", "4", "--epochs", "1,1", "--verbose", "0")
    for main, words in (
        (inspect.main, (data, "--figure", f"{odd}.png")),
        (audit.main, ("--data", data, "--folds", "2", "--out", f"audit{odd}")),
        (compare.main, ("nano", "small", "--data", data, "--split", "all", *OUT)),
        (evaluate.main, ("small", "--data", data, "--split", "all", "--out", f"e{odd}")),
        (train.main, (tiny_experiment, "--data", data, "--run-dir", f"run{name}", *small)),
        (export.main, (f"run{name}", "--format", "litert", "--out", f"x{name}")),
    ):
        status, out, error = run_verb(main, capsys, *words)
        assert status == 0 and error == "", error
        assert all(line.isprintable() for line in out.split("\n")), out
    assert runs.experiment_of(f"run{name}").data == str(place / data)
    assert json.loads(pathlib.Path("c.json").read_text("utf-8"))[0]["data"] == str(data)
    for table in ("label_errors.csv", "near_duplicates.csv"):
        rows = csv.DictReader(pathlib.Path(f"audit{odd}", table).open(encoding="utf-8"))
        assert all(cell.isprintable() for row in rows for cell in row.values())
    for main, words in (
        (train.main, ("quickstart", "--run-dir", f"run{odd}")),
        (export.main, ("nano", "--out", f"x{odd}")),
    ):
        status, out, error = run_verb(main, capsys, *words)
        assert status == 2 and "expected a name in UTF-8" in error and error[:-1].isprintable()


@pytest.mark.parametrize("name", ["two\nlines", "red\x1b[31m", "bytes\udcff"])
def test_names_of_classes_are_printable(name, place, capsys):
    """They are lines of labels.txt and of tables."""
    write_tree(place / "tree", "", ("happy", name))
    for main, words in ((inspect.main, ()), (train.main, ("quickstart", "--data"))):
        status, _, error = run_verb(main, capsys, *words, place / "tree")
        assert status == 2 and "expected printable names of classes" in error, error
        assert error.count("\n") == 1 and error[:-1].isprintable()


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437:strict"])
def test_nothing_printed_depends_on_the_encoding(encoding, place):
    shutil.copy(place / "face.png", place / "顔 ×.png")
    Image.new("RGB", (300, 200), (90, 90, 90)).save(place / "wall.png")
    env = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    code = "import sys; from insideout_tf.__main__ import main; main(sys.argv[1:])"

    def run(*words):
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, words)],
            cwd=ROOT,
            capture_output=True,
            env={**os.environ, **env},
        )
        decoding = encoding.partition(":")[0]
        return done.returncode, done.stdout.decode(decoding), done.stderr.decode(decoding)

    for words in (
        ["predict", place / "顔 ×.png", place / "wall.png"],
        ["predict", place / "顔 ×.png", "--csv", "-"],
        ["predict", "--help"],
        ["inspect", place / "data.npz"],
        [],
    ):
        status, _, error = run(*words)
        assert status == 0 and error == ""
    _, out, _ = run("predict", place / "顔 ×.png", "--json", "-")
    assert json.loads(out)[0]["source"].endswith("顔 ×.png")
    status, _, error = run("predict", place / "無.png")
    assert status == 2 and "\\u7121.png" in error


CLOSED = """
import os, sys
os.execv(sys.executable, [sys.executable, "-m", "insideout_tf", *sys.argv[2:]])
"""


@pytest.mark.parametrize("stream", [1, 2])
def test_a_closed_stream_is_no_error(stream, place):
    output = place / "o.json"
    code = f"import os, sys; os.close({stream})\n" + CLOSED
    words = ["x", "predict", str(place / "face.png"), "--json", str(output)]
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(output.read_text())) == 1


def test_no_home_and_no_cache(place):
    env = {"HOME": "/nonexistent", "XDG_CACHE_HOME": "", "MPLCONFIGDIR": ""}
    code = "import sys; from insideout_tf.__main__ import main; main(sys.argv[1:])"
    before = content(place)
    done = run_python(code, "inspect", place / "data.npz", env=env, cwd=place)
    assert done.stderr == "" and content(place) == before
    env["PYTHONPATH"] = str(ROOT)
    done = run_python(code, "predict", place / "face.png", "--annotate", "d", env=env, cwd=place)
    assert done.stderr == "" and set(os.listdir(place / "d")) == {"face-annotated.png"}


INTERRUPTED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
from insideout_tf import predict
from insideout_tf.photos import draw, records
write, count = records.RecordFile.write, [0]
def write_then_stop(self, record):
    write(self, record)
    count[0] += 1
    if count[0] == int(sys.argv[2]):
        os.kill(os.getpid(), getattr(signal, sys.argv[1]))
records.RecordFile.write = write_then_stop
predict.main(sys.argv[3:])
"""


def make_video(path, frames=12):
    import cv2

    clip = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for index in range(frames):
        clip.write(np.full((120, 160, 3), 20 * index, np.uint8))
    clip.release()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
@pytest.mark.parametrize("kind", ["json", "jsonl", "csv"])
def test_an_interruption_keeps_what_is_done(name, kind, place):
    shutil.copy(place / "face.png", place / "other.png")
    make_video(place / "clip.avi")
    sources = [place / "face.png", place / "other.png", place / "clip.avi"]
    out = place / f"o.{kind}"
    words = [*sources, f"--{kind}", out, "--annotate", place / "d", "--faces", "crop"]
    status = {"SIGINT": 130, "SIGTERM": 143, "SIGKILL": -9}[name]
    done = run_python(INTERRUPTED, name, 6, *words, check=False)
    assert done.returncode == status, done.stderr
    text = out.read_text("utf-8")
    found = {
        "json": lambda: json.loads(text),
        "jsonl": lambda: [json.loads(line) for line in text.splitlines()],
        "csv": lambda: list(csv.DictReader(text.splitlines())),
    }[kind]()
    assert len(found) == 6 and found[-1]["source"] == str(place / "clip.avi")
    if name == "SIGKILL":
        return
    assert "clip.avi: 3 frames" in done.stdout or "clip.avi: 4 frames" in done.stdout
    assert "interrupted after 2 of 3 sources" in done.stderr and f"o.{kind}" in done.stderr
    copies = {"face-annotated.png", "other-annotated.png", "clip-annotated.webm"}
    assert set(os.listdir(place / "d")) == copies | {"clip-annotated-timeline.png"}


def test_a_camera_ends_as_a_file_does(place, capsys, monkeypatch):
    """Ctrl-C ends the camera with its records and summary; the call is not an error."""
    from insideout_tf.photos import video

    frames = [(index / 10, np.full((48, 48, 3), 90, np.uint8)) for index in range(3)]

    def read():
        yield from frames
        raise KeyboardInterrupt

    import contextlib

    @contextlib.contextmanager
    def open_video(source):
        yield video.Video(read(), 10.0, (48, 48), 0)

    monkeypatch.setattr(video, "open_video", open_video)
    out = place / "o.json"
    words = ("webcam:0", "--json", out, "--annotate", place / "d")
    status, text, error = run_verb(predict.main, capsys, *words)
    assert status == 0 and error == "" and text.startswith("webcam:0: 3 frames")
    assert len(json.loads(out.read_text())) == 3
    assert len(os.listdir(place / "d")) == 2


def test_a_copy_that_fails_leaves_the_records(place, capsys, monkeypatch):
    from insideout_tf.photos import video

    make_video(place / "clip.avi", 3)

    def create_writer(path, fps, size, codec):
        raise errors.UserError(f"{path}: expected a place to write a video to")

    monkeypatch.setattr(video, "create_writer", create_writer)
    words = (place / "clip.avi", place / "face.png", "--csv", place / "o.csv")
    status, out, error = run_verb(predict.main, capsys, *words, "--annotate", place / "d")
    assert status == 2 and files.TEMPORARY not in error and "clip-annotated.webm: expected" in error
    assert "clip.avi: 3 frames" in out and "face.png" in out
    assert {row["source"] for row in csv.DictReader((place / "o.csv").open())} == {
        str(place / "clip.avi"),
        str(place / "face.png"),
    }
    assert os.listdir(place / "d") == ["face-annotated.png"]


@pytest.mark.parametrize("most", [255, 143])  # bytes: of usual file systems and of eCryptfs
def test_names_as_long_as_the_file_system_takes(most, place, capsys, monkeypatch):
    def longest(suffix):
        return place / ("\u00e9" * ((most - len(suffix)) // 2) + suffix)

    monkeypatch.setattr(files, "max_name_bytes", lambda folder: most)
    picture, table, page = longest(".png"), longest(".csv"), longest(".json")
    shutil.copy(place / "face.png", picture)
    shutil.copy(picture, picture.with_name(picture.stem[:-1] + "x.png"))  # the same beginning
    names: list[str] = []
    replacing = files.replacing

    def record(path, *rest):
        names.append(files.name_temporary(path).name)
        return replacing(path, *rest)

    monkeypatch.setattr(files, "replacing", record)
    words = (
        picture,
        picture.with_name(picture.stem[:-1] + "x.png"),
        "--csv",
        table,
        "--json",
        page,
    )
    status, _, error = run_verb(predict.main, capsys, *words, "--annotate", place / "d")
    assert status == 0, error
    assert table.exists() and page.exists() and len(os.listdir(place / "d")) == 2
    names += os.listdir(place / "d")
    assert max(len(os.fsencode(name)) for name in names) <= most
    kind = files.FolderKind("export", "an export", ("*",))
    with files.replacing_folder(longest(""), kind) as folder:
        (folder / "a").touch()
    assert (longest("") / "a").exists()


def test_one_copy_that_cannot_be_written_is_one_line(place, capsys, monkeypatch):
    shutil.copy(place / "face.png", place / "b.png")
    write = draw.AnnotationFolder.write_picture

    def refuse(self, result):
        if result.source.endswith("face.png"):
            raise OSError(errno.EILSEQ, "Invalid or incomplete multibyte character", "copy")
        write(self, result)

    monkeypatch.setattr(draw.AnnotationFolder, "write_picture", refuse)
    words = (place / "face.png", place / "b.png", "--annotate", place / "d")
    status, out, error = run_verb(predict.main, capsys, *words)
    assert status == 2 and out.count("\n") == 2 and os.listdir(place / "d") == ["b-annotated.png"]
    assert "face.png, annotated copy: Invalid or incomplete" in error and error.count("\n") == 2


def test_a_timeline_and_a_picture_of_the_same_name(place, capsys):
    make_video(place / "ok.avi", 3)
    shutil.copy(place / "face.png", place / "ok-timeline.png")
    words = (place / "ok-timeline.png", place / "ok.avi", "--annotate", place / "d")
    assert run_verb(predict.main, capsys, *words)[0] == 0
    expected = {"ok-timeline-annotated.png", "ok-annotated.webm", "ok-annotated-timeline.png"}
    assert set(os.listdir(place / "d")) == expected
    assert run_verb(predict.main, capsys, *words)[0] == 2
    assert run_verb(predict.main, capsys, *words, "--overwrite")[0] == 0


def test_a_folder_that_cannot_be_read_is_an_error(place, capsys, monkeypatch):
    (place / "locked").mkdir()
    scandir = os.scandir

    def refuse(path="."):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    (place / "data.npz").unlink()
    status, out, error = run_verb(predict.main, capsys, place)
    assert status == 2 and "locked: Permission denied" in error and "face.png" in out


def test_records_on_a_full_disk_are_whole(tmp_path):
    record = {
        "source": "a.png",
        "faces": "crop",
        "box": None,
        "emotion": None,
        "probabilities": None,
    }
    code = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700))
from insideout_tf.photos import draw, records
try:
    with records.open_outputs({"json": None, "jsonl": None, "csv": None, sys.argv[1]: sys.argv[2]}) as write:
        while True:
            write(json.loads(sys.argv[3]))
except OSError as error:
    print(error.filename)
"""
    readers = {
        "json": json.loads,
        "jsonl": lambda text: [json.loads(line) for line in text.splitlines()],
        "csv": lambda text: list(csv.DictReader(text.splitlines())),
    }
    for kind in records.KINDS:
        path = tmp_path / f"o.{kind}"
        done = run_python(code, kind, path, json.dumps(record))
        assert done.stdout.strip() == str(path)
        found = readers[kind](path.read_text())
        assert len(found) >= 3 and {each["source"] for each in found} == {"a.png"}


@pytest.mark.parametrize("suffix", [".png", ".csv", ".weights.h5", ".keras"])
def test_a_temporary_name_has_the_suffix_that_its_writer_expects(suffix, tmp_path):
    assert files.name_temporary(tmp_path / f"name{suffix}").name.endswith(suffix)
