"""The exception for a mistake of the user, and the place where the command line prints it."""

import contextlib
import logging
import os
import re
import signal
import sys
import threading
import unicodedata
import warnings

_PACKAGES = {  # of modules whose package has another name
    "PIL": "pillow",
    "ai_edge_litert": "ai-edge-litert",
    "cv2": "opencv-python-headless",
    "google": "protobuf",
    "keras_cv": "keras-cv",
    "pillow_heif": "pillow-heif",
    "sklearn": "scikit-learn",
    "tensorflow_serving": "tensorflow-serving-api",
}


class UserError(ValueError):
    """A mistake that the user can correct.

    The message is one line: `WHERE: expected WHAT. DO THIS. Received: VALUE`.
    """

    def __init__(self, message):
        line = " ".join(str(message).split("\n"))
        super().__init__(printable(hide_passwords(line)))


class Note(UserWarning):
    """What a user should know although nothing failed. A verb prints it as a line."""


class Terminated(KeyboardInterrupt):
    """The process was asked to end by SIGTERM or SIGHUP; it ends as after Ctrl-C."""


def hide_passwords(text):
    """Returns text in which the passwords of web addresses are stars."""
    return re.sub(r"(\w://[^/@:\s]*):\S*@", r"\1:***@", str(text))


def printable(text, keep=""):
    r"""Returns text without characters that a terminal obeys, or that no encoding has.

    Control characters, line breaks, marks of the writing direction and bytes that are no UTF-8 become
    escapes such as \n and \xff. keep: characters that stay.
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(
        each
        if each in keep or each.isprintable() or unicodedata.category(each) == "Zs"
        else f"\\x{ord(each) - 0xDC00:02x}"
        if "\udc80" <= each <= "\udcff"  # a byte of a file name (PEP 383)
        else each.encode("unicode_escape").decode()
        for each in text
    )


def show(text, file=None):
    """Prints text of one or more lines, whatever the encoding of the stream; file: default stdout.

    What the encoding lacks becomes an escape such as \\xd7.
    """
    file = sys.stdout if file is None else file
    if file is None:  # it was closed before the start
        return
    text = printable(text, keep="\n")
    try:
        print(text, file=file, flush=True)
    except UnicodeEncodeError:
        encoding = file.encoding or "ascii"
        text = text.encode(encoding, "backslashreplace").decode(encoding)
        print(text, file=file, flush=True)


def prepare_streams():
    """Lets every text be printed, and opens the standard streams that the caller has closed.

    A file that is opened later would otherwise get the number of a closed stream, and with it what
    libraries print there.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(number, "w", encoding="utf-8", closefd=False))
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def _libraries_silenced(verb):
    """Keeps warnings and log messages of libraries from the terminal, unless the user asked for them.

    A `Note` is printed as a line.
    """
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.NullHandler())  # else Python prints what has no handler
    with warnings.catch_warnings():
        if not sys.warnoptions and all(action != "error" for action, *_ in warnings.filters):
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", Note)
            warnings.showwarning = lambda message, *_: show(f"{verb}: {message}", sys.stderr)
        yield


@contextlib.contextmanager
def _terminated_as_interrupted():
    """Turns SIGTERM and SIGHUP into `Terminated`, so that what is half-written is removed."""

    def stop(number, frame):
        raise Terminated

    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def package_of(module):
    """Returns the name with which pip installs the package of a module."""
    name = module.partition(".")[0]
    return _PACKAGES.get(name, name)


def describe_failed_import(error, module, where="", purpose="", instead=""):
    """Returns the line about an import that failed: the reason, and the command that repairs it.

    error: what the import raised. The other arguments as of `imports.load`.
    """
    package, top = package_of(module), module.partition(".")[0]
    lines = [*str(error).splitlines(), ""]
    if isinstance(error, ModuleNotFoundError) and str(error.name).partition(".")[0] == top:
        reason, advice = "no such package", f"Install it with `pip install {package}`"
    else:
        advice = (
            f"Repair it with `pip install --force-reinstall {package}`; `pip check` names versions that "
            "do not fit"
        )
        reason = f"{type(error).__name__}: {lines[0]}"
        for note in getattr(error, "__notes__", [])[:1]:
            reason += f"; {note.splitlines()[-1]}"
    begin = f"{where}: " if where else ""
    return f"{begin}expected the package {package}{purpose}. {advice}{instead}. Received: {reason}"


def find_failed_import(error):
    """Returns the module whose import raised an error that nobody caught, or None if it is another error.

    The traceback of such an error has a frame of the module's own top level, unless a file of the
    system is missing.
    """
    trace = error.__traceback__
    while trace is not None:
        name = str(trace.tb_frame.f_globals.get("__name__"))
        is_other = name.partition(".")[0] not in ("__main__", "insideout_tf", "runpy")
        if trace.tb_frame.f_code.co_name == "<module>" and is_other:
            return name
        trace = trace.tb_next
    return (error.name or None) if isinstance(error, ImportError) else None


@contextlib.contextmanager
def reported(verb):
    """Ends the process with one line on stderr if this context raises a mistake of the user.

    The exit status is 2 for `UserError`, `OSError` and an import that fails, 130 for an interruption, 143 for SIGTERM, and
    141 without a line if the reader of standard output has gone. Other exceptions pass.

    verb: the command that begins the line, such as "insideout train".
    """
    prepare_streams()
    try:
        with _terminated_as_interrupted(), _libraries_silenced(verb):
            yield
    except UserError as error:
        _report(f"{verb}: {error}")
        raise SystemExit(2) from None
    except KeyboardInterrupt as error:
        details = f" {error}" if str(error) else ""
        with contextlib.suppress(OSError):  # the terminal may be gone
            _report(f"\n{verb}: interrupted{details}")
        raise SystemExit(143 if isinstance(error, Terminated) else 130) from None
    except BrokenPipeError:
        _forget_stdout()
        raise SystemExit(141) from None
    except OSError as error:
        where = (
            f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
        )
        reason = " ".join(str(error.strerror or error).split())
        _report(
            f"{verb}: {printable(where)}{printable(reason)}. Check the path, the permissions and the "
            "free space, then run the command again."
        )
        raise SystemExit(2) from None
    except Exception as error:
        if isinstance(error, RuntimeError) and "home directory" in str(error):  # of expanduser
            line = "~: expected a home directory. Set HOME, or write the path without ~."
        elif module := find_failed_import(error):
            line = describe_failed_import(error, module)
        else:
            raise
        _report(f"{verb}: {line}")
        raise SystemExit(2) from None


def _report(line):
    with contextlib.suppress(BrokenPipeError, ValueError):
        sys.stdout.flush()
    show(line, sys.stderr)


def _forget_stdout():
    """Lets the interpreter end without another error of a pipe that nobody reads."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
