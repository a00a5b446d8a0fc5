"""Published data sets are known by their layout, with their classes, parts and persons."""

import dataclasses
import os
import shutil

import layout_helpers as layouts
import numpy as np
import pytest
from conftest import run_verb
from layout_helpers import AFFECTNET_HEADER, WRITERS, save, write

from insideout_tf import inspect, train
from insideout_tf.data import (
    affectnet,
    ckplus,
    ferplus_folders,
    folds,
    kdef,
    listed,
    people,
    rafdb,
    splits,
)
from insideout_tf.data.classes import EMOTIONS
from insideout_tf.data.contract import Contract
from insideout_tf.data.faces import Faces
from insideout_tf.data.read import read, read_faces
from insideout_tf.data.reading import Reading
from insideout_tf.errors import UserError

EIGHT = (*EMOTIONS, "contempt")
# Of each of `WRITERS`: the contract, `identified`, messages of what is excluded.
CASES = {
    "rafdb": (
        Contract(EMOTIONS, 100, 3),
        "RAF-DB layout, 28 faces",
        (),
    ),
    "rafdb kaggle": (
        Contract(EMOTIONS, 100, 3),
        "RAF-DB layout, 21 faces",
        (),
    ),
    "affectnet": (
        Contract(EIGHT, 48, 1),
        "AffectNet layout, 16 faces",
        (
            "no-face (code 10): 4 rows excluded",
            "none (code 8): 2 rows excluded",
            "uncertain (code 9): 2 rows excluded",
        ),
    ),
    "affectnet arrays": (
        Contract(EIGHT, 64, 3),
        "AffectNet layout, 16 faces",
        ("none (code 8): 2 rows excluded",),
    ),
    "affectnet kaggle": (
        Contract(("angry", "happy", "contempt"), 96, 3),
        "AffectNet from Kaggle layout, 6 faces; 1 label differs from the folders",
        (),
    ),
    "ck+": (
        Contract(("disgust", "surprise", "neutral", "contempt"), 48, 1),
        "CK+ layout, 11 faces",
        ("2 sequences without a label excluded",),
    ),
    "ck+48": (
        Contract((*EMOTIONS[:6], "contempt"), 48, 1),
        "CK+48 layout, 21 faces",
        (),
    ),
    "jaffe": (
        Contract(EMOTIONS, 64, 1),
        "JAFFE layout, 28 faces",
        (),
    ),
    "kdef": (
        Contract(EMOTIONS[:5], 48, 3),
        "KDEF straight view layout, 15 faces",
        ("angle HL: 15 rows excluded", "averaged faces: 1 row excluded"),
    ),
    "expw": (
        Contract(EMOTIONS, 48, 1),
        "ExpW layout, 9 faces",
        ("repeated lines: 1 row excluded",),
    ),
    "fer+": (
        Contract(EIGHT, 48, 1),
        "FER+ by majority layout, 27 faces",
        (
            "NF: 3 rows excluded",
            "no majority: 6 rows excluded",
            "unknown: 3 rows excluded",
        ),
    ),
}


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    """Returns (the name of the case, its folder, what must be found in it)."""
    folder = tmp_path_factory.mktemp("dataset") / "data"
    return request.param, folder, WRITERS[request.param][0](folder)


def test_faces_of_a_layout(case):
    name, folder, expected = case
    options = WRITERS[name][1]
    contract, identified, skipped = CASES[name]
    faces = read_faces(folder, **options)
    assert faces.contract == contract and faces.identified == identified
    assert faces.skipped == skipped and len(faces) == len(expected)
    people = faces.people or [None] * len(faces)
    words = [faces.classes[label] for label in faces.labels]
    assert dict(zip(faces.names, zip(words, faces.usage.tolist(), people))) == expected
    kept = faces.select(np.arange(len(faces))[::2])
    assert kept.people == (faces.people and faces.people[::2])
    assert kept.pictures == (faces.pictures and faces.pictures[::2])
    assert faces.relabel(faces.classes, range(len(faces.classes))).people == faces.people


def test_a_layout_is_found_in_folders_and_archives_around_it(case, tmp_path):
    name, folder, expected = case
    options = WRITERS[name][1]
    shutil.copytree(folder, tmp_path / "a/download/data")
    (tmp_path / "a/download/__MACOSX").mkdir()
    faces = read_faces(tmp_path / "a", **options)
    assert len(faces) == len(expected)
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "a")
    archived = read_faces(packed, **options)
    assert archived.digest == faces.digest and archived.people == faces.people
    assert archived.identified == faces.identified


