"""`insideout export --format web`: its module and its page in a real browser, and what is refused."""

import base64
import dataclasses
import io
import json
import os
import shutil
import time

import cv2
import numpy as np
import pytest
from browser_helpers import open_browser, serve, watch, write_camera
from conftest import run_verb
from PIL import Image

import insideout_tf
from insideout_tf import export as verb
from insideout_tf.api.export_web import export_web
from insideout_tf.data import drawn
from insideout_tf.data.faces import PUBLIC_TEST
from insideout_tf.errors import UserError
from insideout_tf.photos import detect
from insideout_tf.serving import recognize, web

SIZE = (640, 400)
PLACES = ((60, 60, 220), (340, 140, 190))
PREDICT = """async ([address, faces]) => {
  const { load } = await import("./insideout.js");
  window.models ??= {};
  const model = (window.models[address] ??= await load(address));
  const results = [];
  for (const face of faces) {
    const bytes = Uint8Array.from(atob(face), (letter) => letter.charCodeAt(0));
    const picture = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const found = await model.predict(picture, [[0, 0, picture.width, picture.height]]);
    results.push(Object.values(found[0].probabilities));
  }
  return results;
}"""
CROP = """async ([picture, boxes, eyes, channels]) => {
  const { cropFace, readPixels } = await import("./pixels.js");
  const bytes = Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0));
  const pixels = readPixels(await createImageBitmap(new Blob([bytes])));
  return boxes.map((box) => [...cropFace(pixels, box, eyes, 48, channels)]);
}"""


@pytest.fixture(scope="session")
def modules():
    """The npm packages; INSIDEOUT_TF_NODE_MODULES names a folder that has them."""
    try:
        return web.find_modules(os.environ.get("INSIDEOUT_TF_NODE_MODULES") or None)
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def site(modules, tiny_run, tmp_path_factory):
    """A web export of a packaged model and of a run."""
    folder = tmp_path_factory.mktemp("web") / "site"
    export_web(["nano", tiny_run], folder, node_modules=modules)
    return folder


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """A folder with a scene of two drawn faces, a video of it, and the frames of a made camera."""
    folder = tmp_path_factory.mktemp("media")
    faces = [Image.fromarray(face) for face in drawn.draw_all(7, 7, 7)[0][3:5]]

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


def open_page(browser, address, permissions=(), **options):
    context = browser.new_context(permissions=list(permissions), **options)
    page = context.new_page()
    seen = watch(page)
    page.goto(f"{address}/index.html")
    return page, seen


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def wait_until_ready(page):
    wait_for(lambda: page.inner_text("#status").startswith("Ready"))


def encode(image):
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


@pytest.fixture(scope="module")
def page(site):
    """The page without a camera; it may report no error and ask no other address for anything."""
    with serve(site) as address, open_browser() as browser:
        page, seen = open_page(browser, address)
        wait_until_ready(page)
        yield page
        assert seen == []


@pytest.mark.slow
@pytest.mark.fer2013
def test_the_module_predicts_as_keras(page, real):
    """From the same pixels the probabilities agree; so do classes from PNG files of other sizes."""
    rows = np.flatnonzero(real.usage == PUBLIC_TEST)[:512]
    faces = real.pixels[rows]
    found = np.array(page.evaluate(PREDICT, ["models/nano.json", [encode(face) for face in faces]]))
    expected = recognize.load_recognizer("nano", "keras")(faces)
    assert np.abs(found - expected).max() < 1e-3
    random = np.random.default_rng(0)
    others = [
        np.asarray(Image.fromarray(face).resize(tuple(random.integers(60, 300, 1)) * 2))
        for face in faces[:256]
    ]
    found = np.array(
        page.evaluate(PREDICT, ["models/nano.json", [encode(face) for face in others]])
    )
    expected = insideout_tf.predict_emotions(others, model="nano", engine="keras")
    assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.995


@pytest.mark.slow
def test_a_run_keeps_its_classes(page, tiny_run):
    faces = drawn.draw_all(7, 7, 7)[0]
    found = np.array(page.evaluate(PREDICT, ["models/tiny.json", [encode(face) for face in faces]]))
    expected = recognize.load_recognizer(str(tiny_run), "keras")(faces)
    assert np.abs(found - expected).max() < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("eyes", [None, [[120, 110], [180, 131]]])
