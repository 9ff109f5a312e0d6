"""Draws the picture of an alert: a program of its own, which may die without harm to who started it.

It reads a plot as JSON, which picture.py makes, and writes a PNG. It imports Pillow and nothing of ours, so that it
starts fast. ``values``: oldest first, null for a missing one, each ``step`` seconds after the one before; ``slot`` and
``value``: of the edge, ``told``: that value as text; ``lines``: the limit and the baseline, each with its name.
"""

import json
import math
import sys
from datetime import UTC, datetime
from typing import Any

from PIL import Image, ImageDraw, ImageFont

#: A phone shows a picture about 400 points wide. Twice that is sharp there.
WIDTH, HEIGHT = 800, 450
LEFT, RIGHT, TOP, BOTTOM = 112, 24, 86, 44
LARGE, SMALL = 26, 21
WHITE, INK, GREY, GRID = "#ffffff", "#111827", "#4b5563", "#e5e7eb"
SERIES, LIMIT, BASELINE, EDGE = "#2563eb", "#dc2626", "#047857", "#b45309"


class Drawing:
    """One picture. ``x`` and ``y`` turn times and values into pixels."""

    def __init__(self, plot: dict[str, Any]):
        self.plot = plot
        self.image = Image.new("RGB", (WIDTH, HEIGHT), WHITE)
        self.on = ImageDraw.Draw(self.image)
        self.fonts = {size: ImageFont.load_default(size) for size in (LARGE, SMALL)}
        self.last: float = plot["first"] + plot["step"] * len(plot["values"])
        self.ticks = ticks(*self._range())

    def _range(self) -> tuple[float, float]:
        shown = [value for value in self.plot["values"] if value is not None]
        shown += [self.plot["value"], *(line["value"] for line in self.plot["lines"])]
        low, high = min(shown), max(shown)
        if self.plot["bars"]:
            low = min(low, 0.0)
        margin = (high - low) * 0.06 or abs(high) * 0.01 or 1.0
        return (low if self.plot["bars"] else low - margin), high + margin

    def x(self, time: float) -> float:
        first: float = self.plot["first"]
        return LEFT + (time - first) / (self.last - first) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def text(self, x: float, y: float, text: str, anchor: str, color: str = GREY, size: int = SMALL) -> None:
        self.on.text((x, y), text, color, self.fonts[size], anchor)

    def draw(self) -> Image.Image:
        self._axes()
        self._edge_line()
        (self._bars if self.plot["bars"] else self._line)()
        self._lines()
        self._edge()
        return self.image

    def _axes(self) -> None:
        title = self.plot["title"]
        while len(title) > 4 and self.on.textlength(title, self.fonts[LARGE]) > WIDTH - 32:
            title = f"{title[:-2]}…"
        self.text(16, 10, title, "la", INK, LARGE)
        self.text(16, 43, f"{self.plot['unit']}, times in UTC", "la")
        for value in self.ticks:
            self.on.line([(LEFT, self.y(value)), (WIDTH - RIGHT, self.y(value))], GRID, 1)
            self.text(LEFT - 10, self.y(value), number(value, self.ticks[1] - self.ticks[0]), "rm")
        half_hours = range(math.ceil(self.plot["first"] / 1_800) * 1_800, int(self.last) + 1, 1_800)
        for at in half_hours:
            self.on.line([(self.x(at), HEIGHT - BOTTOM), (self.x(at), HEIGHT - BOTTOM + 6)], GREY, 2)
            self.text(min(self.x(at), WIDTH - 34), HEIGHT - BOTTOM + 10, clock(at), "ma")

    def _bars(self) -> None:
        first, step, zero = self.plot["first"], self.plot["step"], self.y(0)
        for k, value in enumerate(self.plot["values"]):
            if value:
                left, right = self.x(first + k * step), self.x(first + (k + 1) * step) - 1
                color = EDGE if first + k * step == self.plot["slot"] else SERIES
                top, bottom = sorted((self.y(value), zero))
                self.on.rectangle((left, top, max(left, right - 1), bottom), color)

    def _line(self) -> None:
        first, step = self.plot["first"], self.plot["step"]
        run: list[tuple[float, float]] = []
        for k, value in [*enumerate(self.plot["values"]), (0, None)]:
            if value is not None:
                run.append((self.x(first + (k + 0.5) * step), self.y(value)))
            elif len(run) == 1:
                self.on.circle(run.pop(), 2, SERIES)
            elif run:
                self.on.line(run, SERIES, 4, "curve")
                run = []

    def _lines(self) -> None:
        """The baseline and the limit, dashed, each with its name above it on the left, or below if that is taken."""
        taken: list[float] = []
        for line in self.plot["lines"]:
            color, y = {"limit": LIMIT, "baseline": BASELINE}[line["kind"]], self.y(line["value"])
            for x in range(LEFT, WIDTH - RIGHT, 18):
                self.on.line([(x, y), (min(x + 11, WIDTH - RIGHT), y)], color, 3)
            above = y - TOP > 24 and all(abs(y - 14 - other) > 24 for other in taken)
            middle = y - 14 if above else y + 16
            taken.append(middle)
            self._named(LEFT + 8, middle, line["name"], "lm", color)

    def _edge_line(self) -> None:
        x = self.x(self.plot["slot"] + self.plot["step"] / 2)
        self.on.line([(x, TOP - 4), (x, HEIGHT - BOTTOM)], "#fcd34d", 3)

    def _edge(self) -> None:
        x, y = self.x(self.plot["slot"] + self.plot["step"] / 2), self.y(self.plot["value"])
        self.on.circle((x, y), 7, EDGE, WHITE, 2)
        right = x > WIDTH / 2
        self._named(x - 14 if right else x + 14, TOP - 14, f"{clock(self.plot['slot'])}: {self.plot['told']}",
                    "rm" if right else "lm", EDGE)  # fmt: skip

    def _named(self, x: float, y: float, text: str, anchor: str, color: str) -> None:
        """A text that stays readable over what is drawn already."""
        self.on.text((x, y), text, color, self.fonts[SMALL], anchor, stroke_width=4, stroke_fill=WHITE)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round values, evenly spaced, from below ``low`` to above ``high``: ``most`` steps at most."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(size * power for size in (1, 2, 5, 10, 20) if size * power * most >= high - low)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [k * step for k in range(first, last + 1)]


def number(value: float, step: float) -> str:
    """A value of an axis, as exact as its steps are."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size and step >= size / 1_000:
            return f"{round(value / size * (10 if letter == 'k' else 1), 6):g}{letter}"
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    if decimals < 7:
        return f"{value:,.{decimals}f}"
    exact = math.floor(math.log10(abs(value))) + decimals + 1 if value else 1
    return f"{value:.{max(exact, 1)}g}"


def clock(time: float) -> str:
    return f"{datetime.fromtimestamp(time, UTC):%H:%M}"


if __name__ == "__main__":
    Drawing(json.load(sys.stdin)).draw().save(sys.stdout.buffer, "PNG", optimize=False)
