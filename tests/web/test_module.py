"""The JavaScript module and the page of a web export, in a real browser."""

import base64
import dataclasses
import io
import time

import cv2
import numpy as np
import pytest
from browser_helpers import open_browser, serve
from PIL import Image
from web_helpers import open_page, wait_for, wait_until_ready

import insideout_tf
from insideout_tf.data import drawn
from insideout_tf.data.faces import PUBLIC_TEST
from insideout_tf.photos import blazeface, detect
from insideout_tf.photos.tracks import intersection_over_union
from insideout_tf.serving import recognize

SIZE = (640, 400)
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
@pytest.mark.fer2013
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
@pytest.mark.fer2013
def test_a_video_keeps_the_numbers_of_its_faces(page, media):
    page.set_input_files("#video", media / "clip.webm")
    wait_for(lambda: "frames a second" in page.inner_text("#status"))
    for _ in range(5):
        assert page.locator("#faces .number").all_inner_texts() == ["1", "2"]
        time.sleep(0.2)
    page.click("#stop")
    wait_for(lambda: page.inner_text("#status") == "Stopped.")


@pytest.mark.slow
@pytest.mark.fer2013
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


FIND = """async ([picture, search]) => {
  const { findFaces, readPixels } = await import("./insideout.js");
  const bytes = Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0));
  return findFaces(readPixels(await createImageBitmap(new Blob([bytes]))), { search });
}"""


@pytest.mark.slow
@pytest.mark.fer2013
def test_faces_are_found_as_the_package_does(page, real, site, monkeypatch):
    """The package's own search, given the weights of the page's detector, finds the same faces."""
    weights = site / "detector" / "face_detection_short_range.tflite"
    monkeypatch.setattr(blazeface, "INPUT_SIDE", 128)
    monkeypatch.setattr(blazeface, "STRIDES", (8, 16, 16, 16))
    monkeypatch.setattr(blazeface, "MIN_SQUARE", 160)
    monkeypatch.setattr(blazeface, "read_weights", weights.read_bytes)
    find = blazeface.create(cv2)
    rows = np.flatnonzero(real.usage == PUBLIC_TEST)
    places = [(40, 30, 260), (420, 60, 150), (620, 300, 220), (330, 380, 110)]
    picture = Image.new("RGB", (900, 600), (120, 130, 140))
    found_count = 0
    for start in range(0, 40, len(places)):
        for (left, top, side), row in zip(places, rows[start:]):
            picture.paste(Image.fromarray(real.pixels[row]).resize((side, side)), (left, top))
        found = page.evaluate(FIND, [encode(np.asarray(picture)), "squares"])
        # Those whose score is near the least one may be missed by one of the two.
        expected = [each for each in find(np.asarray(picture)) if each[1] >= 0.75]
        for box, score, eyes in expected:
            best = max(found, key=lambda each: intersection_over_union(each["box"], box))
            assert intersection_over_union(best["box"], box) > 0.85
            assert abs(best["score"] - score) < 0.1
            assert np.abs(np.subtract(best["eyes"], eyes)).max() < 0.06 * box[2]
        found_count += len(expected)
        assert len(found) <= len(places)
    assert found_count >= 30
