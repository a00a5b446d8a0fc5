"""Published data sets in small: drawn faces under the names that the real files have.

Each writer takes an empty folder and returns what `read_faces` must find in it: {name: (class, usage,
person)}.
"""

import functools

import numpy as np
from PIL import Image

from insideout_tf.data import drawn
from insideout_tf.data.classes import EMOTIONS

# The numbers of the data sets, as their authors publish them.
RAFDB = "surprise fear disgust happy sad angry neutral".split()
AFFECTNET = "neutral happy sad surprise fear disgust angry contempt".split()
CKPLUS = "neutral angry contempt disgust fear happy sad surprise".split()
AFFECTNET_HEADER = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,"
    "arousal"
)


@functools.cache
def _drawings():
    pixels, labels, _ = drawn.draw_all(350, 7, 7, seed=2)
    return [pixels[labels == emotion] for emotion in range(7)]


def face_of(word, number=0):
    """Returns drawing `number` of a class, uint8 `[48, 48]`. Contempt looks like disgust here."""
    faces = _drawings()[EMOTIONS.index("disgust" if word == "contempt" else word)]
    return faces[number % len(faces)]


def save(path, word, number=0, size=(48, 48), colour=True):
    """Writes a drawing as an image file, by default in colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(face_of(word, number)).resize(size)
    if colour:
        levels = np.asarray(image.convert("RGB")) * (1.0, 0.9, 0.8)
        image = Image.fromarray(levels.astype(np.uint8))
    image.save(path)


def save_scene(path, *faces):
    """Writes a picture of 200×160 pixels with faces (word, left, top) of 48×48 pixels in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = np.random.default_rng(0).integers(0, 256, (160, 200), np.uint8)
    for word, left, top in faces:
        part = face_of(word)[: 160 - top, : 200 - left]
        levels[top : top + part.shape[0], left : left + part.shape[1]] = part
    Image.fromarray(levels).save(path)


