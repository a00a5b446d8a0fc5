"""A headless Chromium for tests of pages; tests are skipped where there is none."""

import contextlib
import functools
import http.server
import io
import shutil
import threading

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextlib.contextmanager
def open_browser(*options):
    """Yields a Chromium of Playwright; skips the test, with the reason, where it cannot be had.

    options: of the command line, such as those of a made camera.
    """
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason='no Playwright: pip install ".[test]"'
    )
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage", *options]
        )
        try:
            yield browser
        finally:
            browser.close()


def watch(page):
    """Returns a list to which a page appends its console messages, errors, and requests that leave it."""
    seen: list[str] = []
    page.on("console", lambda message: seen.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: seen.append(f"error: {error}"))
    page.on("request", lambda request: _note_request(request, seen))
    return seen


def _note_request(request, seen):
    if not request.url.startswith(("file:", "data:", "blob:", "http://127.0.0.1:")):
        seen.append(f"request: {request.url}")


class _Silent(http.server.SimpleHTTPRequestHandler):
    extensions_map = {
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".wasm": "application/wasm",
    }

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serve(folder):
    """Yields the address of a web server on this machine that serves the files of a folder."""
    handler = functools.partial(_Silent, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def write_camera(path, frames):
    """Writes PIL images as the file of a made camera (Motion JPEG)."""
    with open(path, "wb") as file:
        for frame in frames:
            stream = io.BytesIO()
            frame.save(stream, "JPEG", quality=92)
            file.write(stream.getvalue())
