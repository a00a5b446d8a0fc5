"""The page of the demo, with Gradio: it serves this machine alone, and asks no other."""

import atexit
import functools
import html
import os
import re
import shutil
import tempfile
import typing

from insideout_tf import imports, resources
from insideout_tf.api import demo
from insideout_tf.errors import UserError
from insideout_tf.photos import video

HOST = "127.0.0.1"
STREAM_SECONDS = 0.1  # between two frames of the camera, at least
CAMERA_SECONDS = 600  # after which a camera must be started again
BUTTONS = ["download", "fullscreen"]  # of a picture; Gradio's "share" would send it away
KEPT_SECONDS, SWEEP_SECONDS = 600, 60  # that files stay on the disk, and between two looks
TITLE = "insideout: faces and their expressions"
TEXT = (
    "A model names the expression that annotators would see in a face. It does not know what a person "
    "feels. Pictures stay on this machine and are deleted when the demo ends."
)
SHARED = (
    "This page is shared by a public link: whoever has the link can use it, and pictures pass through "
    "Gradio's servers."
)
STYLE = (resources.folder() / "api/demo.css").read_text("utf-8")


class Limits(typing.NamedTuple):
    """What the page accepts.

    Attributes:
        megabytes: of an upload.
        seconds: of a video that are read.
    """

    megabytes: float = 50
    seconds: float = 30


def import_gradio():
    """Returns the module `gradio`, with everything off that would call another server.

    Raises:
        UserError: the package is not installed.
    """
    for name, value in (
        ("GRADIO_ANALYTICS_ENABLED", "False"),
        ("GRADIO_TELEMETRY_ENABLED", "False"),
        ("HF_HUB_DISABLE_TELEMETRY", "1"),
        ("HF_HUB_OFFLINE", "1"),
    ):
        os.environ[name] = value
    return imports.load("gradio", "demo")


class Demo:
    """The running page. Use it with `with`: its uploads are deleted at the end.

    Args:
        models: {name on the page: model}, the first one chosen.
        limits: `Limits`.
        port: a number, or None for the first free one from 7860 on.
        share: make a public link by Gradio's servers.

    Attributes:
        address: the page's address on this machine.
        link: the public link, or None.
    """

    def __init__(self, models, limits=Limits(), port=None, share=False):  # noqa: B008
        self._folder = tempfile.mkdtemp(prefix="insideout_tf_demo_")
        atexit.register(shutil.rmtree, self._folder, ignore_errors=True)  # after a second Ctrl-C
        os.environ["GRADIO_TEMP_DIR"] = self._folder
        try:
            gradio = import_gradio()
            self._blocks = build(gradio, models, limits, self._folder, share)
            _, address, self.link = self._blocks.queue(default_concurrency_limit=1).launch(
                server_name=HOST,
                server_port=port,
                share=share,
                prevent_thread_lock=True,
                quiet=True,
                show_error=False,
                max_file_size=round(limits.megabytes * (1 << 20)),
                ssr_mode=False,
                mcp_server=False,
                run_history=False,
                enable_monitoring=False,
                footer_links=[],
                theme=choose_theme(gradio),
                css=STYLE,
            )
        except OSError as error:
            self.close()
            raise UserError(
                f"--port: expected a free port. Choose another, or none. Received: {error}"
            ) from None
        except BaseException:
            self.close()
            raise
        self.address = address.rstrip("/")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def wait(self):
        """Returns when the server has ended."""
        self._blocks.server.thread.join()

    def close(self):
        """Stops the server and deletes what was uploaded."""
        try:
            if hasattr(self, "_blocks"):
                self._blocks.close(verbose=False)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)


def choose_theme(gradio):
    """Returns a theme with the fonts of the system, since others would be fetched."""
    return gradio.themes.Default(
        primary_hue="blue",
        neutral_hue="slate",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    )


def build(gradio, models, limits, folder, share=False):
    """Returns the `gradio.Blocks` of the page; arguments as of `Demo`. folder: of its temporary files."""
    answers = _make_answers(gradio, models, limits, folder)
    with gradio.Blocks(
        title=TITLE, analytics_enabled=False, delete_cache=(SWEEP_SECONDS, KEPT_SECONDS)
    ) as blocks:
        with gradio.Row(equal_height=False):
            with gradio.Column(scale=1, min_width=320):
                gradio.Markdown(f"# {TITLE}\n{TEXT}{' ' + SHARED if share else ''}")
            with gradio.Column(scale=0, min_width=240):
                model = gradio.Dropdown(list(models), value=next(iter(models)), label="Model")
        with gradio.Tab("Photo", id="photo"):
            _add_photo(gradio, model, answers)
        with gradio.Tab("Webcam", id="webcam"):
            _add_camera(gradio, model, answers)
        with gradio.Tab("Video", id="video"):
            _add_clip(gradio, model, answers, limits)
    return blocks


