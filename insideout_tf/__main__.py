"""The front door: `insideout VERB ...`, or `python -m insideout_tf VERB ...`."""

import difflib
import importlib
import sys

from insideout_tf import errors

VERBS = {
    "use": {
        "predict": "the emotions of faces in photos, videos, folders and cropped faces",
        "explain": "Grad-CAM heat maps: which parts of a face a model looked at",
        "demo": "a page in the browser: webcam, photos and videos",
    },
    "train": {
        "recipes": "the recipes that come with the package; --copy begins one of your own",
        "inspect": "what is in a data set: classes, counts, sizes, duplicates, blank images",
        "train": "train a recipe; without arguments the quickstart, on drawn faces",
        "sweep": "the best settings of a recipe, by training it with many",
    },
    "measure": {
        "evaluate": "accuracy, macro-F1 and calibration of a run or a saved model",
        "audit": "likely label errors and near-duplicates in a data set",
        "compare": "several models on the same faces, with paired intervals",
        "report": "one HTML page about a run, or about several side by side",
    },
    "ship": {
        "export": "a trained model for TF Serving, LiteRT and ONNX Runtime, each file checked",
    },
}


def main(argv=None):
    errors.prepare_streams()
    arguments = sys.argv[1:] if argv is None else list(argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(describe_verbs())
        return None
    if arguments[0] in ("-V", "--version"):
        from insideout_tf import __version__

        print(f"insideout_tf {__version__}")
        return None
    verb, *rest = arguments
    names = [name for group in VERBS.values() for name in group]
    if verb not in names:
        close = difflib.get_close_matches(verb, names, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        print(
            f"insideout: expected a verb: {', '.join(names)}.{hint} `insideout --help` lists them. "
            f"Received: {ascii(verb)}",
            file=sys.stderr,
        )
        raise SystemExit(2)
    return importlib.import_module(f"insideout_tf.{verb}").main(rest)


def describe_verbs():
    """Returns the verbs by group as text."""
    lines = ["insideout: facial emotion recognition with Keras 3. Each verb has --help."]
    for group, verbs in VERBS.items():
        lines += ["", f"{group}:"]
        lines += [f"  insideout {name:<10} {meaning}" for name, meaning in verbs.items()]
    return "\n".join([*lines, "", "insideout --version prints the version."])


if __name__ == "__main__":
    sys.exit(main())