@pytest.mark.parametrize("channels", [1, 3])
def test_faces_are_cropped_as_the_package_does(page, eyes, channels):
    random = np.random.default_rng(1)
    picture = np.asarray(
        Image.fromarray(random.integers(0, 256, (30, 40, 3), np.uint8)).resize(SIZE)
    )
    boxes = [[100, 80, 101, 130], [-20, -30, 90, 90], [560, 300, 150, 120], [10, 10, 31, 31]]
    found = page.evaluate(CROP, [encode(picture), boxes, eyes, channels])
    contract = detect.FER2013 if channels == 1 else dataclasses.replace(detect.FER2013, channels=3)
    for face, box in zip(found, boxes):
        expected = detect.crop_face(Image.fromarray(picture), box, 0.0, contract, eyes)
        difference = np.abs(np.reshape(face, expected.shape) - expected)
        assert difference.max() <= (1 if eyes else 0)


@pytest.mark.slow
def test_a_photo_has_boxes_numbers_and_bars(page, media):
    page.set_input_files("#photo", media / "scene.png")
    wait_for(lambda: page.locator("#faces .number").count() == 2)
    assert page.locator("#faces .number").all_inner_texts() == ["1", "2"]
    assert page.locator("#faces > li").first.locator(".row").count() == 7
    assert page.inner_text("#status").startswith("2 faces in ")
    assert page.get_attribute("#view", "aria-label").startswith("The picture with face 1: ")
    page.select_option("#model", label="tiny")
    wait_for(lambda: page.locator("#faces .number").count() == 2)


@pytest.mark.slow
def test_a_video_keeps_the_numbers_of_its_faces(page, media):
    page.set_input_files("#video", media / "clip.webm")
    wait_for(lambda: "frames a second" in page.inner_text("#status"))
    for _ in range(5):
        assert page.locator("#faces .number").all_inner_texts() == ["1", "2"]
        time.sleep(0.2)
    page.click("#stop")
    wait_for(lambda: page.inner_text("#status") == "Stopped.")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, message",
    [
        ("no.png", "no.png: expected an image that this browser reads"),
        ("no.webm", "no.webm: expected a video that this browser plays"),
    ],
)
def test_files_that_show_nothing_are_one_line(page, media, name, message):
    page.set_input_files("#photo" if name.endswith("png") else "#video", media / name)
    page.wait_for_selector("#error:not([hidden])")
    assert page.inner_text("#error").startswith(message)


@pytest.mark.slow
@pytest.mark.parametrize(
    "boxes, message",
    [
        ([[0, 0, 0, 5]], "boxes[0]: expected [left, top, width, height] in pixels"),
        ([[0, 0, 5, 5], [900, 0, 5, 5]], "boxes[1]: expected"),
        ([["a"]], "boxes[0]: expected"),
    ],
)
def test_boxes_that_show_nothing_are_refused(page, boxes, message):
    code = """async (boxes) => {
      const { load } = await import("./insideout.js");
      const model = await load("models/nano.json");
      try { await model.predict(new ImageData(64, 64), boxes); } catch (error) { return [error.name, error.message]; }
    }"""
    name, text = page.evaluate(code, boxes)
    assert name == "InputError" and text.startswith(message)


@pytest.mark.slow
def test_a_camera_is_followed_without_leaving_the_page(site, media):
    options = (
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={media / 'camera.mjpeg'}",
    )
    with serve(site) as address, open_browser(*options) as browser:
        page, seen = open_page(browser, address, ["camera"])
        wait_until_ready(page)
        page.click("#webcam")
        wait_for(lambda: page.locator("#faces .number").count() == 2)
        for _ in range(5):
            assert page.locator("#faces .number").all_inner_texts() == ["1", "2"]
            time.sleep(0.2)
        assert "frames a second" in page.inner_text("#status")
        page.keyboard.press("Shift+Tab")  # the page is used by the keyboard, too
        page.focus("#webcam")
        page.keyboard.press("Enter")
        wait_for(lambda: page.inner_text("#status") == "Stopped.")
        assert seen == []