def _add_photo(gradio, model, answers):
    with gradio.Row():
        with gradio.Column(scale=2):
            source = gradio.Image(sources=["upload", "clipboard"], label="A photo", height=360)
            # Our own decoder opens the file, with its bounds on formats and pixels. (A class of its own
            # would do the same, but Gradio writes a stub beside the module of each one.)
            source.preprocess = lambda upload: None if upload is None else upload.path
            is_face = gradio.Checkbox(label="The picture is one face, cut out")
            explain = gradio.Button("Explain by Grad-CAM")
        with gradio.Column(scale=3):
            shown, latency, bars = _add_results(gradio, "png")
    maps = _add_maps(gradio)
    inputs, outputs = [source, model, is_face], [shown, bars, latency, maps]
    for event in (source.change, model.change, is_face.change):
        event(answers["photo"], inputs, outputs, show_progress="minimal", api_visibility="private")
    explain.click(answers["explain_photo"], inputs, maps, api_visibility="private")


def _add_results(gradio, picture_format):
    """Adds the picture with boxes, the latency and the bars; returns the three components."""
    shown = gradio.Image(
        label="Faces", interactive=False, height=420, format=picture_format, buttons=BUTTONS
    )
    return shown, gradio.Markdown(elem_classes="io-latency"), gradio.HTML()


def _add_maps(gradio):
    return gradio.Image(
        label="Heat maps", interactive=False, visible=False, format="png", buttons=BUTTONS
    )


def _add_camera(gradio, model, answers):
    camera = gradio.State(demo.Camera)
    with gradio.Row():
        with gradio.Column(scale=2):
            source = gradio.Image(
                sources=["webcam"], streaming=True, type="numpy", label="The camera", height=360
            )
            explain = gradio.Button("Explain the last frame by Grad-CAM")
        with gradio.Column(scale=3):
            shown, latency, bars = _add_results(gradio, "jpeg")
    maps = _add_maps(gradio)
    source.stream(
        answers["frame"],
        [source, model, camera],
        [shown, bars, latency, camera],
        stream_every=STREAM_SECONDS,
        time_limit=CAMERA_SECONDS,
        show_progress="hidden",
        api_visibility="private",
    )
    explain.click(answers["explain_frame"], [model, camera], maps, api_visibility="private")


def _add_clip(gradio, model, answers, limits):
    with gradio.Row():
        with gradio.Column(scale=2):
            source = gradio.File(label="A video", file_types=list(video.SUFFIXES), height=200)
            start = gradio.Button("Find the faces", variant="primary")
            gradio.Markdown(
                f"At most {limits.megabytes:g} MB. The first {limits.seconds:g} seconds are read, at most "
                f"{demo.MAX_FRAMES:,} frames.",
                elem_classes="io-latency",
            )
        with gradio.Column(scale=3):
            shown = gradio.Video(
                label="Faces",
                interactive=False,
                height=420,
                autoplay=True,
                loop=True,
                buttons=["download"],
            )
            bars = gradio.HTML()
    start.click(answers["clip"], [source, model], [shown, bars], api_visibility="private")


def _make_answers(gradio, models, limits, folder):
    """Returns the functions of the page by name; a `UserError` becomes a message on the page."""

    def answer_photo(path, model, is_face):
        if path is None:
            return None, "", "", gradio.update(visible=False)
        mode = "crop" if is_face else "auto"
        found = demo.answer_photo(path, models[model], mode)
        return *found, gradio.update(visible=False)

    def explain_photo(path, model, is_face):
        if path is None:
            raise UserError("expected a photo first")
        found = demo.explain(path, models[model], "crop" if is_face else "auto")
        return gradio.update(value=found, visible=True)

    def answer_frame(frame, model, camera):
        if frame is None:
            return None, "", "", camera
        return *camera.answer(frame, models[model]), camera

    def explain_frame(model, camera):
        if camera.image is None:
            raise UserError("expected a frame of the camera first: start it")
        found = demo.explain(camera.image, models[model], "detect")
        return gradio.update(value=found, visible=True)

    def answer_clip(path, model, progress=gradio.Progress()):  # noqa: B008
        if path is None:
            raise UserError("expected a video first")
        out = tempfile.mkdtemp(dir=folder) + "/faces.webm"

        def report_progress(share):
            progress(share, desc="frames")

        return out, demo.answer_clip(path, models[model], out, limits.seconds, report_progress)

    return {
        "photo": _shown(gradio, folder, answer_photo),
        "explain_photo": _shown(gradio, folder, explain_photo),
        "frame": _shown(gradio, folder, answer_frame),
        "explain_frame": _shown(gradio, folder, explain_frame),
        "clip": _shown(gradio, folder, answer_clip),
    }


def _shown(gradio, folder, answer):
    """Returns a function whose mistakes of the user are shown on the page, as text."""

    @functools.wraps(answer)
    def wrapped(*arguments, **keywords):
        try:
            return answer(*arguments, **keywords)
        except (UserError, OSError) as error:
            text = str(error) if isinstance(error, UserError) else f"the file: {error.strerror}"
            text = re.sub(rf"{re.escape(folder)}/\w+/", "", text)  # an upload is known by its name
            raise gradio.Error(html.escape(text), print_exception=False) from None

    return wrapped
