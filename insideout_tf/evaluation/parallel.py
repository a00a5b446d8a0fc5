"""Parallel coordinates: one axis a setting, one line a trial, its colour the figure that was reached."""

import math

import numpy as np

from insideout_tf.errors import printable

WIDTH = 1.9  # inches of an axis
MAX_TICKS = 6  # of an axis of categories, above which only some are named


def draw(rows, space, monitor, is_less_better=False):
    """Returns a Matplotlib figure of the trials of a sweep.

    Args:
        rows: a list of dicts with `state`, `value` and each field of the space. Trials that were stopped
            early are dashed.
        space: a list with the `field`, `values`, `low`, `high` and `is_log` of each axis.
        monitor: the name of the figure.
        is_less_better: whether the least value is the best.
    """
    import matplotlib
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH * (len(space) + 1) + 1.6, 4.6), layout="constrained")
    axes = figure.subplots()
    values = np.array([row["value"] for row in rows], float)
    low, high = float(values.min()), float(values.max())
    span = (high - low) or 1.0
    colours = matplotlib.colormaps["cividis_r" if is_less_better else "cividis"]
    order = np.argsort(-values if is_less_better else values, kind="stable")
    for index in order:  # the best last, on top
        row = rows[index]
        heights = [_place(choice, row[choice.field]) for choice in space]
        heights.append((values[index] - low) / span)
        is_best = index == order[-1]
        axes.plot(
            range(len(heights)),
            heights,
            color=colours((values[index] - low) / span),
            linestyle="-" if row["state"] == "complete" else (0, (4, 3)),
            linewidth=3 if is_best else 1.2,
            marker="o" if is_best else None,
            zorder=3 if is_best else 2,
        )
    for place, choice in enumerate(space):
        _draw_axis(axes, place, _list_ticks(choice))
    ticks = [(tick, f"{low + tick * span:.4g}") for tick in np.linspace(0, 1, 5)]
    _draw_axis(axes, len(space), ticks if high > low else [(0.0, f"{low:.4g}")])
    axes.set_xticks(range(len(space) + 1), [printable(each.field) for each in space] + [monitor])
    axes.set_yticks([])
    axes.set(xlim=(-0.35, len(space) + 0.35), ylim=(-0.06, 1.06))
    axes.spines[:].set_visible(False)
    axes.tick_params(axis="x", length=0, labelsize=9)
    best = "least" if is_less_better else "greatest"
    axes.set_title(
        f"{len(rows)} trials; thick: the {best} {monitor}; dashed: stopped early", size=10
    )
    return figure


def _place(choice, value):
    """Returns where a value is on its axis, 0..1."""
    if choice.values is not None:
        return choice.values.index(value) / max(1, len(choice.values) - 1)
    low, high = choice.low, choice.high
    if choice.is_log:
        low, high, value = math.log(low), math.log(high), math.log(value)
    return (value - low) / (high - low)


def _list_ticks(choice):
    """Returns the ticks of an axis, a list of (place, text)."""
    if choice.values is not None:
        step = -(-len(choice.values) // MAX_TICKS)
        return [(_place(choice, value), printable(value)) for value in choice.values[::step]]
    spread = np.geomspace if choice.is_log else np.linspace
    values = spread(choice.low, choice.high, 4)
    return [(_place(choice, value), f"{value:.2g}") for value in values]


def _draw_axis(axes, place, ticks):
    """Draws a vertical axis with its ticks."""
    axes.plot([place, place], [0, 1], color="#666666", linewidth=1, zorder=1)
    for height, text in ticks:
        axes.annotate(
            text,
            (place, height),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            size=8,
            zorder=4,
            bbox={"boxstyle": "round,pad=0.1", "fc": "white", "ec": "none", "alpha": 0.75},
        )
