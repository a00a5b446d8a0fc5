"""Shows what a model looked at: `insideout explain MODEL IMAGE --out PNG`."""

import argparse
import pathlib

import numpy as np

from insideout_tf import devices, errors
from insideout_tf.data import images
from insideout_tf.data.classes import EMOTIONS, label_of
from insideout_tf.errors import UserError
from insideout_tf.evaluation import plots
from insideout_tf.network.weights import load_model
from insideout_tf.photos import detect
from insideout_tf.serving import packaged

MOST = 6  # faces of one picture


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="insideout explain",
        description="Draw Grad-CAM heat maps: the places of a face that spoke for an emotion.",
    )
    parser.add_argument("model", help="a run directory, a .keras file or a packaged model")
    parser.add_argument("image", help="a photo, or an image of one face")
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="PNG")
    parser.add_argument(
        "--emotion", help="explain this class (default: the two likeliest of each face)"
    )
    parser.add_argument(
        "--smooth",
        type=int,
        default=0,
        metavar="N",
        help="average over N copies with noise, which steadies the map (default 0; 16 is plenty)",
    )
    parser.add_argument(
        "--layer", help="look at this layer (default: the last with a spatial extent)"
    )
    parser.add_argument("--faces", choices=detect.MODES, default="auto", help="as of predict")
    return parser.parse_args(argv)


def main(argv=None):
    arguments = parse(argv)
    with errors.reported("insideout explain"):
        print(explain(**vars(arguments)))


def explain(model, image, out, emotion=None, smooth=0, layer=None, faces="auto"):
    """Writes the figure; returns what it shows as text. Raises `UserError`."""
    if not 0 <= smooth <= 1000:
        raise UserError(f"--smooth: expected 0 to 1000 copies. Received: {smooth}")
    wanted = None if emotion is None else label_of(emotion, "--emotion")
    path, _ = packaged.model_path(model)
    picture = images.read_image(image)
    found = detect.FaceDetector(faces)(picture)[:MOST]
    if not found:
        raise UserError(
            f"{image}: expected a face. Cut it out and give it with --faces crop. Received: a "
            "picture in which none is found"
        )
    devices.prepare_backend()
    from insideout_tf.evaluation import grad_cam

    loaded = load_model(path)
    pixels = np.stack([face.pixels for face in found])
    maps, labels, probabilities = grad_cam.heatmaps(
        loaded, pixels, None if wanted is None else [wanted] * len(found), layer, smooth
    )
    shown = [(maps, labels)]
    if wanted is None:
        second = np.argsort(-probabilities, 1, kind="stable")[:, 1]
        shown.append(grad_cam.heatmaps(loaded, pixels, second, layer, smooth)[:2])
    title = f"{pathlib.Path(image).name}: Grad-CAM of {path.stem if path.name != packaged.MODEL else path.parent.name}"
    plots.save(plots.heat(pixels, shown, probabilities, title), out)
    lines = [
        f"face {index + 1}: {EMOTIONS[label]} {row[label]:.1%}"
        for index, (label, row) in enumerate(zip(labels, probabilities))
    ]
    return "\n".join([*lines, f"written to {out}"])


if __name__ == "__main__":
    main()
