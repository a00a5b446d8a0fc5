"""A web export, made once, and pictures for its page."""

import os

import cv2
import numpy as np
import pytest
from browser_helpers import write_camera
from PIL import Image

from insideout_tf.api.export_web import export_web
from insideout_tf.errors import UserError
from insideout_tf.serving import web

SIZE = (640, 400)
PLACES = ((60, 60, 220), (340, 140, 190))
ROWS = (28713, 28738)  # faces of PublicTest


@pytest.fixture(scope="session")
def node_modules():
    """The npm packages; INSIDEOUT_TF_NODE_MODULES names a folder that has them."""
    try:
        return web.find_modules(os.environ.get("INSIDEOUT_TF_NODE_MODULES") or None)
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def site(node_modules, tiny_run, tmp_path_factory):
    """A web export of a packaged model and of a run."""
    folder = tmp_path_factory.mktemp("web") / "site"
    export_web(["nano", tiny_run], folder, node_modules=node_modules)
    return folder


@pytest.fixture(scope="session")
def media(real, tmp_path_factory):
    """A folder with a scene of two faces, a video of it, and the frames of a made camera."""
    folder = tmp_path_factory.mktemp("media")
    faces = [Image.fromarray(face) for face in real.pixels[list(ROWS)]]

    def scene(moved):
        picture = Image.new("RGB", SIZE, (120, 130, 140))
        for face, (left, top, side) in zip(faces, PLACES):
            picture.paste(face.resize((side, side)), (left + moved, top))
        return picture

    scene(0).save(folder / "scene.png")
    frames = [scene(2 * index) for index in range(20)]
    write_camera(folder / "camera.mjpeg", frames)
    writer = cv2.VideoWriter(str(folder / "clip.webm"), cv2.VideoWriter_fourcc(*"VP80"), 10, SIZE)
    for frame in frames:
        writer.write(np.asarray(frame)[..., ::-1])
    writer.release()
    (folder / "no.png").write_bytes(b"<script>alert(1)</script>")
    (folder / "no.webm").write_bytes(b"no video")
    return folder
