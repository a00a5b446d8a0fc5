"""Archives give the faces inside them, or one message; no member leaves the target folder."""

import io
import shutil
import struct
import sys
import tarfile
import types
import zipfile
import zlib

import pytest
from data_helpers import GOOD, HEAD, LABEL_EXPECTED, ROW, error_of, write_lines
from PIL import Image

from insideout_tf.data import archives
from insideout_tf.data.read import read_faces
from insideout_tf.errors import UserError

CSV = f"{HEAD}\n{GOOD}\n"


def write_zip(path, **members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def tree(tmp_path):
    """A folder tree of two images in one class."""
    folder = tmp_path / "images/train/sad"
    folder.mkdir(parents=True)
    for name, level in (("im9.png", 9), ("im10.png", 10)):
        Image.new("L", (48, 48), level).save(folder / name)
    return tmp_path / "images"


def test_archive_of_a_tree_equals_the_tree(tree, tmp_path):
    expected = read_faces(tree)
    shutil.make_archive(tmp_path / "one", "zip", tree)
    shutil.make_archive(tmp_path / "two", "gztar", tree.parent, tree.name)
    for path in (tmp_path / "one.zip", tmp_path / "two.tar.gz"):
        faces = read_faces(path)
        assert faces.pixels[:, 0, 0].tolist() == [9, 10] and faces.source == str(path)
        assert faces.digest == expected.digest
        assert faces.names == expected.names == ("train/sad/im9.png", "train/sad/im10.png")


def test_tar_in_a_zip_as_in_the_competition(tmp_path):
    write_lines(tmp_path / "fer2013.csv", HEAD, GOOD, GOOD)
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "fer2013.csv", "fer2013/fer2013.csv")
        archive.add(__file__, "fer2013/README")
    path = write_zip(tmp_path / "a.zip", **{"a.tar.gz": (tmp_path / "a.tar.gz").read_bytes()})
    faces = read_faces(path)
    assert len(faces) == 2 and faces.source == str(path)


# -- untrusted archives ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../evil.csv", "/evil.csv", "a/../../evil.csv", "C:\\evil.csv"])
def test_zip_member_outside_the_folder(tmp_path, name):
    path = write_zip(tmp_path / "a.zip", **{name: "x"})
    assert error_of(path) == (
        f"{path}: expected members that stay inside the archive's folder. Do not trust this file. "
        f"Received: a member named {name!r}"
    )
    (tmp_path / "target").mkdir()
    with pytest.raises(UserError):
        archives.extract_archive(path, tmp_path / "target")
    assert {found.name for found in tmp_path.rglob("*")} == {"a.zip", "target"}


def test_tar_member_outside_the_folder_and_link(tmp_path):
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("../evil.csv")
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    assert error_of(path) == (
        f"{path}: expected members that stay inside the archive's folder. Do not trust this file. "
        "Received: a member named '../evil.csv'"
    )
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("fer2013.csv")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    assert error_of(path) == (
        f"{path} » fer2013.csv: expected plain files only. Do not trust this file. "
        "Received: a link or a device"
    )


