"""Published data sets that are damaged: each fault is one line that names its place."""

import shutil

import numpy as np
import pytest
from layout_helpers import WRITERS, affectnet_line, save

from insideout_tf.data.read import read_faces
from insideout_tf.errors import UserError


def replace(path, old, new):
    path.write_text(path.read_text().replace(old, new, 1))


def add(path, line):
    path.write_text(path.read_text().rstrip("\n") + f"\n{line}\n")


RAF_LIST = "EmoLabel/list_patition_label.txt"
AFFECT_LIST = "Manually_Annotated_file_lists/training.csv"
CK_LABEL = "Emotion/S005/001/S005_001_00000005_emotion.txt"
FER_LIST = "data/FER2013Train/label.csv"
# Writer, what is done to its folder, part of the message, faces that stay with --bad-rows skip (None: none).
FAULTS = {
    "raf: a picture is missing": (
        "rafdb",
        lambda root: (root / "Image/aligned/train_00002_aligned.jpg").unlink(),
        r"list_patition_label.txt, line 2: expected a picture that exists",
        27,
    ),
    "raf: a label of the compound set": (
        "rafdb",
        lambda root: replace(root / RAF_LIST, "train_00002.jpg 2", "train_00002.jpg 8"),
        r"line 2: expected a name and a number from 1 to 7.*Received: 'train_00002.jpg 8'",
        27,
    ),
    "raf: a name is there twice": (
        "rafdb",
        lambda root: add(root / RAF_LIST, "train_00001.jpg 3"),
        r"line 29: expected each picture once",
        28,
    ),
    "raf: a damaged list": (
        "rafdb",
        lambda root: (root / RAF_LIST).write_bytes(b"\xff\x00\x01"),
        r"list_patition_label.txt: expected a list as text in UTF-8",
        None,
    ),
    "raf: an empty list": (
        "rafdb",
        lambda root: (root / RAF_LIST).write_bytes(b""),
        r"list_patition_label.txt: expected a list of faces.*an empty file",
        None,
    ),
    "raf: no pictures": (
        "rafdb",
        lambda root: shutil.rmtree(root / "Image"),
        r"expected the aligned faces of RAF-DB in Image/aligned/",
        None,
    ),
    "raf kaggle: the table contradicts": (
        "rafdb kaggle",
        lambda root: replace(
            root / "test_labels.csv", "test_0003_aligned.jpg,3", "test_0003_aligned.jpg,4"
        ),
        r"test_labels.csv, line 4: expected the class of the folder, 3",
        None,
    ),
    "affectnet: a code out of range": (
        "affectnet",
        lambda root: add(root / AFFECT_LIST, affectnet_line("1/x.jpg", 11)),
        r"training.csv, line 14: expected an expression from 0 to 10 .*Received: 11",
        16,
    ),
    "affectnet: no box": (
        "affectnet",
        lambda root: add(root / AFFECT_LIST, affectnet_line("1/x.jpg", 3, (0, 0, "", 5))),
        r"line 14: expected a face box",
        16,
    ),
    "affectnet: a box outside": (
        "affectnet",
        lambda root: add(
            root / AFFECT_LIST, affectnet_line("0/training00000.png", 3, (900, 0, 5, 5))
        ),
        r"expected a face box inside the picture of 200×160",
        16,
    ),
    "affectnet: a path that leads out": (
        "affectnet",
        lambda root: add(root / AFFECT_LIST, affectnet_line("../../x.jpg", 3)),
        r"line 14: expected the name of a picture inside the data set",
        16,
    ),
    "affectnet: a cut row": (
        "affectnet",
        lambda root: add(root / AFFECT_LIST, "1/x.jpg,1"),
        r"line 14: expected an expression from 0 to 10 .*Received: None",
        16,
    ),
    "affectnet: no column": (
        "affectnet",
        lambda root: replace(root / AFFECT_LIST, "face_width", "width"),
        r"training.csv, line 1: expected the columns subDirectory_filePath, face_x",
        None,
    ),
    "affectnet arrays: no annotation": (
        "affectnet arrays",
        lambda root: (root / "val_set/annotations/9_exp.npy").unlink(),
        r"9_exp.npy: expected an annotation file with one number",
        15,
    ),
    "affectnet arrays: no picture": (
        "affectnet arrays",
        lambda root: (root / "val_set/images/9.jpg").unlink(),
        r"9_exp.npy: expected a picture that exists",
        15,
    ),
    "affectnet arrays: an object": (
        "affectnet arrays",
        lambda root: np.save(root / "train_set/annotations/7_exp.npy", np.array([{}])),
        r"7_exp.npy: expected an annotation file with one number.*allow_pickle=False",
        15,
    ),
    "affectnet arrays: another number": (
        "affectnet arrays",
        lambda root: np.save(root / "train_set/annotations/7_exp.npy", np.array(12)),
        r"7_exp.npy: expected an expression from 0 to 10.*Received: 12",
        15,
    ),
    "ck+: a label is no number": (
        "ck+",
        lambda root: (root / CK_LABEL).write_text("happy"),
        r"00000005_emotion.txt: expected a number from 1 to 7.*Received: 'happy'",
        7,
    ),
    "ck+: a label out of range": (
        "ck+",
        lambda root: (root / CK_LABEL).write_text("  0.0000000e+00"),
        r"00000005_emotion.txt: expected a number from 1 to 7",
        7,
    ),
    "ck+: the last frame is missing": (
        "ck+",
        lambda root: (root / "cohn-kanade-images/S005/001/S005_001_00000005.png").unlink(),
        r"expected the picture of this label, S005_001_00000005.*Received: S005_001_00000004.png",
        7,
    ),
    "ck+48: another name": (
        "ck+48",
        lambda root: save(root / "fear/me.png", "fear", colour=False),
        r"fear/me.png: expected a name such as S010_004_00000017.png",
        None,
    ),
    "jaffe: an unknown code": (
        "jaffe",
        lambda root: save(root / "KA.XX1.3.tiff", "fear", 0, (64, 64), False),
        r"KA.XX1.3.tiff: expected a name such as KA.AN1.39.tiff",
        28,
    ),
    "jaffe: a damaged picture": (
        "jaffe",
        lambda root: (root / "KA.AN1.1.tiff").write_bytes(b"II*\0"),
        r"KA.AN1.1.tiff: expected a readable",
        27,
    ),
    "kdef: an unknown angle": (
        "kdef",
        lambda root: save(root / "KDEF/AM01/AM01SUXX.JPG", "sad", 0, (48, 64)),
        r"AM01SUXX.JPG: expected a name such as AF01ANS.JPG",
        15,
    ),
    "expw: a picture is missing": (
        "expw",
        lambda root: add(root / "label/label.lst", "none.jpg 0 1 2 30 40 9 6"),
        r"label.lst, line 11: expected a picture that exists",
        9,
    ),
    "expw: a code out of range": (
        "expw",
        lambda root: add(root / "label/label.lst", "happy_1.png 1 1 2 30 40 9 7"),
        r"label.lst, line 11: expected a label from 0 to 6.*Received: 7",
        9,
    ),
    "expw: a field less": (
        "expw",
        lambda root: add(root / "label/label.lst", "happy_1.png 1 1 2 30 40 6"),
        r"label.lst, line 11: expected a name, five whole numbers",
        9,
    ),
    "expw: an empty box": (
        "expw",
        lambda root: add(root / "label/label.lst", "happy_1.png 1 30 2 30 30 9 6"),
        r"line 11: expected a box as top, left, right, bottom",
        9,
    ),
    "expw: one face, two labels": (
        "expw",
        lambda root: add(root / "label/label.lst", "happy_1.png 0 130 180 228 178 60.5 6"),
        r"line 11: expected each face of a picture once",
        9,
    ),
    "fer+: a count less": (
        "fer+",
        lambda root: replace(root / FER_LIST, '48)",6,0', '48)",6'),
        r"label.csv, line 1: expected a name, the box \(0, 0, 48, 48\) and ten counts",
        26,
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_one_line(fault, tmp_path):
    name, spoil, words, left = FAULTS[fault]
    writer, options = WRITERS[name]
    writer(tmp_path)
    spoil(tmp_path)
    with pytest.raises(UserError, match=words) as error:
        read_faces(tmp_path, **options)
    assert "\n" not in str(error.value) and "Received: " in str(error.value)
    if left is None:
        with pytest.raises(UserError, match=words):
            read_faces(tmp_path, "skip", **options)
        return
    faces = read_faces(tmp_path, "skip", **options)
    assert len(faces) == left
    assert sum("Received: " in message for message in faces.skipped) == 1
