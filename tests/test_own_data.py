"""Classes, sizes and colour of one's own: from folders to a run, its figures and its exports."""

import csv
import json

import keras
import numpy as np
import pytest
from conftest import run_python, run_verb
from PIL import Image

import insideout_tf
from insideout_tf import evaluate, explain, export, inspect, predict, train
from insideout_tf.data import drawn
from insideout_tf.data.contract import FER2013, Contract, of_shapes
from insideout_tf.data.read import read_faces
from insideout_tf.errors import UserError

OWN = {"Anger": 0, "bored": 3, "contempt": 5}  # class folder: the drawn emotion it shows


def write_tree(folder, names, side=64, colour=True, parts=("train", "val", "test"), each=8):
    """Writes a folder tree of drawn faces, `each` of a class in val/ and test/, twice as many in train/."""
    pixels, labels, _ = drawn.draw_all(420, 7, 7, seed=1)
    for name, emotion in names.items():
        rows = iter(np.flatnonzero(labels == emotion))
        for part in parts:
            place = folder / part / name
            place.mkdir(parents=True)
            for number in range(each * (2 if part == "train" else 1)):
                image = Image.fromarray(pixels[next(rows)]).resize((side, side)).convert("RGB")
                if colour:
                    image = Image.fromarray((np.asarray(image) * (1.0, 0.9, 0.8)).astype(np.uint8))
                image.save(place / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("own") / "faces", OWN)


@pytest.fixture(scope="module")
def own_run(tree, tiny_experiment, tmp_path_factory):
    run = tmp_path_factory.mktemp("own_run") / "run"
    words = (tiny_experiment, "--data", tree, "--run-dir", run, "--verbose", 0)
    short = ("--set", "batch_size=16", "--set", "stages.finetune.epochs=1")
    train.main([str(word) for word in (*words, *short)])
    return run


# -- reading ---------------------------------------------------------------------------------------


def test_classes_and_pixels_come_from_the_folders(tree):
    faces = read_faces(tree)
    assert faces.contract == Contract(("angry", "bored", "contempt"), 64, 3)
    assert np.bincount(faces.usage).tolist() == [48, 24, 24] and faces.identified is None
    for name, label in zip(faces.names, faces.labels):
        assert name.split("/")[1] == {0: "Anger", 1: "bored", 2: "contempt"}[label]
    small = read_faces(tree, input_size=32, channels=1)
    assert small.contract == Contract(faces.classes, 32, 1) and small.digest != faces.digest


@pytest.mark.parametrize(
    "options,classes,count",
    [
        ({"skip_classes": ["contempt"]}, ("angry", "bored"), 64),
        ({"map_classes": ["bored=neutral"]}, ("angry", "neutral", "contempt"), 96),
        ({"map_classes": ["contempt=anger"]}, ("angry", "bored"), 96),
        ({"classes": ["contempt", "angry", "bored"]}, ("contempt", "angry", "bored"), 96),
    ],
)
def test_classes_are_excluded_renamed_and_ordered(options, classes, count, tree):
    faces = read_faces(tree, **options)
    assert faces.classes == classes and len(faces) == count
    own = {name.split("/")[1]: int(label) for name, label in zip(faces.names, faces.labels)}
    assert own["Anger"] == classes.index("angry")
    if "skip_classes" in options:
        assert faces.skipped == ("class contempt: 32 faces excluded",)


def test_spellings_of_two_parts_are_one_class_and_two_words_of_one_part_are_two(tmp_path):
    face = Image.fromarray(drawn.draw_all(7, 1, 1)[0][0])
    for name in ("train/Happy", "test/happiness", "train/calm", "train/neutral", "test/calm"):
        (tmp_path / name).mkdir(parents=True)
        face.save(tmp_path / name / "a.png")
    faces = read_faces(tmp_path)
    assert faces.classes == ("happy", "neutral", "calm")
    named = zip(faces.names, (faces.classes[label] for label in faces.labels))
    assert sorted(named) == [
        ("test/calm/a.png", "calm"),
        ("test/happiness/a.png", "happy"),
        ("train/Happy/a.png", "happy"),
        ("train/calm/a.png", "calm"),
        ("train/neutral/a.png", "neutral"),
    ]


def test_class_folders_without_parts_all_train(tmp_path):
    write_tree(tmp_path, {"up": 0, "down": 3}, parts=(".",), each=2)
    (tmp_path / "notes.txt").write_text("about these faces")
    faces = read_faces(tmp_path)
    assert faces.classes == ("down", "up") and not faces.usage.any() and len(faces) == 4


