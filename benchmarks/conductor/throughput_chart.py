"""Draws throughput against concurrent tasks as an SVG: panels side by side, logarithmic scales.

The lines are named at their ends. Each has a marker of its own beside its colour, which is dark
enough for text on white and told apart by colour-blind eyes as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 1_080, 540
TOP, BOTTOM = 170, 472
LEFT, PANEL, PLOT = 80, 536, 236
"""Where the first plot begins, how far it is to the next, and how wide a plot is."""

LINE_OF_TEXT = 19
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"
INK, FAINT, GRID = "#1f2328", "#57606a", "#e3e6ea"

COLOURS = ["#0064a4", "#b34700", "#00745c", "#93437a"]
LIMIT_COLOUR = "#57606a"
MARKERS = [
    '<circle cx="{x:.1f}" cy="{y:.1f}" r="5"/>',
    '<path d="M{x:.1f} {y:.1f}m-4.5-4.5h9v9h-9z"/>',
    '<path d="M{x:.1f} {y:.1f}m0-5.5l5.5 9.5h-11z"/>',
    '<path d="M{x:.1f} {y:.1f}m0-6l5.5 6l-5.5 6l-5.5-6z"/>',
]


@dataclass
class Panel:
    """One plot: the operations a second of each contender, for each number of tasks."""

    title: str
    lines: dict[str, list[float]]


@dataclass
class Chart:
    """What is drawn.

    Args:
        title: what it is about.
        subtitle: lines that say what was measured, and where.
        tasks: the numbers of concurrent tasks.
        panels: the plots; they have the same contenders and share one scale.
        emphasised: the contender whose line is drawn strongest.
        limit: the one that has no tasks: a dashed line at its first figure.
    """

    title: str
    subtitle: list[str]
    tasks: list[int]
    panels: list[Panel]
    emphasised: str
    limit: str

    def svg(self) -> str:
        """Draw it; the same figures give the same text."""
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'width="{WIDTH}" height="{HEIGHT}" font-family="{FONT}" font-size="15" '
            f'role="img" aria-labelledby="title figures">',
            f'<title id="title">{escape(self.title)}</title>',
            f'<desc id="figures">{escape(" ".join(self._figures()))}</desc>',
            # A background of its own, because the page around it may be dark.
            f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#fff"/>',
            text(28, 42, self.title, size=23, weight=600),
        ]
        for number, line in enumerate(self.subtitle):
            parts.append(text(28, 67 + number * LINE_OF_TEXT, line, FAINT))
        for number, panel in enumerate(self.panels):
            parts += self._panel(panel, LEFT + number * PANEL)
        return "\n".join([*parts, "</svg>", ""])

    def _figures(self) -> Iterator[str]:
        """Everything that the lines show, in words."""
        for panel in self.panels:
            yield f"{panel.title}, operations a second with {listed(self.tasks)} tasks."
            for name, rates in panel.lines.items():
                yield f"{name}: {listed(rates[:1] if name == self.limit else rates)}."

    def _panel(self, panel: Panel, left: float) -> Iterator[str]:
        right = left + PLOT
        yield text(left, TOP - 44, panel.title, size=17, weight=600)
        yield text(left, TOP - 16, "operations a second", FAINT)
        yield text(right + 14, TOP - 16, f"with {self.tasks[-1]:,} tasks", FAINT)
        lowest, highest = self._scale()
        for exponent in range(lowest, math.floor(highest) + 1):
            y = self._y(10.0**exponent)
            yield f'<path d="M{left} {y:.1f}H{right}" stroke="{GRID}"/>'
            yield text(left - 10, y + 5, f"{10**exponent:,}", FAINT, anchor="end")
        for tasks in self.tasks:
            yield text(self._x(tasks, left), BOTTOM + 23, f"{tasks:,}", FAINT, anchor="middle")
        yield text((left + right) / 2, BOTTOM + 46, "concurrent tasks", FAINT, anchor="middle")
        ends: dict[str, float] = {}
        # The emphasised line is drawn last, over the others.
        for name in sorted(panel.lines, key=lambda name: name == self.emphasised):
            rates = panel.lines[name]
            if not any(map(drawable, rates)):
                continue
            ends[name] = self._y([rate for rate in rates if drawable(rate)][-1])
            yield from self._line(name, rates, left)
        for name, y in apart(ends).items():
            rate = panel.lines[name][0 if name == self.limit else -1]
            yield self._label(name, rate, right + 14, y + 5)

    def _line(self, name: str, rates: list[float], left: float) -> Iterator[str]:
        colour = self._colour(name)
        if name == self.limit:
            y = self._y(rates[0])
            yield (
                f'<path d="M{left} {y:.1f}H{left + PLOT}" stroke="{colour}" stroke-width="2" '
                'stroke-dasharray="7 5"/>'
            )
            return
        points = [
            (self._x(tasks, left), self._y(rate))
            for tasks, rate in zip(self.tasks, rates, strict=True)
            if drawable(rate)
        ]
        width = 4.5 if name == self.emphasised else 2
        route = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        yield f'<polyline points="{route}" fill="none" stroke="{colour}" stroke-width="{width}"/>'
        marker = MARKERS[self._number(name)]
        marks = "".join(marker.format(x=x, y=y) for x, y in points)
        yield f'<g fill="{colour}" stroke="#fff">{marks}</g>'

    def _label(self, name: str, rate: float, x: float, y: float) -> str:
        weight = 700 if name == self.emphasised else 500
        shown = rounded(rate) if drawable(rate) else "none"
        return (
            f'<text x="{x:.1f}" y="{y:.1f}" fill="{self._colour(name)}">'
            f'<tspan font-weight="{weight}">{escape(name)}</tspan> {shown}</text>'
        )

    def _colour(self, name: str) -> str:
        return LIMIT_COLOUR if name == self.limit else COLOURS[self._number(name)]

    def _number(self, name: str) -> int:
        return [each for each in self.panels[0].lines if each != self.limit].index(name)

    def _x(self, tasks: int, left: float) -> float:
        # The outer points stand a little inside the plot, so that their markers are whole.
        most = math.log10(self.tasks[-1])
        return left + 14 + math.log10(tasks) / most * (PLOT - 28)

    def _y(self, rate: float) -> float:
        lowest, highest = self._scale()
        return BOTTOM - (math.log10(rate) - lowest) / (highest - lowest) * (BOTTOM - TOP)

    def _scale(self) -> tuple[int, float]:
        """The exponents of ten between which the scale extends, which all panels share."""
        lines = [rates for panel in self.panels for rates in panel.lines.values()]
        exponents = [math.log10(rate) for rates in lines for rate in rates if drawable(rate)]
        return math.floor(min(exponents)), max(exponents) + 0.1


def text(
    x: float,
    y: float,
    words: str,
    colour: str = INK,
    *,
    size: int = 15,
    weight: int = 400,
    anchor: str = "start",
) -> str:
    """A line of text."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size}" '
        f'font-weight="{weight}" text-anchor="{anchor}">{escape(words)}</text>'
    )


