"""Shows which parts of a face a model looked at: `insideout explain MODEL IMAGE ... --out PNG`."""

import argparse
import functools
import pathlib

from insideout_tf import errors, progress, targets
from insideout_tf.api.explain import draw_explanations, explain_images
from insideout_tf.photos import detect
from insideout_tf.serving import packaged

KIND = "explanation"  # kept in the figure


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="insideout explain",
        description="Draw Grad-CAM heat maps: the regions of a face that support an emotion.",
    )
    parser.add_argument("model", help="a run folder, a .keras file or a packaged model")
    parser.add_argument("image", nargs="+", help="photos, or images of one face each")
    parser.add_argument("--out", type=pathlib.Path, required=True, metavar="PNG")
    parser.add_argument(
        "--emotion", help="explain this class (default: the two most probable of each face)"
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
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier figure")
    return parser.parse_args(argv)


def main(argv=None):
    with errors.reported("insideout explain"):
        arguments = parse(argv)
        progress.announce("loading the model ...")
        errors.show(explain(**vars(arguments)))


def explain(model, image, out, emotion=None, smooth=0, layer=None, faces="auto", overwrite=False):
    """Writes the figure of one or more pictures; returns what it shows as text. Raises `UserError`.

    overwrite: replace an earlier figure of this function at `out`.
    """
    from insideout_tf.evaluation import plots

    output = targets.Target("--out", out, functools.partial(targets.is_picture, kind=KIND))
    targets.check_targets([output], [*image, packaged.model_path(model)[0]], overwrite)
    explanations = explain_images(
        image, model, emotion=emotion, smooth=smooth, layer=layer, faces=faces
    )
    path, run = packaged.model_path(model)
    shown = sorted({pathlib.Path(each.source).name for each in explanations})
    pictures = shown[0] if len(shown) == 1 else f"{len(shown)} pictures"
    title = f"{pictures}: Grad-CAM of {run.name if run else path.stem}"
    plots.save(draw_explanations(explanations, title), out, KIND, overwrite)
    lines: list[str] = []
    for each in explanations:
        source = errors.printable(each.source)
        number = 1 + sum(line.startswith(f"{source}: face ") for line in lines)
        label = each.labels[0]
        lines.append(
            f"{source}: face {number}: {each.classes[label]} {each.probabilities[label]:.1%}"
        )
    return "\n".join([*lines, f"written to {errors.printable(out)}"])


if __name__ == "__main__":
    main()
