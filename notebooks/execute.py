"""Runs the notebooks and stores their outputs.

    python notebooks/execute.py            # all: about three minutes of processor time
    python notebooks/execute.py 5 6        # those whose names begin so

They run in their order in one temporary folder, where the second trains what later ones load. So one that
runs alone uses a packaged model. Faces are drawn: no picture of FER2013 may enter the project. What is
stored is cleaned: pictures have fewer levels, and there is no path of this machine and no log of TensorFlow.
An output that still breaks a rule stops the script, and the notebook stays as it was.
"""

import argparse
import base64
import hashlib
import io
import os
import pathlib
import re
import sys
import tempfile

import nbformat

FOLDER = pathlib.Path(__file__).resolve().parent
MAX_BYTES = 400_000  # of a notebook
LEVELS, GREYS = 64, 32  # of each colour of a stored picture, and of one without colour
SECONDS = 1800  # of a cell
KEY = "outputs_of"  # in a notebook's metadata: which code its outputs are of
LOG = re.compile(  # lines that TensorFlow, XLA and LiteRT write past Python
    r"^(WARNING: All log messages|[IWE]0000 |\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IWE] |INFO: Created |INFO:tensorflow:)"
)
MACHINE = re.compile(r"(?<![\w.<])(/(root|tmp|home|Users|work|opt|usr|var|mnt)/|[A-Z]:\\)")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="beginnings of names; all if none")
    names = tuple(parser.parse_args().names) or ("",)
    chosen = [path for path in list_notebooks() if path.stem.startswith(names)]
    if not chosen:
        sys.exit(f"execute.py: expected the beginning of a notebook's name. Received: {names}")
    with tempfile.TemporaryDirectory() as folder:
        for path in chosen:
            print(path.name, flush=True)
            notebook = nbformat.read(path, 4)
            run(notebook, folder)
            clean(notebook, folder)
            notebook.metadata[KEY] = fingerprint(notebook)
            text = nbformat.writes(notebook) + "\n"
            if wrong := find_faults(notebook, len(text.encode())):
                sys.exit(f"execute.py: {path.name}: {'; '.join(wrong)}")
            path.write_text(text, "utf-8")


def list_notebooks():
    """Returns the paths of the notebooks, in the order in which they run."""
    return sorted(FOLDER.glob("*.ipynb"))


def run(notebook, folder, seconds=SECONDS):
    """Runs a notebook in a new kernel of this Python, with `folder` as the current one.

    Raises `nbclient.exceptions.CellExecutionError` if a cell fails.
    """
    from nbclient import NotebookClient

    paths = filter(None, [str(FOLDER.parent), os.environ.get("PYTHONPATH")])
    environment = {"PYTHONPATH": os.pathsep.join(paths), "TF_CPP_MIN_LOG_LEVEL": "3"}
    NotebookClient(
        notebook,
        timeout=seconds,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    ).execute(env={**os.environ, **environment})


def clean(notebook, folder):
    """Takes out of the outputs what belongs to this machine, and makes their pictures small."""
    notebook.metadata["language_info"] = {"name": "python"}
    folders = {str(folder), os.path.realpath(folder)}
    for cell in code_cells(notebook):
        cell.metadata.pop("execution", None)
        outputs = []
        for output in cell.outputs:
            if output.output_type == "stream":
                lines = _strip(output.text, folders).splitlines(keepends=True)
                output.text = "".join(line for line in lines if not LOG.match(line))
                if not output.text.strip():
                    continue
            for kind, value in output.get("data", {}).items():
                if kind == "image/png":
                    output.data[kind] = _shrink_png(value)
                elif isinstance(value, str):
                    output.data[kind] = _strip(value, folders)
            outputs.append(output)
        cell.outputs = outputs


def _strip(text, folders):
    for folder in folders:
        text = text.replace(f"{folder}{os.sep}", "").replace(folder, ".")
    return text


def _shrink_png(text):
    """Returns a picture, PNG in base64, with at most `LEVELS` levels of each colour, or `GREYS` of grey."""
    from PIL import Image, ImageChops

    small = io.BytesIO()
    image = Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")
    red, green, blue = image.split()
    if not any(ImageChops.difference(red, other).getbbox() for other in (green, blue)):
        image = red
    steps = (GREYS if image is red else LEVELS) - 1
    table = [round(level * steps / 255) * 255 // steps for level in range(256)]
    image.point(table * len(image.getbands())).save(small, "PNG", optimize=True)
    return min(base64.b64encode(small.getvalue()).decode(), text, key=len)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def fingerprint(notebook):
    """Returns a text that changes with the code of a notebook."""
    code = "\0".join(cell.source for cell in code_cells(notebook))
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def find_faults(notebook, size):
    """Returns what forbids to store a notebook as it is, a list of texts. size: of its file, in bytes."""
    faults = (
        [] if size <= MAX_BYTES else [f"expected at most {MAX_BYTES:,} bytes, received {size:,}"]
    )
    cells = code_cells(notebook)
    if [cell.execution_count for cell in cells] != list(range(1, len(cells) + 1)):
        faults.append("expected outputs of one run from top to bottom")
    if notebook.metadata.get(KEY) != fingerprint(notebook):
        faults.append("the outputs are of other code: run notebooks/execute.py")
    kinds = set()
    for number, cell in enumerate(cells, 1):
        for output in cell.outputs:
            data = output.get("data", {})
            kinds |= set(data)
            texts = [value for kind, value in data.items() if not kind.startswith("image/")]
            texts = [str(each) for each in (*texts, output.get("text", ""))]
            if output.output_type == "error":
                faults.append(f"cell {number}: {output.ename}")
            elif output.get("name") == "stderr":
                faults.append(f"cell {number}: standard error: {output.text[:200]}")
            elif found := next(filter(None, map(MACHINE.search, texts)), None):
                faults.append(f"cell {number}: a path of this machine: {found.string[:2000]}")
    missing = {"text/html", "image/png"} - kinds
    return faults + [f"expected an output of the kind {kind}" for kind in sorted(missing)]


if __name__ == "__main__":
    main()