def test_pixels_are_those_of_the_face(tmp_path):
    """Boxes, squares and resizes give the drawing back."""
    expected = layouts.write_expw(tmp_path / "expw")
    faces = read_faces(tmp_path / "expw", input_size=48)
    for row in (0, 1):
        word = expected[faces.names[row]][0]
        assert np.array_equal(faces.pixels[row], layouts.face_of(word))
    assert faces.pictures[:2] == ("afraid_girl_7.png",) * 2
    expected = layouts.write_affectnet(tmp_path / "affectnet")
    faces = read_faces(tmp_path / "affectnet", input_size=48)
    for name, pixels in zip(faces.names, faces.pixels):
        assert np.array_equal(pixels, layouts.face_of(expected[name][0]))
    layouts.write_ckplus(tmp_path / "ckplus")
    pixels = read_faces(tmp_path / "ckplus", input_size=48).pixels
    wide = layouts.Image.fromarray(layouts.face_of("neutral", 1)).resize((64, 48))
    assert np.array_equal(pixels[0], np.asarray(wide)[:, 8:56])


@pytest.mark.parametrize("name", ["expw", "kdef", "jaffe"])
def test_faces_that_stay_in_files_are_cut_the_same(name, tmp_path):
    WRITERS[name][0](tmp_path)
    in_files, in_memory = (
        read(tmp_path, Reading(input_size=48, feed=feed)) for feed in ("files", "memory")
    )
    assert not isinstance(in_files.pixels, np.ndarray)
    assert np.array_equal(np.asarray(in_files.pixels), in_memory.pixels)
    assert np.array_equal(np.asarray(in_files.pixels[1:3]), in_memory.pixels[1:3])
    assert np.array_equal(in_files.pixels[2], in_memory.pixels[2])


def test_code_7_of_ckextended_is_contempt(tmp_path):
    layouts.write_ckextended(tmp_path)
    faces = read_faces(tmp_path)
    assert faces.classes == EIGHT and faces.labels.tolist() == sorted(3 * list(range(8)))
    assert faces.usage.tolist() == 8 * [0, 1, 2]
    assert faces.identified == "ckextended.csv layout, 24 faces; 7 is contempt"
    renamed = (tmp_path / "ckextended.csv").rename(tmp_path / "faces.csv")
    with pytest.raises(UserError, match="line 23: expected an emotion from 0 to 6"):
        read_faces(renamed)
    assert read_faces(renamed, classes=EIGHT).digest == faces.digest


def test_920_rows_with_code_7_are_ckextended(tmp_path):
    row = " ".join(["7"] * 2304)
    codes = np.repeat(np.arange(8), (45, 59, 25, 69, 28, 83, 593, 18))
    lines = [f"{code},{row},{('Training', 'PublicTest')[code % 2]}" for code in codes]
    write(tmp_path / "x.csv", "emotion,pixels,Usage", *lines)
    faces = read_faces(tmp_path / "x.csv")
    assert faces.identified == "ckextended.csv (691 + 229 faces); 7 is contempt"
    write(tmp_path / "x.csv", "emotion,pixels,Usage", *lines[1:])
    with pytest.raises(UserError, match="expected an emotion from 0 to 6"):
        read_faces(tmp_path / "x.csv")


@pytest.mark.parametrize(
    "published,name",
    [
        (rafdb.PUBLISHED, "(12,271 + 3,068 faces)"),
        (affectnet.PUBLISHED_LISTS, "(287,651 + 4,000 faces)"),
        (ckplus.PUBLISHED_OFFICIAL, "(1,308 faces)"),
        ((ckplus.PEAKS,), "(981 faces)"),
        (kdef.PUBLISHED, "(980 faces)"),
        (ferplus_folders.PUBLISHED, "(25,045 + 3,191 + 3,137 faces)"),
    ],
)
def test_published_counts_name_the_data_set(published, name):
    classes = tuple(published[0])
    table = np.array([published[0][each] for each in classes])
    usage = np.repeat(np.tile(np.arange(3), len(classes)), table.ravel()).astype(np.uint8)
    labels = np.repeat(np.arange(len(classes)), table.sum(1)).astype(np.uint8)
    faces = Faces(np.zeros((len(usage), 1, 1), np.uint8), labels, usage, "x", classes=classes)
    assert listed.identify(faces, "It", published).identified == f"It {name}"
    fewer = faces.select(np.arange(1, len(faces)))
    assert listed.identify(fewer, "It", published).identified.startswith("It layout, ")