def write(path, *lines, end="\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(end.join(lines))


def write_rafdb(folder):
    lines, expected = [], {}
    for part, digits, each in (("train", 5, 3), ("test", 4, 1)):
        for number in range(7 * each):
            name, code = f"{part}_{number + 1:0{digits}}", number % 7 + 1
            save(folder / f"Image/aligned/{name}_aligned.jpg", RAFDB[code - 1], number, (100, 100))
            lines.append(f"{name}.jpg {code}")
            usage = 0 if part == "train" else 2
            expected[f"Image/aligned/{name}_aligned.jpg"] = (RAFDB[code - 1], usage, None)
    write(folder / "EmoLabel/list_patition_label.txt", *lines)  # no newline after the last line
    return expected


def write_rafdb_kaggle(folder):
    expected = {}
    for part, digits, each in (("train", 5, 2), ("test", 4, 1)):
        rows = []
        for number in range(7 * each):
            code, name = number % 7 + 1, f"{part}_{number + 1:0{digits}}_aligned.jpg"
            save(folder / f"DATASET/{part}/{code}/{name}", RAFDB[code - 1], number, (100, 100))
            rows.append(f"{name},{code}")
            expected[f"{part}/{code}/{name}"] = (RAFDB[code - 1], 0 if part == "train" else 2, None)
        write(folder / f"{part}_labels.csv", "image,label", *rows)
    return expected


def affectnet_line(name, code, box=(20, 30, 48, 48)):
    return ",".join(map(str, (name, *box, "1.5;2.5", code, -2, -2)))


def write_affectnet(folder):
    expected = {}
    for part, usage, suffix in (("training", 0, "png"), ("validation", 2, "PNG")):
        lines = []
        for code, word in enumerate(AFFECTNET):
            name = f"{code}/{part}{code:05}.{suffix}"
            save_scene(folder / "Manually_Annotated_Images" / name, (word, 20, 30))
            lines.append(affectnet_line(name, code))
            expected[f"Manually_Annotated_Images/{name}"] = (word, usage, None)
        lines += [affectnet_line(f"9/{part}{code}.jpg", code) for code in (8, 9, 10, 10)]
        write(folder / f"Manually_Annotated_file_lists/{part}.csv", AFFECTNET_HEADER, *lines)
    return expected


def write_affectnet_arrays(folder):
    expected = {}
    for part, usage in (("train_set", 0), ("val_set", 2)):
        (folder / part / "annotations").mkdir(parents=True)
        for code, word in enumerate([*AFFECTNET, "none"]):
            number = 7 * code + usage
            save(
                folder / f"{part}/images/{number}.jpg", "happy" if code == 8 else word, 0, (64, 64)
            )
            value = np.array(str(code)) if code % 2 else np.array(code)
            np.save(folder / f"{part}/annotations/{number}_exp.npy", value)
            np.save(folder / f"{part}/annotations/{number}_lnd.npy", np.zeros(136))
            if code < 8:
                expected[f"{part}/images/{number}.jpg"] = (word, usage, None)
    return expected


def write_affectnet_kaggle(folder):
    """The first picture of anger is of contempt, says the table."""
    rows, expected = [], {}
    for word in ("anger", "contempt", "happy"):
        for number in range(2):
            name = f"{word}/image{number:07}.jpg"
            drawing = "angry" if word == "anger" else word
            save(folder / name, drawing, number, (96, 96))
            label = "contempt" if (word, number) == ("anger", 0) else word
            rows.append(f"{len(rows)},{name},{label},0.87")
            expected[name] = ("angry" if label == "anger" else label, 0, None)
    write(folder / "labels.csv", ",pth,label,relFCs", *rows)
    return expected


def write_ckplus(folder):
    """Two persons with labelled sequences of five frames; one sequence without a label, one empty."""
    expected = {}
    for person, sequence, code, frames in (
        ("S005", "001", 3, 5),
        ("S005", "002", None, 4),
        ("S010", "001", 7, 5),
        ("S010", "003", "empty", 4),
        ("S999", "001", 2, 3),
    ):
        for frame in range(1, frames + 1):
            name = f"cohn-kanade-images/{person}/{sequence}/{person}_{sequence}_{frame:08}.png"
            word = CKPLUS[code] if isinstance(code, int) and frame > frames - 3 else "neutral"
            save(folder / name, word, frame, (64, 48), colour=False)
            if isinstance(code, int) and (frame == 1 or frame > frames - 3):
                expected[name] = (word, 0, person)
        if code is not None:
            (folder / "Emotion" / person / sequence).mkdir(parents=True)
        if isinstance(code, int):
            name = f"{person}/{sequence}/{person}_{sequence}_{frames:08}_emotion.txt"
            write(folder / "Emotion" / name, f"   {code:.7e}\n")
    return expected


def write_ck48(folder):
    expected = {}
    words = ("anger", "contempt", "disgust", "fear", "happy", "sadness", "surprise")
    for word, own in zip(words, (*CKPLUS[1:],)):
        for person in (5, 10, 999):
            name = f"{word}/S{person:03}_001_00000017.png"
            save(folder / name, own, person, colour=False)
            expected[name] = (own, 0, f"S{person:03}")
    return expected


def write_ckextended(folder):
    lines = []
    for code, word in enumerate((*EMOTIONS, "contempt")):
        text = " ".join(map(str, face_of(word).ravel()))
        lines += [f"{code},{text},{usage}" for usage in ("Training", "PublicTest", "PrivateTest")]
    write(folder / "ckextended.csv", "emotion,pixels,Usage", *lines, "")


def write_jaffe(folder):
    codes = dict(zip(("AN", "DI", "FE", "HA", "NE", "SA", "SU"), (*EMOTIONS[:4], "neutral", "sad")))
    codes["SU"] = "surprise"
    expected, number = {}, 1
    for person in ("KA", "NA", "NM", "YM"):
        for code, word in codes.items():
            name = f"{person}.{code}1.{number}.tiff"
            save(folder / name, word, number, (64, 64), colour=False)
            expected[name] = (word, 0, person)
            number += 1
    write(folder / "README_FIRST.txt", "about these pictures")
    return expected


def write_kdef(folder):
    codes = ("AF", "fear"), ("AN", "angry"), ("DI", "disgust"), ("HA", "happy"), ("SA", "sad")
    expected = {}
    for person in ("AF01", "BF01", "AM01"):
        for code, word in codes:
            for angle in ("S", "HL"):
                name = f"KDEF/{person}/{person}{code}{angle}.JPG"
                save(folder / name, word, 1, (48, 64))
                if angle == "S":
                    expected[name] = (word, 0, person[1:])
    save(folder / "AKDEF/FAFFL.JPG", "fear", 1, (48, 64))
    save(folder / "KDEF/FAFS.JPG", "fear", 1, (48, 64))  # an averaged face among the persons
    return expected


def write_expw(folder):
    """Two faces in one picture; the query in the name is not the class; one line is there twice."""
    save_scene(folder / "image/origin/afraid_girl_7.png", ("happy", 10, 20), ("sad", 100, 60))
    lines = [
        "afraid_girl_7.png 0 20 10 58 68 22.9 3",
        "afraid_girl_7.png 1 60 100 148 108 88 4",
        "afraid_girl_7.png 0 20 10 58 68 22.9 3",
    ]
    expected = {
        "image/origin/afraid_girl_7.png#0": ("happy", 0, None),
        "image/origin/afraid_girl_7.png#1": ("sad", 0, None),
    }
    for code, word in enumerate(EMOTIONS):
        save_scene(folder / f"image/origin/happy_{code}.png", (word, 180, 130))
        lines.append(f"happy_{code}.png 0 130 180 228 178 60.5 {code}")  # beyond two edges
        expected[f"image/origin/happy_{code}.png#0"] = (word, 0, None)
    write(folder / "label/label.lst", *lines, "")
    return expected


def write_ferplus(folder):
    columns = "neutral happy surprise sad angry disgust fear contempt".split()
    expected = {}
    for part, usage in (("Train", 0), ("Valid", 1), ("Test", 2)):
        lines = []
        counts = [[6 if place == column else 0 for place in range(10)] for column in range(10)]
        counts += [[5, 5, 0, 0, 0, 0, 0, 0, 0, 0], [1] * 10, [3, 1, 1, 1, 1, 1, 1, 1, 0, 0]]
        for number, votes in enumerate(counts):
            name = f"fer{number:07}.png"
            word = columns[number] if number < 8 else "neutral"
            save(folder / f"data/FER2013{part}/{name}", word, number, colour=False)
            lines.append(f'{name},"(0, 0, 48, 48)",{",".join(map(str, votes))}')
            if number < 8 or number == 12:
                expected[f"data/FER2013{part}/{name}"] = (word, usage, None)
        write(folder / f"data/FER2013{part}/label.csv", *lines)
    return expected


# Of each layout: the writer, and the options with which `read_faces` reads it.
WRITERS: dict = {
    "rafdb": (write_rafdb, {}),
    "rafdb kaggle": (write_rafdb_kaggle, {}),
    "affectnet": (write_affectnet, {"input_size": 48}),
    "affectnet arrays": (write_affectnet_arrays, {}),
    "affectnet kaggle": (write_affectnet_kaggle, {}),
    "ck+": (write_ckplus, {"input_size": 48}),
    "ck+48": (write_ck48, {}),
    "jaffe": (write_jaffe, {}),
    "kdef": (write_kdef, {"input_size": 48}),
    "expw": (write_expw, {"input_size": 48}),
    "fer+": (write_ferplus, {}),
}