def apart(ends: dict[str, float]) -> dict[str, float]:
    """Move labels as far apart as they are high; those that collide keep their middle."""
    groups: list[list[str]] = []
    for name in sorted(ends, key=lambda name: ends[name]):
        groups.append([name])
        while len(groups) > 1 and top(groups[-1], ends) < bottom(groups[-2], ends):
            groups[-2:] = [groups[-2] + groups[-1]]
    return {
        name: top(group, ends) + (place + 0.5) * LINE_OF_TEXT
        for group in groups
        for place, name in enumerate(group)
    }


def top(group: list[str], ends: dict[str, float]) -> float:
    """Where labels begin that stand below each other, around the middle of where they belong."""
    return sum(ends[name] for name in group) / len(group) - len(group) * LINE_OF_TEXT / 2


def bottom(group: list[str], ends: dict[str, float]) -> float:
    """Where they end."""
    return top(group, ends) + len(group) * LINE_OF_TEXT


def drawable(rate: float) -> bool:
    """Whether a figure has a place on a logarithmic scale: it is neither missing nor zero."""
    return rate > 0


def listed(numbers: Iterable[float]) -> str:
    """Numbers in words."""
    return ", ".join(rounded(number) if drawable(number) else "none" for number in numbers)


def rounded(number: float) -> str:
    """A number with the two digits that a noisy machine allows."""
    if number < 10:
        return f"{number:.1f}"
    unit = 10 ** (math.floor(math.log10(number)) - 1)
    return f"{round(number / unit) * unit:,}"