def test_two_hundred_classes(tmp_path):
    face = drawn.draw_all(7, 1, 1)[0][0]
    for number in range(200):
        (tmp_path / f"train/person {number}").mkdir(parents=True)
        Image.fromarray(face ^ np.uint8(number)).save(tmp_path / f"train/person {number}/a.png")
    faces = read_faces(tmp_path)
    assert len(faces.classes) == 200 and faces.classes[2] == "person 2"
    for name, label in zip(faces.names, faces.labels):
        assert name == f"train/person {label}/a.png"


def test_numbers_of_rafdb_are_known_by_its_file_names(tmp_path):
    face = Image.fromarray(drawn.draw_all(7, 1, 1)[0][0])
    for number in range(1, 8):
        (tmp_path / f"train/{number}").mkdir(parents=True)
        face.save(tmp_path / f"train/{number}/train_{number:05}_aligned.png")
    faces = read_faces(tmp_path)
    names = {
        name.split("/")[1]: faces.classes[label] for name, label in zip(faces.names, faces.labels)
    }
    assert names == dict(
        zip("1234567", ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"))
    )
    assert faces.classes == insideout_tf.EMOTIONS
    (tmp_path / "train/3/train_00003_aligned.png").rename(tmp_path / "train/3/x.png")
    with pytest.raises(UserError, match="number them differently"):
        read_faces(tmp_path)
    given = read_faces(tmp_path, classes=["a", "b", "c", "d", "e", "f", "g"])
    assert given.classes == tuple("abcdefg") and given.labels.tolist() == list(range(7))


TABLES = {
    "words": (
        "path,label,usage",
        "{0},happy,train\n{1},bored,test\n",
        {},
        ("happy", "bored"),
        [0, 2],
    ),
    "numbers": ("image;label", "{0};1\n{1};2\n", {"classes": ["x", "y"]}, ("x", "y"), [0, 0]),
    "a column more": (
        ",pth,label,relFCs",
        "0,{0},Joy,0.8\n1,{1},fear,0.7\n",
        {},
        ("fear", "happy"),
        [0, 0],
    ),
}


@pytest.mark.parametrize("case", TABLES)
def test_tables_of_paths_and_labels(case, tmp_path):
    header, rows, options, classes, usage = TABLES[case]
    face = drawn.draw_all(7, 1, 1)[0]
    (tmp_path / "images").mkdir()
    for index in range(2):
        Image.fromarray(face[index]).save(tmp_path / f"images/{index}.png")
    text = rows.format("images/0.png", "images/1.png")
    (tmp_path / "list.csv").write_text(f"{header}\n{text}")
    faces = read_faces(tmp_path / "list.csv", **options)
    assert faces.classes == classes and faces.usage.tolist() == usage
    assert faces.names == ("images/0.png", "images/1.png")
    assert np.array_equal(faces.pixels, face[:2])
    (tmp_path / "images/1.png").unlink()
    with pytest.raises(UserError, match="row 2: expected an image file.*images/1.png"):
        read_faces(tmp_path / "list.csv", **options)
    assert len(read_faces(tmp_path / "list.csv", "skip", **options)) == 1


def test_arrays_with_classes(tmp_path):
    pixels = np.zeros((2, 20, 20, 3), np.uint8)
    values = {"pixels": pixels, "emotion": [1, 0], "usage": [0, 1]}
    np.savez(tmp_path / "a.npz", classes=["no", "yes"], **values)
    assert read_faces(tmp_path / "a.npz").contract == Contract(("no", "yes"), 20, 3)
    np.savez(tmp_path / "a.npz", classes=["no", "No"], **values)
    with pytest.raises(UserError, match="'classes': expected 2 to 255 different class names"):
        read_faces(tmp_path / "a.npz")


def change_tree(folder, case):
    first = folder / "train/bored/0.png"
    if case == "mixed sizes":
        Image.new("RGB", (70, 70)).save(first)
    elif case == "not square":
        for path in folder.rglob("*.png"):
            Image.new("RGB", (64, 48)).save(path)
    elif case == "a number":
        (folder / "train/bored").rename(folder / "train/2")
    elif case == "misspelt":
        (folder / "train/bored").rename(folder / "train/hapy")
        (folder / "train/contempt").rename(folder / "train/sad")
    else:
        first.write_bytes(b"no image")


@pytest.mark.parametrize(
    "case,options,words",
    [
        ("mixed sizes", {}, r"0.png: expected an image of 64×64 pixels. Give --input-size N"),
        ("not square", {}, r"expected square images of one size. Give --input-size N"),
        ("a number", {}, r"train/2: expected a class folder named by its class.*--classes"),
        ("misspelt", {}, r"unknown class 'hapy'.*Did you mean 'happy'"),
        ("not an image", {}, r"0.png: expected a readable PNG or JPEG image"),
        ("none", {"input_size": 5}, r"--input-size: expected 16 to 1024 pixels"),
        ("none", {"skip_classes": ["x"]}, r"--skip-classes: expected classes of .*: angry, bored"),
        ("none", {"map_classes": ["angry"]}, r"--map: expected pairs such as anger=angry"),
        ("none", {"classes": ["angry", "bored"]}, r"unknown class 'contempt'.*--skip-classes"),
        ("none", {"skip_classes": ["angry", "bored", "contempt"]}, r"at least one class to stay"),
    ],
)
def test_bad_trees_and_options_are_one_line(case, options, words, tmp_path):
    folder = write_tree(tmp_path / "faces", OWN, each=1)
    if case != "none":
        change_tree(folder, case)
    with pytest.raises(UserError, match=words):
        read_faces(folder, **options)


@pytest.mark.parametrize("case", ["one class", "one picture of a class", "a class in test alone"])
def test_trees_that_cannot_train(case, tiny_experiment, tmp_path, capsys):
    names, words = {"up": 0, "down": 3}, ()
    if case == "one class":
        names, expected = {"up": 0}, "expected faces of at least two classes"
    elif case == "one picture of a class":
        words = ("--set", "split=stratified")
        expected = "expects at least 2 Training faces of each class"
    else:
        expected = "expected training faces of all 3 classes"
    folder = write_tree(tmp_path / "faces", names)
    if case == "one picture of a class":
        for path in sorted((folder / "train/up").glob("*.png"))[1:]:
            path.unlink()
    elif case == "a class in test alone":
        write_tree(folder, {"left": 5}, parts=("test",))
    directory = tmp_path / "run"
    status, _, error = run_verb(
        train.main, capsys, tiny_experiment, "--data", folder, "--run-dir", directory, *words
    )
    assert status == 2 and expected in error and error.count("\n") == 1
    assert not directory.exists()


# -- a run -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_run_knows_its_classes(own_run):
    assert (own_run / "labels.txt").read_text() == "angry\nbored\ncontempt\n"
    run = insideout_tf.open_run(own_run)
    assert run.classes == ("angry", "bored", "contempt")
    assert run.model.input_shape == (None, 64, 64, 3) and run.model.contract.side == 64
    assert list(run.metrics["per_class"]) == list(run.classes) and run.metrics["split"] == "val"
    with np.load(own_run / "predictions.npz") as saved:
        assert saved["classes"].tolist() == list(run.classes)
    code = "import sys, keras; print(keras.models.load_model(sys.argv[1]).output_shape)"
    assert "(None, 3)" in run_python(code, own_run / "model.keras").stdout


@pytest.mark.slow
def test_verbs_on_the_run(own_run, tree, tmp_path, capsys):
    picture = tree / "test/bored/0.png"
    status, out, _ = run_verb(evaluate.main, capsys, own_run, "--split", "test")
    assert status == 0 and out.startswith("test: 24 faces") and "  contempt " in out
    words = ("--model", own_run, "--faces", "crop", "--csv", tmp_path / "o.csv")
    status, out, error = run_verb(
        predict.main, capsys, picture, *words, "--annotate", tmp_path / "copies"
    )
    assert (status, error) == (0, "")
    (row,) = csv.DictReader((tmp_path / "o.csv").read_text().splitlines())
    shares = {name: float(row[name]) for name in ("angry", "bored", "contempt")}
    assert row["emotion"] == max(shares, key=shares.get) and abs(sum(shares.values()) - 1) < 1e-4
    assert (tmp_path / "copies/0-annotated.png").exists()
    out = tmp_path / "why.png"
    status, text, error = run_verb(
        explain.main,
        capsys,
        own_run,
        picture,
        "--out",
        out,
        "--emotion",
        "bored",
        "--faces",
        "crop",
    )
    assert status == 0, error
    assert "bored" in text and out.exists()
    status, text, _ = run_verb(inspect.main, capsys, tree)
    assert status == 0 and "64×64 colour, 3 classes" in text


@pytest.mark.slow
def test_exports_have_the_classes_and_the_input(own_run, tree, tmp_path, capsys):
    status, _, error = run_verb(export.main, capsys, own_run, "--out", tmp_path / "e")
    assert status == 0, error
    record = json.loads((tmp_path / "e/export.json").read_text())
    assert record["classes"] == ["angry", "bored", "contempt"]
    assert record["input"] == "float32 [n, 64, 64, 3], red, green, blue 0..255"
    assets = tmp_path / "e/saved_model/1/assets/classes.txt"
    assert assets.read_text() == "angry\nbored\ncontempt\n"
    pictures = [tree / "test/bored/0.png", tree / "test/Anger/1.png"]
    exact = insideout_tf.predict_emotions(pictures, str(own_run))
    lite = insideout_tf.predict_emotions(pictures, tmp_path / "e/model.tflite")
    assert np.abs(exact - lite).max() < 1e-4
    (found,) = insideout_tf.detect_emotions(pictures[0], tmp_path / "e/model.tflite", mode="crop")
    assert set(found["probabilities"]) == {"angry", "bored", "contempt"}


@pytest.mark.slow
def test_training_resumes_on_own_data(tree, tiny_experiment, own_run, tmp_path, capsys):
    other = tmp_path / "other"
    base = (tiny_experiment, "--run-dir", other, "--verbose", 0, "--set", "batch_size=16")
    assert run_verb(train.main, capsys, *base, "--data", tree)[0] == 0
    status, out, _ = run_verb(train.main, capsys, "--resume", other)
    assert status == 0 and "is finished; nothing to resume" in out


@pytest.mark.slow
def test_a_model_is_evaluated_on_the_classes_that_it_shares(tmp_path, capsys):
    names = {"Joy": 3, "sadness": 4, "bored": 6}
    folder = write_tree(tmp_path / "faces", names, side=80, colour=False)
    status, out, _ = run_verb(evaluate.main, capsys, "nano", "--data", folder, "--split", "test")
    assert status == 0 and out.startswith("test: 16 faces")
    assert "no such class: bored (8 faces)" in out
    assert "no such class: angry, disgust, fear, surprise, neutral" in out
    words = ("--split", "test", "--map", "bored=neutral", "--json")
    status, out, _ = run_verb(evaluate.main, capsys, "nano", "--data", folder, *words)
    found = json.loads(out)
    assert found["n"] == 24 and list(found["per_class"]) == ["happy", "sad", "neutral"]
    one = write_tree(tmp_path / "one", {"joy": 3, "bored": 6})
    status, _, error = run_verb(evaluate.main, capsys, "nano", "--data", one, "--split", "test")
    assert status == 2 and "at least two of the model's classes" in error


@pytest.mark.slow
def test_a_head_keeps_the_rows_of_the_classes_that_it_shares(
    tree, tiny_experiment, own_run, tmp_path
):
    """--start-from a run with other classes: what is shared starts from its weights."""
    from insideout_tf.api.train import load_start
    from insideout_tf.config import Experiment, Stage
    from insideout_tf.network.build import build_network

    experiment = Experiment(
        name="x",
        backbone="tiny",
        weights="none",
        image_size=32,
        start_from=str(own_run),
        stages=(Stage("a", epochs=1, learning_rate=1e-3),),
    )
    contract = Contract(("contempt", "surprise", "angry"), 64, 3)
    keras.utils.set_random_seed(0)
    model = build_network(experiment, 32, contract)
    before = model.get_layer("logits").get_weights()[0].copy()
    load_start(experiment, model, contract)
    start = insideout_tf.load(own_run)
    kernel, old = (each.get_layer("logits").get_weights()[0] for each in (model, start))
    assert np.array_equal(kernel[:, 0], old[:, 2]) and np.array_equal(kernel[:, 2], old[:, 0])
    assert np.array_equal(kernel[:, 1], before[:, 1])


def test_contracts_of_models_without_names():
    assert of_shapes((None, 48, 48, 1), (None, 7), None, "m") == FER2013
    assert of_shapes((None, 20, 20, 3), (None, 2), None, "m").classes == ("0", "1")
    with pytest.raises(UserError, match="expected the names of its 3 classes"):
        of_shapes((None, 48, 48, 1), (None, 3), ("a", "b"), "m")
