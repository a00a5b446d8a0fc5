"""`insideout demo`: its page in a real browser with a made camera, its answers, and its limits."""

import collections
import contextlib
import os
import re
import sys
import time

import numpy as np
import pytest
from browser_helpers import open_browser, watch, write_camera
from conftest import run_python, run_verb
from PIL import Image

from insideout_tf import demo as verb
from insideout_tf.api import demo
from insideout_tf.data import drawn
from insideout_tf.errors import UserError
from insideout_tf.photos import detect, video

PLACES = ((60, 60, 220), (340, 140, 190))


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """A folder with a scene of two drawn faces, a video of it, and the frames of a made camera."""
    folder = tmp_path_factory.mktemp("media")
    find, faces = detect.FaceDetector("detect"), []
    for face in drawn.draw_all(56, 7, 7)[0]:
        scene = make_scene([face], PLACES[:1])
        if len(find(scene)) == 1 and len(faces) < 2:
            faces.append(face)
    make_scene(faces, PLACES).save(folder / "scene.png")
    frames = [
        make_scene(faces, [(60 + 2 * index, 60, 220), PLACES[1]]).resize((480, 300))
        for index in range(20)
    ]
    with video.create_writer(folder / "clip.mp4", 10, (480, 300)) as append:
        for frame in frames:
            append(np.asarray(frame))
    write_camera(folder / "camera.mjpeg", frames)
    return folder


def make_scene(faces, places):
    """Returns a picture with faces pasted at (left, top, side)."""
    scene = Image.new("RGB", (640, 400), (120, 130, 140))
    for face, (left, top, side) in zip(faces, places):
        scene.paste(Image.fromarray(face).resize((side, side)), (left, top))
    return scene


@pytest.fixture(scope="module")
def running(tiny_run):
    """A running demo with a run and the packaged models."""
    pytest.importorskip("gradio", reason='no Gradio: pip install ".[demo]"')
    from insideout_tf.api import demo_page

    models = demo.list_models(["small", tiny_run])
    with demo_page.Demo(models, demo_page.Limits(megabytes=1, seconds=1)) as page:
        yield page


@pytest.fixture
def view(running, media):
    """The page in a browser with a made camera; an error of the page fails the test."""
    with open_view(running, media) as (page, seen):
        yield page
        assert seen == []


@contextlib.contextmanager
def open_view(running, media):
    """Yields the page in a browser with a made camera, and the errors that it reports, a list."""
    with open_browser(
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={media / 'camera.mjpeg'}",
    ) as browser:
        context = browser.new_context(
            permissions=["camera"], viewport={"width": 1280, "height": 900}
        )
        page = context.new_page()
        seen = watch(page)
        page.goto(running.address)
        page.wait_for_selector("text=Explain by Grad-CAM")
        errors: list[str] = []
        yield page, errors
        errors += [line for line in seen if not line.startswith(("warning:", "log:"))]


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
def test_a_photo_has_boxes_bars_a_latency_and_heat_maps(view, media):
    view.locator("input[type=file]").first.set_input_files(media / "scene.png")
    view.wait_for_selector(".io-face")
    assert view.locator(".io-face").count() == 2
    assert view.locator(".io-number").all_inner_texts() == ["1", "2"]
    assert view.locator(".io-face").first.locator(".io-row").count() == 7
    assert re.search(
        r"\d+ ms to find 2 faces, .* ms to recognise, 640×400", view.inner_text("body")
    )
    view.get_by_role("button", name="Explain by Grad-CAM").click()
    maps = view.locator("img[src*='gradio_api/file=']").nth(-1)
    view.wait_for_selector("text=Heat maps", timeout=120_000)
    wait_for(lambda: maps.evaluate("image => image.naturalWidth") > 300, 120)


@pytest.mark.slow
def test_the_model_can_be_chosen_and_no_other(view, media, tiny_run):
    view.locator("input[type=file]").first.set_input_files(media / "scene.png")
    view.wait_for_selector(".io-face")
    before = view.inner_text(".io-faces")
    view.get_by_label("Model").click()
    assert view.get_by_role("option").all_inner_texts() != []
    options = [text.strip("✓ \n") for text in view.get_by_role("option").all_inner_texts()]
    assert options == ["small", "run", "nano"]
    view.get_by_role("option", name="run").click()
    wait_for(lambda: view.inner_text(".io-faces") != before)


@pytest.mark.slow
def test_the_camera_streams(view):
    view.get_by_role("tab", name="Webcam").click()
    view.get_by_text("Click to Access Webcam").click()
    view.get_by_text("Record").first.click()
    view.wait_for_selector(".io-face", timeout=60_000)
    wait_for(lambda: view.locator(".io-face").count() == 2)
    first = view.inner_text(".io-faces")
    wait_for(lambda: view.locator(".io-face").count() and view.inner_text(".io-faces") != first)
    assert view.locator(".io-number").all_inner_texts() == ["1", "2"]
    view.get_by_text("Stop").first.click()


@pytest.mark.slow
def test_a_video_comes_back_with_boxes_and_lanes(view, media):
    view.get_by_role("tab", name="Video").click()
    view.locator("input[type=file]").last.set_input_files(media / "clip.mp4")
    view.wait_for_selector("text=.mp4")
    view.get_by_role("button", name="Find the faces").click()
    view.wait_for_selector(".io-lane", timeout=120_000)
    assert view.locator(".io-lane").count() == 2
    assert "11 frames, 1.0 s of video" in view.inner_text("body")  # --max-seconds of this demo
    playing = view.locator("video").last
    wait_for(lambda: playing.evaluate("video => video.videoWidth") == 480)


