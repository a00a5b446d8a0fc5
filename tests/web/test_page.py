"""The page of a web export with a camera, and with what browsers and folders may lack."""

import shutil
import time

import pytest
from browser_helpers import open_browser, serve
from web_helpers import open_page, wait_for, wait_until_ready


@pytest.mark.slow
@pytest.mark.fer2013
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
    with serve(site) as address, open_browser() as browser:
        page, _ = open_page(browser, address, script="delete globalThis.WebAssembly")
        page.wait_for_selector("#error:not([hidden])")
        assert page.inner_text("#error").startswith("browser: expected WebAssembly")
