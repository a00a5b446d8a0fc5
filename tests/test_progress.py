"""The progress bar shows the remaining time on a terminal, and nothing anywhere else."""

import io
import os
import sys

import pytest

from insideout_tf import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    """Replaces the module `time` with a clock that the test moves."""

    seconds = 100.0

    def monotonic(self):
        return self.seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    monkeypatch.setattr(progress.shutil, "get_terminal_size", lambda: os.terminal_size((200, 24)))
    return clock


def test_done_total_and_remaining_time(clock, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress.Bar("clip.mp4", 1200, "frames") as bar:
        clock.seconds += 30
        bar.advance(300, "12.0 s happy")
        filled, empty = "█" * 6, "░" * 18
        line = f"clip.mp4 {filled}{empty} 300/1,200 frames, 1 min 30 s left, 12.0 s happy"
        assert terminal.getvalue() == f"\r{line}\033[K"
        clock.seconds += 1
        bar.advance(1000)  # the total of a video is only an estimate
        assert "1,300/1,200 frames, 0 s left" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\033[K")  # removed at the end


def test_a_camera_has_no_end(clock, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    for total in (0, None):
        with progress.Bar("webcam:0", total, "frames") as bar:
            clock.seconds += 75
            bar.advance(20)
        assert "\rwebcam:0 20 frames, 1 min 15 s\033[K" in terminal.getvalue()


def test_nothing_is_written_where_nobody_watches(clock, monkeypatch, capsys):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.Bar("photos", 9, "pictures") as bar:
        clock.seconds += 60
        bar.advance()
        bar.print("one line")
    assert stream.getvalue() == "" and capsys.readouterr().out == "one line\n"


def test_short_work_shows_nothing_and_long_work_not_too_often(clock, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress.Bar("photos", 1000, "pictures") as bar:
        bar.advance()
        assert terminal.getvalue() == ""
        clock.seconds += 10
        for _ in range(500):
            clock.seconds += 0.01
            bar.advance()
    assert 40 <= terminal.getvalue().count("pictures") <= 51  # at most ten times a second


def test_lines_replace_the_bar_and_it_comes_back(clock, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress.Bar("photos", 4, "pictures") as bar:
        clock.seconds += 2
        bar.advance()
        bar.print("an error", file=sys.stderr)
        assert terminal.getvalue().endswith("\033[K\r\033[Kan error\n")
        bar.advance()
        assert "2/4 pictures, 2 s left" in terminal.getvalue()


def test_a_narrow_terminal_cuts_the_line(clock, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress.shutil, "get_terminal_size", lambda: os.terminal_size((20, 24)))
    with progress.Bar("a long name of a file.mp4", 4, "frames") as bar:
        clock.seconds += 2
        bar.advance()
    assert terminal.getvalue().startswith("\ra long name of a fi\033[K")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")],
)
def test_durations(seconds, text):
    assert progress.format_duration(seconds) == text
