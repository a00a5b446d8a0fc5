"""Every way the input can be wrong, and the exact message its user reads."""

import io
import struct
import sys
import tarfile
import types
import zipfile

import numpy as np
import pytest
from PIL import Image

from insideout_tf.data import archives, fer2013, folders
from insideout_tf.data.read import read_faces
from insideout_tf.errors import UserError

ROW = " ".join(["7"] * 2304)
HEAD = "emotion,pixels,Usage"
GOOD = f"0,{ROW},Training"


def message(path):
    with pytest.raises(UserError) as caught:
        read_faces(path)
    return str(caught.value)


def write(path, *lines):
    path.write_bytes("".join(line + "\n" for line in lines).encode())
    return path


PIXELS_EXPECTED = "expected 2304 pixels (48×48). Correct or remove the row. Received: "
VALUES_EXPECTED = "expected whole pixel values from 0 to 255. Correct or remove the row. Received: "
LABEL_EXPECTED = (
    "expected an emotion from 0 to 6 (0 angry ... 6 neutral). Correct or remove the row. Received: "
)
USAGE_EXPECTED = (
    "expected a Usage of Training, PublicTest, PrivateTest. Correct or remove the row. Received: "
)
FIELDS_EXPECTED = "expected 3 comma-separated fields. Correct or remove the row. Received: "
START = "'0,7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 '..."
BAD_ROWS = {
    "too few pixels": (f"0,{ROW[:-2]},Training", PIXELS_EXPECTED + "2303 pixels"),
    "too many pixels": (f"0,{ROW} 1,Training", PIXELS_EXPECTED + "2305 pixels"),
    "pixel above 255": (f"0,256 {ROW[2:]},Training", VALUES_EXPECTED + "'256' as pixel 1"),
    "pixel above 299": (f"0,{ROW[:-1]}300,Training", VALUES_EXPECTED + "'300' as pixel 2304"),
    "pixel of four digits": (
        f"0,{ROW[:-1]}1000,Training",
        VALUES_EXPECTED + "'1000' as pixel 2304",
    ),
    "negative pixel": (f"0,{ROW[:-1]}-4,Training", VALUES_EXPECTED + "'-4' as pixel 2304"),
    "fractional pixel": (f"0,1.5 {ROW[2:]},Training", VALUES_EXPECTED + "'1.5' as pixel 1"),
    "not a number": (f"0,x {ROW[2:]},Training", VALUES_EXPECTED + "'x' as pixel 1"),
    "digits of another script": (f"0,٣ {ROW[2:]},Training", VALUES_EXPECTED + "'٣' as pixel 1"),
    "no pixels": ("0,,Training", PIXELS_EXPECTED + "0 pixels"),
    "unknown label": (f"7,{ROW},Training", LABEL_EXPECTED + "'7'"),
    "negative label": (f"-1,{ROW},Training", LABEL_EXPECTED + "'-1'"),
    "label in words": (f"happy,{ROW},Training", LABEL_EXPECTED + "'happy'"),
    "empty label": (f",{ROW},Training", LABEL_EXPECTED + "''"),
    "unknown usage": (f"0,{ROW},Test", USAGE_EXPECTED + "'Test'"),
    "empty usage": (f"0,{ROW},", USAGE_EXPECTED + "''"),
    "missing field": (f"0,{ROW}", FIELDS_EXPECTED + "2 fields, " + START),
    "additional field": (f"0,{ROW},Training,x", FIELDS_EXPECTED + "4 fields, " + START),
    "blank line": ("", FIELDS_EXPECTED + "1 fields, ''"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_bad_row(tmp_path, case):
    row, expected = BAD_ROWS[case]
    path = write(tmp_path / "a.csv", HEAD, GOOD, row, GOOD)
    assert message(path) == f"{path}, line 3: {expected}"


def test_bad_rows_are_skipped_on_request_and_each_is_said(tmp_path):
    good = [f"{i % 7},{ROW.replace('7', str(i), 1)},Training" for i in range(len(BAD_ROWS))]
    pairs = zip(good, (row for row, _ in BAD_ROWS.values()))
    path = write(tmp_path / "a.csv", HEAD, *(line for pair in pairs for line in pair), GOOD)
    faces = read_faces(path, bad_rows="skip")
    assert faces.pixels[:-1, 0, 0].tolist() == list(range(len(good)))
    assert faces.labels[:-1].tolist() == [i % 7 for i in range(len(good))]
    assert faces.skipped == tuple(
        f"{path}, line {3 + 2 * i}: {expected}" for i, (_, expected) in enumerate(BAD_ROWS.values())
    )
    assert message(path) == faces.skipped[0]
    assert message_skipping(write(path, HEAD, "x", "y")) == (
        f"{path}: expected rows of faces after the header. Download the file again. "
        "Received: 2 bad rows and no good one"
    )


def message_skipping(path):
    with pytest.raises(UserError) as caught:
        read_faces(path, bad_rows="skip")
    return str(caught.value)


def test_truncated_file(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"{HEAD}\n{GOOD}\n0,{ROW[:100]}")
    assert message(path) == (
        f"{path}, line 3: expected 3 comma-separated fields. It is the last line: the file looks "
        f"truncated; download it again. Received: 2 fields, {START}"
    )
    assert len(read_faces(path, bad_rows="skip")) == 1


HEADER_EXPECTED = (
    "expected a header with the columns emotion, pixels and (optionally) Usage, in any order. "
    "Check that this is a FER2013 CSV. Received: "
)
BAD_HEADERS = {
    "emotion,Usage": HEADER_EXPECTED + "'emotion,Usage'",
    "a,b,c": HEADER_EXPECTED + "'a,b,c'",
    "\x00\x01": HEADER_EXPECTED + "'\\x00\\x01'",
    "": HEADER_EXPECTED + "''",
    "pixels,Usage": (
        "expected a column 'emotion' beside 'Usage'. Add it, or download the file again. "
        "Received: 'pixels,Usage'"
    ),
    "pixels,emotion,pixels": (
        "expected each column once. Remove the second one. Received: 'pixels,emotion,pixels'"
    ),
}


@pytest.mark.parametrize("header", BAD_HEADERS)
def test_bad_header(tmp_path, header):
    path = write(tmp_path / "a.csv", header, GOOD)
    assert message(path) == f"{path}, line 1: {BAD_HEADERS[header]}"


def test_empty_header_only_missing_and_no_file(tmp_path):
    empty = tmp_path / "empty.csv"
    empty.touch()
    assert message(empty) == (
        f"{empty}: expected a FER2013 file. Download it again. Received: an empty file"
    )
    only = write(tmp_path / "head.csv", HEAD)
    assert message(only) == (
        f"{only}: expected rows of faces after the header. Download the file again. "
        "Received: a header only"
    )
    assert message(tmp_path / "none.csv") == (
        f"{tmp_path / 'none.csv'}: expected a file or folder that exists (fer2013.csv, "
        "icml_face_data.csv, train.csv, .npz, .zip, .tar.gz, or a folder with train/ and test/). "
        "Check the path. Received: nothing there"
    )
    assert message("/dev/null") == (
        "/dev/null: expected a file or a folder. Check the path. Received: a device or a pipe"
    )


def test_line_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(fer2013, "BLOCK_BYTES", 1 << 20)
    path = tmp_path / "a.csv"
    path.write_bytes(b"emotion,pixels,Usage\n" + b"0" * (3 << 20))
    assert message(path) == (
        f"{path}, line 2: expected a row of 2304 pixels. Download the file again. "
        "Received: a line of over 1,048,576 bytes"
    )


def test_csv_of_absurd_size(tmp_path):
    path = tmp_path / "a.csv"
    with open(path, "wb") as file:
        file.truncate(5 << 30)  # sparse: takes no space
    assert message(path) == (
        f"{path}: expected at most 4 GB. Give a FER2013 CSV, which has 0.3 GB. Received: 5 GB"
    )


# -- folders of images -------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path):
    """A folder tree with one image of each class in train/ and in test/."""
    random = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"):
            folder = tmp_path / "tree" / part / name
            folder.mkdir(parents=True)
            face = Image.fromarray(random.integers(0, 256, (48, 48), np.uint8))
            face.save(folder / "im0.png")
    return tmp_path / "tree"


def test_bad_images_one_by_one_and_skipped(tree, monkeypatch):
    folder = tree / "train" / "angry"
    size, garbage, cut, text = (folder / f"{name}" for name in ("a.png", "b.png", "c.png", "d.txt"))
    whole = (folder / "im0.png").read_bytes()
    Image.new("L", (50, 48)).save(size)
    assert message(tree) == (
        f"{size}: expected an image of 48×48 pixels. Crop and resize it, or remove it. "
        "Received: 50×48"
    )
    size.rename(folder / "z1.png")
    garbage.write_bytes(b"no image at all")
    readable = "expected a readable PNG or JPEG image. Replace or remove it. Received: "
    assert message(tree) == (f"{garbage}: {readable}15 bytes, not a recognised image format")
    garbage.rename(folder / "z2.png")
    cut.write_bytes(whole[:700])
    assert message(tree).startswith(f"{cut}: {readable}700 bytes, ")
    cut.rename(folder / "z3.png")
    text.write_text("x")
    assert message(tree) == (
        f"{text}: expected image files (.png, .jpg, .jpeg, .bmp, .webp) in a class folder. Move "
        "or remove it. Received: '.txt'"
    )
    faces = read_faces(tree, bad_rows="skip")
    assert len(faces) == 14 and len(faces.skipped) == 4
    assert [said.split(": ")[0] for said in faces.skipped] == [
        str(folder / name) for name in ("d.txt", "z1.png", "z2.png", "z3.png")
    ]
    text.unlink()
    monkeypatch.setattr(folders.images, "MAX_FILE_BYTES", 100)
    assert message(tree).endswith(
        f"im0.png: expected an image of a few kilobytes. Move or remove it. "
        f"Received: {len((tree / 'test/angry/im0.png').read_bytes()):,} bytes"
    )


def test_unknown_class_and_stray_file(tree):
    (tree / "train" / "hapy").mkdir()
    assert message(tree) == (
        f"{tree / 'train' / 'hapy'}: unknown class 'hapy'; expected one of angry, disgust, fear, "
        "happy, sad, surprise, neutral (or a usual variant, in any case). Did you mean 'happy'? "
        "Rename or remove it. Received: 'hapy'"
    )
    (tree / "train" / "hapy").rmdir()
    (tree / "test" / "labels.csv").touch()
    assert message(tree) == (
        f"{tree / 'test' / 'labels.csv'}: expected only class folders inside test/. "
        "Move or remove it. Received: a file"
    )


def test_folder_without_data(tmp_path):
    advice = (
        "expected train/, test/ or validation/ with class folders, or one FER2013 file. "
        "Give the path of the data itself. Received: "
    )
    assert message(tmp_path) == f"{tmp_path}: {advice}an empty folder"
    (tmp_path / "a.csv").touch()
    (tmp_path / "b.csv").touch()
    assert message(tmp_path) == f"{tmp_path}: {advice}a.csv, b.csv"
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
    assert message(tmp_path) == (
        f"{tmp_path}: expected images in test/, train/<class>/. Check the path. Received: no image"
    )
    deep = tmp_path / "x"
    (deep / "/".join("abcdefghij")).mkdir(parents=True)
    assert message(deep) == (
        f"{deep}/a/b/c/d/e/f/g/h: expected the data at most 8 folders deep. Give the path of the "
        "data itself. Received: another folder"
    )


# -- archives ----------------------------------------------------------------------------------


def zipped(path, **members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("name", ["../evil.csv", "/evil.csv", "a/../../evil.csv", "C:\\evil.csv"])
def test_zip_that_escapes_its_folder(tmp_path, name):
    path = zipped(tmp_path / "a.zip", **{name: "x"})
    assert message(path) == (
        f"{path}: expected members that stay inside the archive's folder. Do not trust this file. "
        f"Received: a member named {name!r}"
    )
    assert not (tmp_path.parent / "evil.csv").exists()


def test_tar_that_escapes_or_links(tmp_path):
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("../evil.csv")
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    assert message(path) == (
        f"{path}: expected members that stay inside the archive's folder. Do not trust this file. "
        "Received: a member named '../evil.csv'"
    )
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("fer2013.csv")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    assert message(path) == (
        f"{path} » fer2013.csv: expected plain files only. Do not trust this file. "
        "Received: a link or a device"
    )


def test_zip_with_a_link(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        member = zipfile.ZipInfo("fer2013.csv")
        member.external_attr = 0o120777 << 16
        archive.writestr(member, "/etc/passwd")
    assert message(path) == (
        f"{path} » fer2013.csv: expected plain files only. Do not trust this file. "
        "Received: a symbolic link"
    )


def test_zip_that_expands_absurdly(tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("fer2013.csv", "w") as member:
            for _ in range(100):
                member.write(bytes(1 << 20))
    assert message(path) == (
        f"{path}: expected an archive that expands to at most 4 GB and 200 times its size. Do not "
        f"trust this file. Received: 104,857,600 bytes from {path.stat().st_size:,}"
    )


def test_archive_of_too_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_ARCHIVE_MEMBERS", 2)
    path = zipped(tmp_path / "a.zip", a="", b="", c="")
    assert message(path) == (
        f"{path}: expected at most 2 files. Unpack it yourself and give the folder. Received: 3"
    )


def test_archives_in_archives(tmp_path):
    inner = zipped(tmp_path / "0.zip", **{"fer2013.csv": f"{HEAD}\n{GOOD}\n"}).read_bytes()
    for depth in (1, 2):
        path = zipped(tmp_path / f"{depth}.zip", **{f"{depth - 1}.zip": inner})
        inner = path.read_bytes()
        if depth == 1:
            assert len(read_faces(path)) == 1
    assert message(path) == (
        f"{path} » 1.zip » 0.zip: expected at most 2 archives in one another. Unpack it yourself "
        "and give the folder. Received: one more"
    )


def test_zip_whose_header_lies_about_the_size(tmp_path):
    path = zipped(tmp_path / "a.zip", **{"fer2013.csv": f"{HEAD}\n{GOOD}\n"})
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\x01\x02")
    data[central + 24 : central + 28] = struct.pack("<I", 3)
    path.write_bytes(data)
    text = message(path)
    assert text.startswith(f"{path}") and "expected" in text and "Received: " in text


def test_damaged_archives(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK\x03\x04 not whole")
    assert message(path) == (
        f"{path}: expected a whole ZIP archive. Download it again. Received: "
        "a file without a ZIP directory (truncated?)"
    )
    path = tmp_path / "a.tar.gz"
    path.write_bytes(b"\x1f\x8b not whole")
    assert message(path).startswith(
        f"{path}: expected a whole archive. Download it again. Received: ReadError: "
    )
    with tarfile.open(path, "w:gz") as archive:
        archive.add(__file__, "fer2013.csv")
    path.write_bytes(path.read_bytes()[:-2000])
    assert message(path).startswith(
        f"{path}: expected a whole archive. Download it again. Received: "
    )


def test_error_inside_an_archive_names_both(tmp_path):
    path = zipped(tmp_path / "a.zip", **{"data/fer2013.csv": f"{HEAD}\n9,{ROW},Training\n{GOOD}\n"})
    expected = f"{path} » data/fer2013.csv, line 2: {LABEL_EXPECTED}'9'"
    assert message(path) == expected
    assert read_faces(path, bad_rows="skip").skipped == (expected,)


# -- npz and downloads -------------------------------------------------------------------------

NPZ_EXPECTED = (
    "expected an npz with 'pixels' uint8 [n, 48, 48], 'emotion' [n] 0..6 and 'usage' [n] "
    "(0 Training, 1 PublicTest, 2 PrivateTest). "
)
BAD_ARRAYS = {
    "pixels of another type": (
        {"pixels": np.zeros((3, 48, 48))},
        ": expected 'pixels' of type uint8 and shape [n, 48, 48]. Convert the array. "
        "Received: float64 [3, 48, 48]",
    ),
    "pixels of another shape": (
        {"pixels": np.zeros((3, 40, 48), np.uint8)},
        ": expected 'pixels' of type uint8 and shape [n, 48, 48]. Convert the array. "
        "Received: uint8 [3, 40, 48]",
    ),
    "no pixels": (
        {
            "pixels": np.zeros((0, 48, 48), np.uint8),
            "emotion": np.zeros(0, int),
            "usage": np.zeros(0, int),
        },
        ": expected at least one face. Give another file. Received: 0 faces",
    ),
    "label too high": (
        {"emotion": np.array([0, 7, 1])},
        ", index 1: expected 'emotion' from 0 to 6. Correct or remove the face. Received: 7",
    ),
    "usage below zero": (
        {"usage": np.array([0, -1, 1])},
        ", index 1: expected 'usage' from 0 to 2. Correct or remove the face. Received: -1",
    ),
    "too few usages": (
        {"usage": np.zeros(2, int)},
        ": expected 'usage' as 3 whole numbers, one a face. Correct the array. Received: int64 [2]",
    ),
    "fractional labels": (
        {"emotion": np.zeros(3)},
        ": expected 'emotion' as 3 whole numbers, one a face. Correct the array. "
        "Received: float64 [3]",
    ),
    "pickled objects": (
        {"emotion": np.array(["a"] * 3, object)},
        ": " + NPZ_EXPECTED + "The file looks damaged; make or download it again. "
        "Received: ValueError: Object arrays cannot be loaded when allow_pickle=False",
    ),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_bad_npz(tmp_path, case):
    path = tmp_path / "a.npz"
    good = {
        "pixels": np.zeros((3, 48, 48), np.uint8),
        "emotion": np.zeros(3, int),
        "usage": np.zeros(3, int),
    }
    change, expected = BAD_ARRAYS[case]
    np.savez(path, **{**good, **change})
    assert message(path) == f"{path}{expected}"


def test_npz_skipping_missing_and_damaged(tmp_path):
    path = tmp_path / "a.npz"
    pixels = np.zeros((3, 48, 48), np.uint8)
    np.savez(path, pixels=pixels, emotion=[0, 9, 1], usage=[3, 0, 0])
    faces = read_faces(path, bad_rows="skip")
    assert faces.labels.tolist() == [1] and len(faces.skipped) == 2
    np.savez(path, pixels=pixels)
    assert message(path) == f"{path}: {NPZ_EXPECTED}Add emotion, usage. Received: pixels"
    path.write_bytes(b"PK no")
    assert message(path) == (
        f"{path}: {NPZ_EXPECTED}The file looks damaged; make or download it again. "
        "Received: BadZipFile: File is not a zip file"
    )


def test_kaggle_download(monkeypatch, tree):
    assert message("kaggle:nothing") == (
        "--data kaggle:nothing: expected kaggle:OWNER/DATASET, for example "
        "kaggle:msambare/fer2013. Received: 'nothing'"
    )
    asked = []
    fake = types.ModuleType("kagglehub")
    fake.dataset_download = lambda name: asked.append(name) or str(tree)
    monkeypatch.setitem(sys.modules, "kagglehub", fake)
    assert len(read_faces("kaggle:msambare/fer2013")) == 14 and asked == ["msambare/fer2013"]

    def fail(name):
        raise ConnectionError("no network\nmore")

    fake.dataset_download = fail
    assert message("kaggle:msambare/fer2013") == (
        "--data kaggle:msambare/fer2013: expected a download. Check the name, the network and your "
        "Kaggle sign-in. Received: ConnectionError: no network"
    )
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    assert message("kaggle:msambare/fer2013") == (
        "--data kaggle:...: expected the optional package kagglehub. Install it with "
        "`pip install kagglehub`, or download the data set in a browser and give its path. "
        "Received: no such package"
    )