@pytest.mark.slow
def test_an_upload_that_is_no_picture_is_refused(view, tmp_path):
    (tmp_path / "no.png").write_bytes(b"<script>alert(1)</script>")
    view.locator("input[type=file]").first.set_input_files(tmp_path / "no.png")
    view.wait_for_selector("text=expected a readable PNG or JPEG image")
    assert "insideout_tf_demo" not in view.inner_text("body")  # the name of the file alone


@pytest.mark.slow
def test_an_upload_that_is_too_large_is_refused(running, tmp_path, media):
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")
    assert (tmp_path / "large.png").stat().st_size > 1 << 20
    with open_view(running, media) as (view, _):
        view.locator("input[type=file]").first.set_input_files(tmp_path / "large.png")
        view.wait_for_selector("text=exceed the maximum allowed size of 1.0 Mb")


@pytest.mark.slow
def test_only_this_machine_and_only_its_own_files(running):
    import urllib.error
    import urllib.request

    assert running.address.startswith("http://127.0.0.1:") and running.link is None
    for path in ("/etc/passwd", "setup.cfg", os.path.abspath("setup.cfg")):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{running.address}/gradio_api/file={path}")
        assert refused.value.code in (403, 404)


@pytest.mark.slow
def test_it_ends_by_a_signal_and_leaves_no_upload(tmp_path):
    pytest.importorskip("gradio", reason='no Gradio: pip install ".[demo]"')
    code = """
import os, signal, sys, threading
from insideout_tf import demo, errors
show = errors.show
def show_and_stop(text, *rest):
    show(text, *rest)
    if text.startswith("http"):
        folder = os.environ["GRADIO_TEMP_DIR"]
        open(folder + "/upload.png", "w").close()
        print("FOLDER", folder, flush=True)
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
errors.show = show_and_stop
signal.signal(signal.SIGINT, signal.default_int_handler)
demo.main([])
"""
    done = run_python(code)
    folder = re.search(r"FOLDER (\S+)", done.stdout)[1]
    assert "the demo has ended" in done.stdout and not os.path.exists(folder)


def test_a_missing_gradio_is_one_line(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    status, out, error = run_verb(verb.main, capsys)
    assert status == 2 and out == "" and error.count("\n") == 1
    assert "expected the package gradio. Install it with `pip install gradio`" in error


@pytest.mark.parametrize(
    "words, expected",
    [
        (("--port", "0"), "--port: expected"),
        (("--port", "99999"), "--port: expected"),
        (("--max-mb", "nan"), "--max-mb: expected"),
        (("--max-seconds", "-1"), "--max-seconds: expected"),
    ],
)
def test_wrong_options_are_one_line(words, expected, capsys):
    status, _, error = run_verb(verb.main, capsys, *words)
    assert status == 2 and expected in error and error.count("\n") == 1


def test_an_unknown_model_is_refused_at_the_start(tmp_path):
    with pytest.raises(UserError, match="expected one of nano, small"):
        demo.list_models([tmp_path / "none"])
    assert list(demo.list_models(["nano"])) == ["nano", "small"]


def test_names_of_classes_are_text_on_the_page():
    hostile = ("<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "\x1b[2J")
    bars = demo.draw_bars(["1"], np.array([[0.5, 0.3, 0.2]]), hostile)
    lanes = demo.summarize_clip({0: collections.Counter({hostile[1]: 2.0})}, hostile, [])
    for text in (bars, lanes):
        assert "<script" not in text and "<img" not in text and "\x1b" not in text
    assert "No face was found" in demo.draw_bars([], [], hostile)
    many = demo.draw_bars(["1"], np.full((1, 200), 1 / 200), [f"c{i}" for i in range(200)])
    assert many.count("io-row") == demo.MAX_BARS


@pytest.mark.slow
def test_answers_of_pictures_without_a_face_and_of_cropped_faces(tmp_path, media):
    Image.new("RGB", (300, 200), (90, 90, 90)).save(tmp_path / "wall.png")
    found = demo.answer_photo(tmp_path / "wall.png", "small")
    assert "No face was found" in found.bars and "0 faces" in found.latency
    with pytest.raises(UserError, match="expected a face"):
        demo.explain(tmp_path / "wall.png", "small")
    face = drawn.draw_all(7, 7, 7)[0][0]
    Image.fromarray(face).resize((200, 200)).save(tmp_path / "face.png")
    found = demo.answer_photo(tmp_path / "face.png", "small", "crop")
    assert found.bars.count("io-face") == 2 and found.picture.size == (200, 200)  # one in io-faces
    with pytest.raises(UserError, match="a .tflite file, which has none"):
        demo.explain(tmp_path / "face.png", tmp_path / "mine.tflite", "crop")


@pytest.mark.slow
def test_a_camera_numbers_its_faces(media):
    frame = np.asarray(Image.open(media / "scene.png"))
    camera = demo.Camera()
    for _ in range(3):
        found = camera.answer(frame, "small")
    assert re.findall(r'io-number">(\d+)<', found.bars) == ["1", "2"]
    assert camera.image.size == (640, 400)
