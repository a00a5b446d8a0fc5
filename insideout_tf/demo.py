"""Opens a page that recognises faces of photos, the webcam and videos: `insideout demo`."""

import argparse

from insideout_tf import errors, progress
from insideout_tf.errors import UserError
from insideout_tf.serving import packaged

MAX_MEGABYTES, MAX_SECONDS = 1000, 600


def parse(argv):
    parser = argparse.ArgumentParser(
        prog="insideout demo",
        description="Recognise faces on a page in the browser: photos, the webcam and videos. Only this "
        'machine can open the page. It needs pip install ".[demo]".',
    )
    parser.add_argument(
        "--model",
        action="append",
        metavar="NAME_OR_PATH",
        help="a run folder, a .keras or a .tflite file, to choose on the page beside the packaged models; "
        "give the option again for another (default: the packaged models)",
    )
    parser.add_argument("--port", type=int, help="default: the first free one from 7860 on")
    parser.add_argument(
        "--max-mb", type=float, default=50, metavar="N", help="size of an upload (default 50)"
    )
    parser.add_argument(
        "--max-seconds",
        type=float,
        default=30,
        metavar="N",
        help="seconds of a video that are read (default 30)",
    )
    parser.add_argument(
        "--share",
        action="store_true",
        help="make a public link; pictures then pass through Gradio's servers",
    )
    return parser.parse_args(argv)


def main(argv=None):
    with errors.reported("insideout demo"):
        arguments = parse(argv)
        check_arguments(arguments)
        progress.announce("loading the model and the page ...")
        from insideout_tf.api import demo, demo_page

        demo_page.import_gradio()
        models = demo.list_models(arguments.model or [packaged.DEFAULT])
        limits = demo_page.Limits(arguments.max_mb, arguments.max_seconds)
        try:
            with demo_page.Demo(models, limits, arguments.port, arguments.share) as running:
                errors.show(f"{running.address}: open it in a browser; Ctrl-C ends it")
                if running.link:
                    errors.show(f"{running.link}: public, for whoever has the link")
                running.wait()
        except errors.Terminated:
            raise
        except KeyboardInterrupt:
            errors.show("the demo has ended; what was uploaded is deleted")


def check_arguments(arguments):
    """Raises `UserError` for limits and ports that are out of range."""
    for name, value, high in (
        ("--max-mb", arguments.max_mb, MAX_MEGABYTES),
        ("--max-seconds", arguments.max_seconds, MAX_SECONDS),
        ("--port", 1 if arguments.port is None else arguments.port, 65535),
    ):
        if not 0 < value <= high:  # this form refuses NaN
            raise UserError(f"{name}: expected more than 0, at most {high}. Received: {value:g}")


if __name__ == "__main__":
    main()
