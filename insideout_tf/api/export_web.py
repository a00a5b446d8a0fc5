"""Export of trained models into a folder that any web server serves: they run in the browser."""

import pathlib
import tempfile
import urllib.parse

from insideout_tf import errors, files, progress
from insideout_tf.api import export as exports
from insideout_tf.data import images
from insideout_tf.errors import UserError
from insideout_tf.network import fold
from insideout_tf.serving import litert, packaged, saved_model, web

MODELS = "models"
KIND = files.FolderKind(
    "web export",
    "a web export",
    (exports.RECORD, *web.PAGE, *web.PACKAGES, f"{MODELS}/*"),
)


def export_web(models, out, quantize="none", data=None, overwrite=False, node_modules=None):
    """Writes a folder with a page, a JavaScript module and one or several models.

    The page finds faces in the webcam, in photos and in videos, and shows their emotions. Everything runs
    in the browser. A fresh process without this package compares each model with Keras, as
    `insideout_tf.api.export.export` does. A failure leaves nothing.

    Args:
        models: a run folder, a .keras file or the name of a packaged model; or a list of them. The page
            begins with the first.
        out: the folder to write.
        quantize: how the weights are stored: "none" (float32), "float16" or "dynamic" (8 bits).
        data: as of `export`.
        overwrite: replace an earlier web export in the folder.
        node_modules: see `serving.web.find_modules`.

    Returns:
        What export.json holds, a dict: `models`, a list of dicts with `name`, `path`, `bytes` and how far
        each is from Keras; and `bytes` of the whole folder.

    Raises:
        UserError: an argument, a model, npm or a written file is not as expected; or two models have one name.
    """
    models = [models] if isinstance(models, (str, pathlib.Path)) else list(models)
    exports.check_arguments(("litert",), quantize, version=1)
    paths = [packaged.model_path(each) for each in models]
    _check_names(paths)
    out = exports.check_paths(out, KIND, data, overwrite)
    modules = web.find_modules(node_modules)
    record: dict = {"quantize": quantize, "models": []}
    with (
        progress.Bar("exporting for the web", len(paths), "models") as bar,
        files.replacing_folder(out, KIND, overwrite) as folder,
    ):
        web.write_page(folder, modules)
        (folder / MODELS).mkdir()
        for path, run in paths:
            bar.advance(0, f"writing {errors.printable(path.stem)}")
            record["models"].append(_write_model(folder, path, run, quantize, data))
            bar.advance()
        names = [entry["name"] for entry in record["models"]]
        files.write_json(folder / MODELS / "models.json", {"models": names})
        record["bytes"] = sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())
        files.write_json(folder / exports.RECORD, record)
    return record


def _check_names(paths):
    """Raises `UserError` if two models have one name. paths: of `packaged.model_path`."""
    names: list[str] = []
    for path, run in paths:
        names.append(exports.name_of(path, run))
        if names[-1] in names[:-1]:
            raise UserError(
                f"{path}: expected models of different names, since the page offers them by name. "
                f"Export them into two folders. Received: {names[-1]!r} twice"
            )


def _write_model(folder, path, run, quantize, data):
    """Writes one model into the folder of an export, compares it, and returns its entry in export.json."""
    model = exports.load(path)
    contract = model.contract
    facts = exports.describe(path, run, contract)
    name = facts["name"]
    file = folder / MODELS / f"{name}.tflite"
    file.write_bytes(litert.to_litert(fold.fold_branches(model), quantize, facts, batch=1))
    description = {
        **facts,
        "file": urllib.parse.quote(file.name),
        "side": contract.side,
        "channels": contract.channels,
    }
    files.write_json(file.with_suffix(".json"), description)
    faces, source = exports.choose_faces(data, run, contract)
    pixels = images.to_model_input(faces, contract)
    with tempfile.TemporaryDirectory() as scratch:
        exports.write_faces(scratch, faces, pixels, model.predict(pixels, verbose=0))
        found = exports.verify("web", file, scratch)
    exports.check(file.relative_to(folder), found, saved_model.PARITY[quantize])
    return {
        "name": name,
        "path": file.relative_to(folder).as_posix(),
        "bytes": file.stat().st_size,
        "compared_on": f"{len(faces)} {source}",
        **found,
    }