# -- people ----------------------------------------------------------------------------------------


def test_no_person_is_on_both_sides(tmp_path):
    layouts.write_jaffe(tmp_path)
    faces = read_faces(tmp_path)
    person = np.array(faces.people)
    chosen = set()
    for seed in range(6):
        split = splits.make(faces, "auto", 0.25, seed, False)
        assert split.validation_name == "validation by person" and len(split.validation) == 7
        assert not set(person[split.training]) & set(person[split.validation])
        again = splits.make(faces, "stratified", 0.25, seed, False)
        assert np.array_equal(split.validation, again.validation)
        chosen |= set(person[split.validation])
    assert len(chosen) > 1
    one = faces.select(np.flatnonzero(person == "NA"))
    with pytest.raises(
        UserError, match="validation_fraction 0.25 expects each class.*faces of 1 person$"
    ):
        splits.make(one, "stratified", 0.25, 0, False)


def test_faces_of_one_picture_are_on_one_side(tmp_path):
    layouts.write_expw(tmp_path)
    faces = read_faces(tmp_path, input_size=48, skip_classes=["fear", "disgust"])
    faces = faces.select(np.flatnonzero(np.isin(faces.labels, (1, 2))))  # happy and sad
    faces = faces.relabel(("happy", "sad"), (0, 0, 1, 0, 0))
    pictures = np.array(faces.pictures)
    assert len(faces) == 4
    split = splits.make(faces, "stratified", 0.34, 0, False)
    assert split.validation_name == "validation by picture"
    assert not set(pictures[split.training]) & set(pictures[split.validation])


@pytest.mark.parametrize("count,seed", [(2, None), (3, 1), (4, 0)])
def test_folds_by_person(count, seed, tmp_path):
    layouts.write_jaffe(tmp_path)
    faces = read_faces(tmp_path)
    person = np.array(faces.people)
    found = folds.person_folds(faces, count, seed)
    assert len(found) == count
    for training, test in found:
        assert not set(person[training]) & set(person[test]) and len(test)
        assert np.array_equal(np.sort(np.concatenate([training, test])), np.arange(len(faces)))
    tests = np.concatenate([test for _, test in found])
    assert np.array_equal(np.sort(tests), np.arange(len(faces)))
    if seed is None:
        assert set(person[found[0][1]]) == {"KA", "NM"}
    else:
        again = folds.person_folds(faces, count, seed)
        assert all(np.array_equal(a[1], b[1]) for a, b in zip(found, again))
    for wrong in (1, 5):
        with pytest.raises(UserError, match="expected 2 to 4 folds.*Received: "):
            folds.person_folds(faces, wrong)


@pytest.mark.parametrize("kind", ["people", "pictures", "copies"])
def test_a_fold_keeps_together_what_is_alike(kind, tmp_path):
    layouts.write_jaffe(tmp_path)
    faces = read_faces(tmp_path)
    faces = faces.select(np.tile(np.arange(len(faces)), 2))  # each twice
    if kind != "people":
        faces = dataclasses.replace(faces, people=None)
    if kind == "pictures":
        numbers = np.arange(len(faces)) // 2
        faces = dataclasses.replace(faces, pictures=tuple(map(str, numbers)))
    units = faces.people or faces.pictures or [face.tobytes() for face in faces.pixels]
    seen = np.zeros(len(faces), int)
    for number in (1, 2):
        own = folds.choose_fold(faces, number, 2)
        is_test = own.usage == 2
        assert len(own) == len(faces) and 0 < is_test.sum() < len(faces)
        test = {unit for unit, flag in zip(units, is_test) if flag}
        assert not test & {unit for unit, flag in zip(units, is_test) if not flag}
        seen += is_test
    assert (seen == 1).all()
    with pytest.raises(UserError, match="expected (at least 50|2 to)"):
        folds.choose_fold(faces, 1, 50)


def test_folds_need_people(tmp_path):
    layouts.write_rafdb(tmp_path)
    with pytest.raises(UserError, match="whose file names tell the person"):
        folds.person_folds(read_faces(tmp_path), 5)


def test_people_of_names():
    assert people.find_people(("a/NA.NE1.3.tiff", "b/na.AN2.4.jpg")) == ("NA", "NA")
    assert people.find_people(("AF01AFS.JPG", "BF01ANHL.JPG", "AM01SUFR.JPG")) == (
        "F01",
        "F01",
        "M01",
    )
    assert people.find_people(("S010_004_00000017.png", "x.png")) is None
    assert people.find_people(("x.png",)) is people.find_people(None) is None


