"""The cache of parsed files: the same faces, never those of another content, never in the way."""

import os

import numpy as np
import pytest
from conftest import run_python

from insideout_tf import cache, fer2013, fer2013_files

ROW = " ".join(["7"] * 2304)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/insideout_tf/faces"


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"emotion,pixels,Usage\n3,{ROW},Training\n4,{ROW},PrivateTest\n")
    return path


def refuse(*_):
    raise AssertionError("parsed again")


def same(one, two):
    assert np.array_equal(one.pixels, two.pixels) and np.array_equal(one.usage, two.usage)
    assert np.array_equal(one.labels, two.labels) and one.names == two.names
    assert (one.digest, one.identified) == (two.digest, two.identified)


def test_second_read_parses_nothing(own_cache, csv, monkeypatch):
    first = fer2013.read(csv)
    monkeypatch.setattr(fer2013_files, "read_any", refuse)
    same(fer2013.read(csv), first)
    renamed = csv.rename(csv.with_name("b.csv"))
    again = fer2013.read(renamed)
    same(again, first)
    assert again.source == str(renamed)
    with pytest.raises(AssertionError, match="parsed again"):
        fer2013.read(renamed, use_cache=False)


def test_changed_file_of_the_same_size_and_date_is_read_anew(own_cache, csv):
    fer2013.read(csv)
    date = csv.stat()
    csv.write_text(csv.read_text().replace("3,7 7", "3,7 8"))
    os.utime(csv, ns=(date.st_atime_ns, date.st_mtime_ns))
    assert csv.stat().st_size == date.st_size
    assert fer2013.read(csv).pixels[0, 0, 1] == 8


def test_damaged_entry_is_replaced(own_cache, csv):
    first = fer2013.read(csv)
    (entry,) = own_cache.iterdir()
    whole = entry.read_bytes()
    for damage in (b"", whole[:2000], whole[:300] + b"x" + whole[301:]):
        entry.write_bytes(damage)
        same(fer2013.read(csv), first)
        assert entry.read_bytes() == whole


def test_archive_of_images_keeps_names(own_cache, tmp_path, monkeypatch):
    import zipfile

    from PIL import Image

    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("train/happy/a.png", "test/sad/b.png"):
            with archive.open(name, "w") as file:
                Image.new("L", (48, 48), 9).save(file, "PNG")
    first = fer2013.read(path)
    assert first.names == ("test/sad/b.png", "train/happy/a.png")
    monkeypatch.setattr(fer2013_files, "read_any", refuse)
    same(fer2013.read(path), first)


def test_skipped_rows_are_never_cached(own_cache, csv):
    csv.write_text(csv.read_text() + "9,7,Training\n")
    for _ in range(2):
        assert len(fer2013.read(csv, bad_rows="skip").skipped) == 1
    assert not own_cache.exists()


def test_old_entries_and_abandoned_temporaries_go(own_cache, csv, monkeypatch):
    monkeypatch.setattr(cache, "ENTRIES", 2)
    for shade in range(1, 5):
        csv.write_text(f"emotion,pixels\n3,{ROW.replace('7', str(shade), 1)}\n")
        fer2013.read(csv)
        if shade == 1:
            abandoned = own_cache / ".unfinished-1.x.npz"
            abandoned.touch()
            os.utime(abandoned, (0, 0))
    assert len(list(own_cache.iterdir())) == 2


def test_unusable_folder_is_no_error(tmp_path, csv, monkeypatch):
    """A file where the folder should be: as unusable as a read-only disk, for root as well."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(fer2013.read(csv)) == 2


@pytest.mark.fer2013
def test_kill_while_storing_leaves_no_half_entry(unpacked, own_cache):
    code = """
import os, pathlib, signal, sys
from insideout_tf import fer2013
import numpy as np
save = np.savez
def half(file, **arrays):
    save(file, pixels=arrays["pixels"])
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
np.savez = half
fer2013.read(sys.argv[1])
"""
    done = run_python(code, unpacked("train"), check=False)
    assert done.returncode == -9
    assert not list(own_cache.glob("[0-9]*.npz")) and list(own_cache.glob(".unfinished-*.npz"))
    faces = fer2013.read(unpacked("train"))
    assert faces.identified.startswith("train.csv") and len(list(own_cache.glob("[0-9]*.npz"))) == 1
