"""Imports of other packages: one that fails is a line with the reason and the command that repairs it."""

import importlib
import importlib.util
import sys
import threading

from insideout_tf import processes
from insideout_tf.errors import UserError, describe_failed_import, package_of

# A module that another thread still imports is in sys.modules, but not whole; OpenCV even replaces itself there.
_lock = threading.RLock()
OPENCV_REPAIR = "pip install --force-reinstall 'opencv-python-headless<5'"


def is_installed(module):
    """Returns True if a top-level module can be imported. It is not imported."""
    return importlib.util.find_spec(module) is not None


def load(module, where="", purpose="", instead=""):
    """Imports a module and returns it.

    Args:
        module: its full name.
        where: begins the message, such as "--format onnx".
        purpose: what the package does, such as ", which reads video".
        instead: the other way out, such as ", or use engine 'keras'".

    Raises:
        UserError: the import fails, for whatever reason.
    """
    with _lock:
        known = sys.modules.get(module)
        if known is not None and not getattr(
            getattr(known, "__spec__", None), "_initializing", False
        ):
            return known
        try:
            with processes.native_stderr_closed(is_watched=True):
                return importlib.import_module(module)
        except Exception as error:
            raise UserError(
                describe_failed_import(error, module, where, purpose, instead)
            ) from None


def load_opencv(where="", purpose="", instead=""):
    """Imports OpenCV and returns it. Arguments and errors as of `load`.

    Of the packages that bring OpenCV, all write one folder: removing one leaves parts of the other.
    """
    cv2 = load("cv2", where, purpose, instead)
    if not hasattr(cv2, "imdecode"):
        raise UserError(
            f"{where}{': ' if where else ''}expected the package {package_of('cv2')}{purpose}. Repair it with "
            f"`{OPENCV_REPAIR}`{instead}. Received: an empty module cv2, as an uninstalled package "
            "of OpenCV leaves it"
        )
    return cv2
