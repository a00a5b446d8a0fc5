"""Figures as SVG inside a page: their colours come from the page's style sheet, light or dark.

Each function returns a `markupsafe.Markup`. Shapes have the classes of `templates/report.css`: `c0` to
`c5` are the colours of series, safe for colour-blind readers, and each series has its own dashes too.
Text is escaped here.
"""

import base64
import io
import math

import numpy as np

from insideout_tf.errors import printable

WIDTH, HEIGHT = 460, 300  # in the units of the drawing; the page scales it
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 40, 40  # margins around the plot
COLOURS = 6  # classes c0, c1, ... of the style sheet
LETTER = 6.4  # width of a letter of a small label, about
MAX_MARKERS = 60  # points of a line up to which each has a marker
MAX_STEPS = 6  # of an axis
FEW = 10  # faces of a bin, below which its point is hollow


def draw_lines(series, label, low=None, high=None, stages=(), best=None, unit="epoch"):
    """Returns a chart of lines over the epochs.

    Args:
        series: a list of (name, xs, ys, style); style is the number of a colour. A y that is no finite
            number leaves a gap.
        label: of the vertical axis.
        low, high: of the vertical axis; None: those of the values.
        stages: a list of (name, first x), which are written above the plot.
        best: an x that a vertical line marks, or None.
        unit: of the horizontal axis.
    """
    xs = [x for _, each, _, _ in series for x in each]
    ys = [y for _, _, each, _ in series for y in each if _is_number(y)]
    ticks = choose_ticks(
        min(ys, default=0) if low is None else low, max(ys, default=1) if high is None else high
    )
    left, right = (min(xs, default=1) - 0.5, max(xs, default=1) + 0.5)
    place_x, place_y = (
        _scale(left, right, LEFT, WIDTH - RIGHT),
        _scale(ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP),
    )
    parts = [_draw_y_axis(ticks, place_y, label), _draw_stages(stages, place_x, right)]
    steps = [x for x in choose_ticks(max(1, left), right, whole=True) if left <= x <= right]
    parts += [_text(place_x(x), HEIGHT - BOTTOM + 16, f"{x:g}", "middle") for x in steps]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, unit, "middle", "axis"))
    if best is not None:
        x = place_x(best)
        parts.append(
            f'<line class="best" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"><title>'
            f"best epoch: {best:g}</title></line>"
        )
    parts += [
        _draw_series(name, list(zip(points, values)), style, place_x, place_y, unit)
        for name, points, values, style in series
    ]
    return _svg(parts, f"{label} by {unit}: " + ", ".join(name for name, *_ in series))


def _draw_series(name, points, style, place_x, place_y, unit):
    runs: list[list] = [[]]  # without the gaps
    for x, y in points:
        if _is_number(y):
            runs[-1].append((x, y))
        elif runs[-1]:
            runs.append([])
    kind = f"c{style % COLOURS}"
    parts = []
    for run in filter(None, runs):
        path = " ".join(f"{place_x(x):.1f},{place_y(y):.1f}" for x, y in run)
        parts.append(f'<polyline class="line {kind}" points="{path}"/>')
    has_markers = len(points) <= MAX_MARKERS
    for x, y in points:
        if _is_number(y):
            title = f"{name}, {unit} {x:g}: {y:.4g}"
            parts.append(
                f'<circle class="{"dot" if has_markers else "spot"} {kind}" cx="{place_x(x):.1f}" '
                f'cy="{place_y(y):.1f}" r="{3 if has_markers else 5}"><title>{_escape(title)}</title>'
                "</circle>"
            )
    return "".join(parts)


def _draw_stages(stages, place_x, right):
    """Returns the names of stages above the plot, and a line where each begins."""
    parts = []
    free = [0.0, 0.0]  # where the text of each line ends: a name goes to the lowest line with room
    for position, (name, first) in enumerate(stages):
        start = place_x(first - 0.5)
        end = place_x(stages[position + 1][1] - 0.5 if position + 1 < len(stages) else right)
        parts.append(
            f'<rect class="stage{" odd" if position % 2 else ""}" x="{start:.1f}" y="{TOP}" '
            f'width="{max(0, end - start):.1f}" height="{HEIGHT - BOTTOM - TOP}">'
            f"<title>stage {_escape(name)}</title></rect>"
        )
        shown = printable(name)
        width = LETTER * len(shown)
        start = max(LEFT, min(start + 2, WIDTH - RIGHT - width))
        line = next((each for each in (0, 1) if free[each] <= start), None)
        if line is not None:
            free[line] = start + width + LETTER
            parts.append(
                f'<text class="stage-name" x="{start:.1f}" y="{TOP - 8 - 15 * line}">'
                f"{_escape(shown)}</text>"
            )
    return "".join(parts)


