"""Draws the probabilities of the faces of a video over time, with a lane for each person."""

import numpy as np

from insideout_tf.data.classes import EMOTIONS
from insideout_tf.evaluation import plots

MAX_LANES = 8  # the faces that are seen longest
MAX_LINES = 8  # classes of a lane: those with the highest sum
LANE_INCHES, MARGIN_INCHES = 1.7, 1.1


class Timeline:
    """Collects the faces of successive frames.

    Attributes:
        lanes: {number of a face: list of (frame, seconds, probabilities)}.
    """

    def __init__(self):
        self.lanes = {}

    def append(self, frame, seconds, numbers, probabilities):
        """Adds a frame: its position, its time, and the number and probabilities of each face."""
        for number, row in zip(numbers, probabilities):
            self.lanes.setdefault(number, []).append((frame, seconds, row))

    def choose(self):
        """Returns the numbers of the faces that are drawn, in ascending order."""
        by_length = sorted(self.lanes, key=lambda number: (-len(self.lanes[number]), number))
        return sorted(by_length[:MAX_LANES])


def to_lines(samples):
    """Returns times `[n]` and probabilities `[n, k]` of a face, with NaN where it was away.

    samples: a list of (frame, seconds, probabilities), in order.
    """
    times, rows = [], []
    for before, (frame, seconds, row) in zip([None, *samples], samples):
        if before is not None and frame > before[0] + 1:
            times.append(seconds)
            rows.append(np.full(len(row), np.nan))
        times.append(seconds)
        rows.append(row)
    return np.array(times), np.array(rows, np.float64)


def write(path, timeline, last_seconds, title, colours, overwrite=True, classes=EMOTIONS, kind=""):
    """Writes a figure with a lane for each face of a `Timeline`.

    Args:
        path: the PNG file.
        timeline: with at least one face, or none: then the figure has one empty lane.
        last_seconds: the time of the last frame.
        title: of the figure.
        colours: of each class, for lines on white.
        overwrite, kind: as of `plots.save`.
        classes: the names of the k classes.
    """
    chosen = timeline.choose()
    height = MARGIN_INCHES + LANE_INCHES * max(1, len(chosen)) + (1.4 if len(chosen) < 2 else 0)
    figure, axes = plots.create_figure(10, height, max(1, len(chosen)))
    lanes = np.atleast_1d(axes).ravel()
    sums = sum(
        (np.sum([row for *_, row in samples], 0) for samples in timeline.lanes.values()),
        np.zeros(len(classes)),
    )
    drawn = sorted(np.argsort(-sums, kind="stable")[:MAX_LINES])
    for lane, number in zip(lanes, chosen):
        times, rows = to_lines(timeline.lanes[number])
        marker = "o" if len(times) < 3 else None
        for index in drawn:
            style = {
                "color": colours[index],
                "linewidth": 1.6,
                "label": classes[index],
                "marker": marker,
            }
            lane.plot(times, rows[:, index], **style)
        lane.set_ylabel(f"face {number}")
    for lane in lanes:
        lane.set_ylim(0, 1.02)
        lane.set_xlim(0, max(last_seconds, 0.1))
        lane.grid(alpha=0.3)
    for lane in lanes[:-1]:
        lane.tick_params(labelbottom=False)
    lanes[-1].set_xlabel("time, s")
    hidden = len(timeline.lanes) - len(chosen)
    more = f" ({hidden} more, seen for less time)" if hidden > 0 else ""
    lanes[0].set_title(f"{title}: probability of each class{more}", fontsize=11)
    if chosen:
        lanes[0].legend(loc="upper left", bbox_to_anchor=(1.0, 1.02), frameon=False)
    plots.save(figure, path, kind or None, overwrite)