def test_zip_with_a_link(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        member = zipfile.ZipInfo("fer2013.csv")
        member.external_attr = 0o120777 << 16
        archive.writestr(member, "/etc/passwd")
    assert error_of(path) == (
        f"{path} » fer2013.csv: expected plain files only. Do not trust this file. "
        "Received: a symbolic link"
    )


def test_zip_that_expands_too_much(tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("fer2013.csv", "w") as member:
            for _ in range(100):
                member.write(bytes(1 << 20))
    assert error_of(path) == (
        f"{path}: expected an archive that expands to at most 4 GB and 200 times its size. Do not "
        f"trust this file. Received: 104,857,600 bytes from {path.stat().st_size:,}"
    )


def test_archive_of_too_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_ARCHIVE_MEMBERS", 2)
    path = write_zip(tmp_path / "a.zip", a="", b="", c="")
    expected = (
        f"{path}: expected at most 2 files. Unpack it yourself and give the folder. Received: 3"
    )
    assert error_of(path) == expected
    path = path.with_suffix(".tar")
    with tarfile.open(path, "w") as archive:
        for name in "abc":
            archive.addfile(tarfile.TarInfo(name))
    assert error_of(path) == expected.replace("a.zip", "a.tar")


def test_archives_in_archives(tmp_path):
    inner = write_zip(tmp_path / "0.zip", **{"fer2013.csv": CSV}).read_bytes()
    for depth in (1, 2):
        path = write_zip(tmp_path / f"{depth}.zip", **{f"{depth - 1}.zip": inner})
        inner = path.read_bytes()
        if depth == 1:
            faces = read_faces(path)
            assert len(faces) == 1 and faces.source == str(path)
    assert error_of(path) == (
        f"{path} » 1.zip » 0.zip: expected at most 2 archives in one another. Unpack it yourself "
        "and give the folder. Received: one more"
    )


def test_zip_header_with_a_false_size(tmp_path):
    """No more than the declared size is written, whatever follows it in the archive."""
    path = write_zip(tmp_path / "a.zip", **{"fer2013.csv": CSV})
    data = bytearray(path.read_bytes())
    central = data.index(b"PK\x01\x02")
    data[central + 24 : central + 28] = struct.pack("<I", 3)
    path.write_bytes(data)
    assert error_of(path) == (
        f"{path}: expected a whole archive. Download it again. "
        "Received: BadZipFile: Bad CRC-32 for file 'fer2013.csv'"
    )
    data[central + 16 : central + 20] = struct.pack("<I", zlib.crc32(CSV[:3].encode()))
    path.write_bytes(data)
    archives.extract_archive(path, tmp_path / "target")
    assert (tmp_path / "target/fer2013.csv").read_text() == CSV[:3]


def test_damaged_archives(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK\x03\x04 not whole")
    assert error_of(path) == (
        f"{path}: expected a whole ZIP archive. Download it again. Received: "
        "a file without a ZIP directory (truncated?)"
    )
    path = tmp_path / "a.tar.gz"
    path.write_bytes(b"\x1f\x8b not whole")
    whole = f"{path}: expected a whole archive. Download it again. Received: "
    assert error_of(path).startswith(f"{whole}ReadError: ")
    with tarfile.open(path, "w:gz") as archive:
        archive.add(__file__, "fer2013.csv")
    path.write_bytes(path.read_bytes()[:-2000])
    assert error_of(path).startswith(f"{whole}EOFError: ")


def test_error_of_the_disk_stays_one(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archives.shutil, "copyfileobj", fail)
    with pytest.raises(OSError, match="No space left"):
        read_faces(write_zip(tmp_path / "a.zip", **{"fer2013.csv": CSV}))


def test_error_inside_an_archive_names_both_files(tmp_path):
    text = f"{HEAD}\n9,{ROW},Training\n{GOOD}\n"
    path = write_zip(tmp_path / "a.zip", **{"data/fer2013.csv": text})
    expected = f"{path} » data/fer2013.csv, line 2: {LABEL_EXPECTED}'9'"
    assert error_of(path) == expected
    assert read_faces(path, bad_rows="skip").skipped == (expected,)


# -- Kaggle ------------------------------------------------------------------------------------


def test_kaggle_download(monkeypatch, tmp_path):
    write_lines(tmp_path / "fer2013.csv", HEAD, GOOD)
    assert error_of("kaggle:nothing") == (
        "--data kaggle:nothing: expected kaggle:OWNER/DATASET, for example "
        "kaggle:msambare/fer2013. Received: 'nothing'"
    )
    names = []
    fake = types.ModuleType("kagglehub")
    fake.dataset_download = lambda name: names.append(name) or str(tmp_path)
    monkeypatch.setitem(sys.modules, "kagglehub", fake)
    faces = read_faces("kaggle:msambare/fer2013")
    assert len(faces) == 1 and faces.source == str(tmp_path / "fer2013.csv")
    assert names == ["msambare/fer2013"]

    def fail(name):
        raise ConnectionError("no network\nmore")

    fake.dataset_download = fail
    assert error_of("kaggle:msambare/fer2013") == (
        "--data kaggle:msambare/fer2013: expected a download. Check the name, the network and your "
        "Kaggle sign-in. Received: ConnectionError: no network"
    )
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    assert error_of("kaggle:msambare/fer2013") == (
        "--data kaggle:...: expected the package kagglehub. Install it with "
        "`pip install kagglehub`, or download the data set in a browser and give its path. "
        "Received: no such package"
    )