@pytest.mark.slow
def test_no_camera_and_no_permission_are_one_line(site):
    with serve(site) as address, open_browser() as browser:
        page, _ = open_page(browser, address)
        wait_until_ready(page)
        page.click("#webcam")
        page.wait_for_selector("#error:not([hidden])")
        assert page.inner_text("#error").startswith("webcam: expected a camera. Received: ")
    with serve(site) as address, open_browser("--use-fake-device-for-media-stream") as browser:
        page, _ = open_page(browser, address)
        wait_until_ready(page)
        page.click("#webcam")
        page.wait_for_selector("#error:not([hidden])")
        assert "the permission to use it was refused" in page.inner_text("#error")


@pytest.mark.slow
@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda folder: (folder / "models/nano.tflite").unlink(),
            "/models/nano.tflite: expected a model file",
        ),
        (
            lambda folder: (folder / "models/nano.json").write_text("{}"),
            "/models/nano.json: expected the .json file of",
        ),
        (
            lambda folder: (folder / "models/nano.json").write_text("no"),
            "/models/nano.json: expected JSON",
        ),
        (
            lambda folder: (folder / "models/nano.tflite").write_bytes(b"no model"),
            "/models/nano.tflite: expected a LiteRT model",
        ),
        (
            lambda folder: shutil.copy(
                next((folder / "detector").iterdir()), folder / "models/nano.tflite"
            ),
            "/models/nano.tflite: expected a LiteRT model with an input of float32 [1, 48, 48, 1]",
        ),
        (
            lambda folder: shutil.rmtree(folder / "litert"),
            "insideout.js: expected the scripts of the export",
        ),
    ],
)
def test_folders_that_lack_something_are_one_line(site, tmp_path, change, message):
    folder = tmp_path / "site"
    shutil.copytree(site, folder)
    change(folder)
    with serve(folder) as address, open_browser() as browser:
        page, _ = open_page(browser, address)
        page.wait_for_selector("#error:not([hidden])")
        assert page.inner_text("#error").startswith(message)


@pytest.mark.slow
def test_a_browser_without_webassembly_is_one_line(site):
    with serve(site) as address, open_browser("--js-flags=--noexpose_wasm") as browser:
        page, _ = open_page(browser, address)
        page.wait_for_selector("#error:not([hidden])")
        assert page.inner_text("#error").startswith("browser: expected WebAssembly")


@pytest.mark.slow
def test_the_folder_is_whole_and_allows_its_own_origin_alone(site):
    text = (site / "index.html").read_text()
    assert (
        "default-src 'none'" in text
        and "http" not in text.split("Content-Security-Policy")[1].split(">")[0]
    )
    record = json.loads((site / "export.json").read_text())
    assert [entry["name"] for entry in record["models"]] == ["nano", "tiny"]
    assert all(entry["furthest"] < 1e-4 for entry in record["models"])
    with pytest.raises(UserError, match="an earlier|already|expected"):
        export_web(["nano"], site)


def test_what_has_no_npm_is_one_line(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    status, _, error = run_verb(
        verb.main, capsys, "nano", "--format", "web", "--out", tmp_path / "o"
    )
    assert status == 2 and "expected npm, which fetches LiteRT for browsers once" in error
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    "words, message",
    [
        (("nano", "small"), "expected one model. Several are for --format web"),
        (("nano", "--format", "web,onnx"), "expected web alone"),
        (("nano", "--node-modules", "x"), "--node-modules: expected --format web"),
        (
            ("nano", "--format", "web", "--embeddings"),
            "--embeddings: expected another format than web",
        ),
        (
            ("nano", "--format", "web", "--node-modules", "missing"),
            "--node-modules: expected @litertjs",
        ),
        (("no", "--format", "web"), "expected a run folder, a .keras file or a packaged model"),
    ],
)
def test_wrong_options_are_one_line(words, message, capsys, tmp_path):
    status, out, error = run_verb(verb.main, capsys, *words, "--out", tmp_path / "o")
    assert status == 2 and message in error and error.rstrip().count("\n") <= 1
    assert not (tmp_path / "o").exists()


@pytest.mark.slow
def test_two_models_of_one_name_are_refused(modules, tmp_path):
    with pytest.raises(UserError, match="expected models of different names"):
        export_web(["nano", "nano"], tmp_path / "o", node_modules=modules)
    assert not (tmp_path / "o").exists()
