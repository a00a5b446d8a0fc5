"""A progress bar with the remaining time, on standard error, if that is a terminal."""

import shutil
import sys
import time

from insideout_tf.errors import printable, show

WIDTH = 24  # characters of the bar
DELAY = 0.5  # seconds before the bar appears: short work shows nothing
INTERVAL = 0.1  # seconds between two drawings, at least


class Bar:
    """Shows how much work is done and how long the rest will take; use it with `with`.

    Writes nothing if standard error is not a terminal. The bar is removed when the block ends.

    Args:
        name: of the work, such as the name of a file.
        total: the number of units of work; 0 or None if it is not known.
        unit: the plural of what is counted, such as "frames".

    Example:
        >>> with Bar("photos", len(paths), "pictures") as bar:
        ...     for path in paths:
        ...         read(path)
        ...         bar.advance()
    """

    def __init__(self, name, total, unit):
        self._name, self.total, self._unit = printable(name), total or 0, unit
        self._done, self._note = 0, ""
        self._is_terminal = has_terminal()
        self._start = time.monotonic()
        self._next_drawing = self._start + DELAY
        self._is_visible = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.clear()

    def advance(self, count=1, note=""):
        """Counts `count` more units as done, and draws the bar. note: text at its end."""
        self._done, self._note = self._done + count, note
        now = time.monotonic()
        if self._is_terminal and now >= self._next_drawing:
            self._next_drawing = now + INTERVAL
            columns = shutil.get_terminal_size().columns
            text = self._format(now - self._start)[: columns - 1]  # a longer line would wrap
            print(f"\r{text}\033[K", end="", file=sys.stderr, flush=True)
            self._is_visible = True

    def print(self, *values, file=None):
        """Prints as `print` does, without a rest of the bar in the line. file: default stdout."""
        self.clear()
        show(" ".join(map(str, values)), file)

    def clear(self):
        """Removes the bar from the terminal; the next `advance` draws it again."""
        if self._is_visible:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
            self._is_visible, self._next_drawing = False, 0.0

    def _format(self, elapsed):
        """Returns the line to show after `elapsed` seconds."""
        if not self.total:
            line = f"{self._name} {self._done:,} {self._unit}, {format_duration(elapsed)}"
        else:
            done = min(self._done, self.total)  # a total can be an estimate
            filled = WIDTH * done // self.total
            remaining = elapsed * (self.total - done) / max(done, 1)
            full, empty = choose_blocks()
            line = (
                f"{self._name} {full * filled}{empty * (WIDTH - filled)} {self._done:,}/"
                f"{self.total:,} {self._unit}, {format_duration(remaining)} left"
            )
        return f"{line}, {self._note}" if self._note else line


def format_duration(seconds):
    """Returns seconds as text: "42 s", "3 min 20 s" or "2 h 05 min"."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02} min"


def announce(text):
    """Writes one line to standard error if that is a terminal: what is about to take some seconds."""
    if has_terminal():
        show(text, sys.stderr)


def has_terminal():
    """Returns True if standard error is a terminal; it can be closed."""
    return sys.stderr is not None and sys.stderr.isatty()


def choose_blocks():
    """Returns the characters of the done and the open part of a bar, which standard error can show."""
    try:
        "█░".encode(getattr(sys.stderr, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return "#", "."
    return "█", "░"
