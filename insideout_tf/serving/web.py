"""Writes the page and the runtime of a web export. Their npm packages are fetched by npm, or given."""

import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile

from insideout_tf import resources
from insideout_tf.errors import UserError

FOLDER = resources.folder() / "web"
PAGE = (
    *("index.html", "style.css", "app.js"),
    *("insideout.js", "pixels.js", "detector.js", "tracks.js"),
)
_LITERT, _UTILS = "@litertjs/core", "@litertjs/wasm-utils"
PACKAGES = {  # files of the export, and where npm packages have them
    "litert/litert.js": f"{_LITERT}/dist/index.js",
    "litert/wasm-utils.js": f"{_UTILS}/dist/index.js",
    **{
        f"litert/{name}": f"{_LITERT}/wasm/{name}"
        for stem in ("litert_wasm_internal", "litert_wasm_compat_internal")
        for name in (f"{stem}.js", f"{stem}.wasm")
    },
    "detector/face_detection_short_range.tflite": (
        "@mediapipe/face_detection/face_detection_short_range.tflite"
    ),
}
NPM_SECONDS = 600


def find_modules(node_modules=None):
    """Returns the folder of the npm packages whose files an export copies.

    node_modules: such a folder; None installs the packages of `web/package-lock.json` by npm, once, into
    the cache folder of the user (XDG_CACHE_HOME, or ~/.cache).

    Raises:
        UserError: a file is missing, npm is not installed, or it fails.
    """
    if node_modules is None:
        node_modules = _install()
    folder = pathlib.Path(node_modules).expanduser()
    for source in PACKAGES.values():
        if not (folder / source).is_file():
            raise UserError(
                f"--node-modules: expected {source} in it. Run `npm ci` in a folder with the files "
                f"package.json and package-lock.json of {FOLDER}, and give its node_modules. Received: {folder}"
            )
    return folder


def _install():
    """Returns the node_modules of the packages that the lock file names, installed by npm if they are not yet."""
    lock = (FOLDER / "package-lock.json").read_bytes()
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    home = cache / "insideout_tf" / f"web-{hashlib.sha256(lock).hexdigest()[:16]}"
    if (home / "node_modules").is_dir():
        return home / "node_modules"
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(
            "--format web: expected npm, which fetches LiteRT for browsers once. Install Node.js, or give a "
            "folder with the packages by --node-modules. Received: no npm on the PATH"
        )
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent) as folder:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(FOLDER / name, folder)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=NPM_SECONDS
            )
            failure = ""
            if done.returncode:
                failure = done.stderr.strip() or f"status {done.returncode}"
        except subprocess.TimeoutExpired:
            failure = f"no answer within {NPM_SECONDS} seconds"
        if failure:
            raise UserError(
                "--format web: expected npm to fetch the packages of LiteRT. Connect to the internet "
                "once, or give a folder with them by --node-modules. Received: "
                f"{failure.splitlines()[-1][:200]}"
            )
        try:
            os.replace(folder, home)
        except OSError:
            if not (home / "node_modules").is_dir():  # else another process was faster
                raise
        else:
            pathlib.Path(folder).mkdir()  # which the context removes
    return home / "node_modules"


def write_page(folder, modules):
    """Writes the page, its scripts, LiteRT and the face detector into a folder.

    modules: the folder of `find_modules`.
    """
    for name in PAGE:
        shutil.copyfile(FOLDER / name, folder / name)
    for target, source in PACKAGES.items():
        (folder / target).parent.mkdir(exist_ok=True)
        shutil.copyfile(modules / source, folder / target)
    # A browser knows no names of packages.
    script = folder / "litert/litert.js"
    text = script.read_text("utf-8")
    if text.count(f'"{_UTILS}"') != 1:
        raise UserError(
            f"{modules / PACKAGES['litert/litert.js']}: expected one import of {_UTILS}. Use the versions of "
            f"package-lock.json. Received: {text.count(_UTILS)}"
        )
    script.write_text(text.replace(f'"{_UTILS}"', '"./wasm-utils.js"'), "utf-8")