def draw_reliability(count, confidence, right, intervals):
    """Returns a reliability diagram: accuracy against confidence, and the number of faces of each bin.

    An empty bin has no mark at all. The line at each point is the 95 % interval of its accuracy. The area
    of a point grows with the number of its faces, and one of fewer than `FEW` faces is hollow.

    Args:
        count, confidence, right: as of `metrics.calibration`, `[bins]` each.
        intervals: (low, high) of the accuracy of each bin.
    """
    bottom = HEIGHT - BOTTOM - 66  # the histogram is below
    place_x, place_y = (
        _scale(0, 1, LEFT, WIDTH - RIGHT),
        _scale(0, 1, bottom, 10),
    )
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1]
    parts = [
        _draw_y_axis(ticks, place_y, "accuracy"),
        f'<line class="ideal" x1="{place_x(0)}" y1="{place_y(0)}" x2="{place_x(1)}" '
        f'y2="{place_y(1)}"><title>perfect calibration</title></line>',
    ]
    highest, base = max(1, max(count)), HEIGHT - BOTTOM
    bins = len(count)
    for index in np.flatnonzero(count):
        x, y = place_x(confidence[index]), place_y(right[index])
        low, high = (place_y(bound) for bound in intervals[index])
        radius = 3 + 5 * math.sqrt(count[index] / highest)
        title = (
            f"<title>{count[index]:,} faces, mean confidence {confidence[index]:.1%}, accuracy "
            f"{right[index]:.1%}</title>"
        )
        height = max(1.0, 40 * count[index] / highest)
        edge, end = place_x(index / bins), place_x((index + 1) / bins)
        parts.append(
            f'<line class="whisker c0" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'
            f'<circle class="dot c0{" few" if count[index] < FEW else ""}" cx="{x:.1f}" cy="{y:.1f}" '
            f'r="{radius:.1f}">{title}</circle>'
            f'<rect class="bar c0" x="{edge + 1:.1f}" width="{end - edge - 2:.1f}" '
            f'y="{base - height:.1f}" height="{height:.1f}">{title}</rect>'
        )
    parts.append(f'<line class="base" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{base}" y2="{base}"/>')
    is_left = np.argmax(count) < bins / 2  # the label stands where the bars are low
    place = (WIDTH - RIGHT, base - 34) if is_left else (LEFT + 2, base - 34)
    text = f"faces: at most {highest:,} in a bin"
    parts.append(_text(*place, text, "end" if is_left else "start"))
    parts += [_text(place_x(x), base + 16, f"{x:.0%}", "middle") for x in ticks]
    parts.append(
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "highest probability", "middle", "axis")
    )
    return _svg(parts, "Accuracy against confidence, and the number of faces of each bin")


def draw_interval(value, low, high, bounds, has_zero=False):
    """Returns a small strip with a point and its interval.

    bounds: the (lowest, highest) value of the strip. has_zero: mark 0 by a line.
    """
    place = _scale(bounds[0], bounds[1], 6, 194)
    parts = ['<line class="base" x1="6" x2="194" y1="12" y2="12"/>']
    if has_zero:
        parts.append(f'<line class="zero" x1="{place(0):.1f}" x2="{place(0):.1f}" y1="1" y2="23"/>')
    parts.append(
        f'<line class="span c0" x1="{place(low):.1f}" x2="{place(high):.1f}" y1="12" y2="12"/>'
        f'<circle class="dot c0" cx="{place(value):.1f}" cy="12" r="5"/>'
    )
    title = f"{value:.4g}, interval {low:.4g} to {high:.4g}"
    return _svg(parts, title, 200, 24, "strip")


def choose_bounds(intervals, steps=20):
    """Returns the (low, high) that hold all intervals, rounded outwards to 1/steps, and not equal."""
    low = math.floor(min(low for low, _ in intervals) * steps) / steps
    high = math.ceil(max(high for _, high in intervals) * steps) / steps
    return (low, high) if low < high else (low - 1 / steps, high + 1 / steps)


def encode_matrix(shares):
    """Returns a confusion matrix as the URI of a PNG of one pixel a cell, for many classes.

    The colour is constant and the opacity is the square root of the share, so that it can be seen on light
    and on dark paper.

    shares: float `[k, k]` in 0..1.
    """
    from PIL import Image

    pixels = np.zeros((*np.shape(shares), 4), np.uint8)
    pixels[..., :3] = (0x1F, 0x8F, 0xD0)
    pixels[..., 3] = (255 * np.sqrt(np.clip(shares, 0, 1))).round()
    return encode_picture(Image.fromarray(pixels))


def encode_picture(image):
    """Returns a PIL image as a `data:` URI of a PNG."""
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def choose_ticks(low, high, whole=False):
    """Returns rounded values, evenly spaced, from at most `low` to at least `high`.

    whole: whole numbers alone.
    """
    span = high - low or 1.0
    step = 10.0 ** math.floor(math.log10(span / MAX_STEPS))
    step *= next(each for each in (1, 2, 5, 10) if span / (each * step) <= MAX_STEPS)
    if whole:
        step = max(1, round(step))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 10) for index in range(first, max(last, first + 1) + 1)]


def _draw_y_axis(ticks, place, label):
    digits = max(len(f"{tick:g}".partition(".")[2]) for tick in ticks)
    lines = "".join(
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{place(tick):.1f}" '
        f'y2="{place(tick):.1f}"/>{_text(LEFT - 6, place(tick) + 4, f"{tick:.{digits}f}", "end")}'
        for tick in ticks
    )
    middle = (place(ticks[0]) + place(ticks[-1])) / 2
    return lines + (
        f'<text class="axis" text-anchor="middle" transform="translate(11 {middle:.0f}) rotate(-90)">'
        f"{_escape(label)}</text>"
    )


def _scale(low, high, start, end):
    """Returns a function from a value in low..high to a place in start..end."""
    return lambda value: start + (value - low) / ((high - low) or 1) * (end - start)


def _is_number(value):
    return isinstance(value, (int, float)) and math.isfinite(value)


def _text(x, y, text, anchor="start", kind="tick"):
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{_escape(text)}</text>'


def _escape(text):
    from markupsafe import escape

    return escape(printable(text))


def _svg(parts, title, width=WIDTH, height=HEIGHT, kind="chart"):
    from markupsafe import Markup

    return Markup(
        f'<svg class="{kind}" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{_escape(title)}">{"".join(map(str, parts))}</svg>'
    )
