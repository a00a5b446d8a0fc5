"""A folder tree gives its images in natural order, or one message that names the file at fault."""

import numpy as np
import pytest
from data_helpers import error_of
from PIL import Image

from insideout_tf.data import images
from insideout_tf.data.read import read_faces

FILES = {
    "train/Angry/Training_1.jpg": (0, 0),
    "train/disgusted/im0.png": (1, 0),
    "train/FEARFUL/im9.png": (2, 0),
    "train/FEARFUL/im10.png": (2, 0),
    "test/happiness/PublicTest_3.png": (3, 1),
    "test/sad/PrivateTest_4.png": (4, 2),
    "test/surprised/im3.png": (5, 2),
    "validation/neutral/²4.png": (6, 1),
}


def random_face(random):
    return Image.fromarray(random.integers(0, 256, (48, 48), np.uint8))


@pytest.fixture
def small_tree(tmp_path):
    """A folder tree with one image of each class in train/ and in test/."""
    random = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"):
            folder = tmp_path / "tree" / part / name
            folder.mkdir(parents=True)
            random_face(random).save(folder / "im0.png")
    return tmp_path / "tree"


def test_names_labels_usage_and_order(tmp_path):
    random = np.random.default_rng(0)
    for name in FILES:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        random_face(random).save(file)
    (tmp_path / "train/.DS_Store").write_bytes(b"x")
    (tmp_path / "train/FEARFUL/Thumbs.db").write_bytes(b"x")
    faces = read_faces(tmp_path)
    pairs = zip(faces.labels.tolist(), faces.usage.tolist())
    assert dict(zip(faces.names, pairs)) == FILES and faces.source == str(tmp_path)
    fears = [name for name in faces.names if "FEAR" in name]
    assert fears == ["train/FEARFUL/im9.png", "train/FEARFUL/im10.png"]
    for name, pixels in zip(faces.names, faces.pixels):
        assert np.array_equal(pixels, np.asarray(Image.open(tmp_path / name))), name


def test_bad_images_one_by_one_and_skipped(small_tree, monkeypatch):
    folder = small_tree / "train" / "angry"
    size, garbage, cut, text = (folder / f"{name}" for name in ("a.png", "b.png", "c.png", "d.txt"))
    whole = (folder / "im0.png").read_bytes()
    Image.new("L", (50, 48)).save(size)
    assert error_of(small_tree) == (
        f"{size}: expected an image of 48×48 pixels. Give --input-size N for all, or crop and resize "
        "it, or remove it. Received: 50×48"
    )
    size.rename(folder / "z1.png")
    garbage.write_bytes(b"no image at all")
    readable = "expected a readable PNG or JPEG image. Replace or remove it. Received: "
    assert error_of(small_tree) == (f"{garbage}: {readable}15 bytes, not a recognised image format")
    garbage.rename(folder / "z2.png")
    cut.write_bytes(whole[:700])
    assert error_of(small_tree).startswith(f"{cut}: {readable}700 bytes, ")
    cut.rename(folder / "z3.png")
    text.write_text("x")
    assert error_of(small_tree) == (
        f"{text}: expected image files ({', '.join(images.SUFFIXES)}) in a class folder. Move "
        "or remove it. Received: '.txt'"
    )
    faces = read_faces(small_tree, bad_rows="skip")
    assert len(faces) == 14 and len(faces.names) == 14
    assert [message.split(": ")[0] for message in faces.skipped] == [
        str(folder / name) for name in ("d.txt", "z1.png", "z2.png", "z3.png")
    ]
    text.unlink()
    (folder / "z1.png").unlink()
    monkeypatch.setattr(images, "MAX_FILE_BYTES", 100)
    first = small_tree / "test/angry/im0.png"
    assert error_of(small_tree) == (
        f"{first}: expected an image of at most 100 bytes. Move or remove it. "
        f"Received: {first.stat().st_size:,} bytes"
    )
    assert error_of(small_tree, "skip") == (
        f"{small_tree}: expected images in test/, train/<class>/. Check the path. "
        "Received: 16 bad files"
    )


def test_unknown_class_and_file_beside_the_classes(small_tree):
    (small_tree / "train" / "sad").rename(small_tree / "train" / "hapy")
    assert error_of(small_tree) == (
        f"{small_tree / 'train' / 'hapy'}: unknown class 'hapy'; expected one of angry, disgust, "
        "fear, happy, sad, surprise, neutral (or a usual variant, in any case). Did you mean "
        "'happy'? Rename or remove it. Received: 'hapy'"
    )
    (small_tree / "train" / "hapy").rename(small_tree / "train" / "sad")
    (small_tree / "test" / "labels.csv").touch()
    assert error_of(small_tree) == (
        f"{small_tree / 'test' / 'labels.csv'}: expected only class folders inside test/. "
        "Move or remove it. Received: a file"
    )


def test_pictures_of_any_kind_are_faces_but_not_several_frames(small_tree):
    folder = small_tree / "train/happy"
    face = Image.open(next(folder.glob("*.png")))
    before = len(read_faces(small_tree))
    for name in ("x.tiff", "y.gif", "z.jfif", "w.webp"):
        face.save(folder / name, format="JPEG" if name == "z.jfif" else None)
    assert len(read_faces(small_tree)) == before + 4
    for name in ("x.tiff", "y.gif", "w.webp"):
        face.save(folder / name, save_all=True, append_images=[face.rotate(90)])
        message = error_of(small_tree)
        assert message.startswith(f"{folder / name}: expected one picture.")
        assert message.endswith("Received: 2 frames")
        (folder / name).unlink()