def test_inspect_names_the_data_set_and_counts_people(tmp_path, capsys):
    layouts.write_ck48(tmp_path / "all")
    status, out, _ = run_verb(inspect.main, capsys, tmp_path / "all")
    assert status == 0 and "identified  CK+48 layout, 21 faces\n" in out
    assert "people      3\n" in out and max(map(len, out.splitlines()[1:])) < 100
    for part in ("train", "test"):  # a re-upload with its own parts
        shutil.copytree(tmp_path / "all", tmp_path / "parts" / part)
    for file in (tmp_path / "parts/test").rglob("S005*"):
        file.unlink()
    status, out, _ = run_verb(inspect.main, capsys, tmp_path / "parts")
    assert status == 0 and "people      3, 2 of them in two splits\n" in out
    words = ("baseline_cnn", "--data", tmp_path / "parts", "--dry-run")
    words += ("--set", "split=stratified", "--set", "batch_size=4")
    words += ("--set", "validation_fraction=0.34")
    status, _, error = run_verb(train.main, capsys, *words)
    assert status == 2 and len(error.splitlines()) == 1
    assert "expected each person in one part" in error
    assert error.endswith("Received: in two parts S010, S999 (2 of 3)\n")
    status, out, error = run_verb(train.main, capsys, *words, "--set", "shared_people=true")
    assert status == 0 and "people    3, 2 of them in two parts" in out, error


def test_classes_are_excluded_and_ordered(tmp_path):
    layouts.write_ckplus(tmp_path)
    seven = read_faces(tmp_path, input_size=48, skip_classes=["neutral"])
    assert seven.classes == ("disgust", "surprise", "contempt") and len(seven) == 9
    assert set(seven.people) == {"S005", "S010", "S999"}
    order = ("contempt", "neutral", "surprise", "disgust")
    assert read_faces(tmp_path, input_size=48, classes=order).classes == order
    layouts.write_kdef(tmp_path / "kdef")
    both = kdef.read(tmp_path / "kdef", Reading(input_size=48), angles=("S", "HL"))
    assert len(both) == 30 and set(both.people) == {"F01", "M01"}


# -- what is not read ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["affectnet", "expw", "ck+", "kdef"])
def test_whole_pictures_need_a_size(name, tmp_path):
    WRITERS[name][0](tmp_path)
    with pytest.raises(UserError, match="Give --input-size N"):
        read_faces(tmp_path)


def test_a_folder_of_two_data_sets_is_refused(tmp_path):
    layouts.write_rafdb(tmp_path)
    layouts.write_expw(tmp_path)
    with pytest.raises(UserError, match="the layout of one data set.*RAF-DB, ExpW"):
        read_faces(tmp_path)
    shutil.rmtree(tmp_path / "label")
    save(tmp_path / "train/happy/a.png", "happy")
    with pytest.raises(UserError, match="the layout of one data set.*RAF-DB, train/"):
        read_faces(tmp_path)


def test_numbers_of_no_known_data_set_are_refused(tmp_path):
    for part in ("train", "val", "test"):
        for code in range(8):
            save(tmp_path / f"{part}/{code}/{code}.jpg", "happy", code)
    with pytest.raises(UserError, match="FER2013, AffectNet and RAF-DB number them differently"):
        read_faces(tmp_path)


def test_a_list_can_be_given_itself(tmp_path):
    expected = layouts.write_affectnet(tmp_path)
    faces = read_faces(tmp_path / "Manually_Annotated_file_lists/validation.csv", input_size=48)
    assert len(faces) == 8 and set(faces.usage) == {2} and set(faces.names) <= set(expected)
    layouts.write_rafdb(tmp_path / "raf")
    assert len(read_faces(tmp_path / "raf/EmoLabel/list_patition_label.txt")) == 28
    layouts.write_affectnet_kaggle(tmp_path / "kaggle")
    assert "; 1 label differs" in read_faces(tmp_path / "kaggle/labels.csv").identified


def test_a_list_that_is_a_pipe_is_no_layout(tmp_path):
    (tmp_path / "EmoLabel").mkdir()
    os.mkfifo(tmp_path / "EmoLabel/list_patition_label.txt")
    with pytest.raises(UserError, match="expected class folders with images"):
        read_faces(tmp_path)


def test_header_of_affectnet():
    assert set(affectnet.COLUMNS) <= set(AFFECTNET_HEADER.split(","))
