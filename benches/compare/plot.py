"""Figures over message size as SVG, by hand: log axes, one panel for each transport, lines named at their ends."""

import math
from dataclasses import dataclass
from html import escape
from pathlib import Path

from cases import size_text

COLOURS = {
    "wirebird": "#c0392b",
    "nng": "#2471a3",
    "zmq": "#1e8449",
    "nanomsg": "#7d3c98",
    "raw": "#7f8c8d",
    "zeromq": "#b9770e",
    "omq": "#117a65",
}
WIDTH, HEIGHT = 440, 380
LEFT, RIGHT, TOP, BOTTOM = 76, 74, 62, 62
LINE = 13

# Peer -> [(message size, figure)].
Lines = dict[str, list[tuple[int, float]]]


@dataclass
class Panel:
    title: str
    lines: Lines


def quantity(value: float) -> str:
    for scale, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:g} {name}"
    return f"{value:g}"


def spread_out(places: list[float]) -> list[float]:
    """Moves labels apart that would cover each other; keeps their order."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = list(places)
    for before, after in zip(order, order[1:], strict=False):
        moved[after] = max(moved[after], moved[before] + LINE)
    return moved


def draw(path: Path, title: str, unit: str, panels: list[Panel]) -> None:
    points = [point for panel in panels for line in panel.lines.values() for point in line]
    if not points:
        return
    sizes = sorted({size for size, _ in points})
    low_x, high_x = math.log2(sizes[0]), max(math.log2(sizes[-1]), math.log2(sizes[0]) + 1)
    low_y = math.floor(math.log10(min(value for _, value in points)))
    high_y = max(math.ceil(math.log10(max(value for _, value in points))), low_y + 1)
    total = len(panels) * (LEFT + WIDTH + RIGHT)
    tall = TOP + HEIGHT + BOTTOM
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total} {tall}" width="{total}" height="{tall}"'
        ' font-family="sans-serif" font-size="12" fill="#222">',
        f'<rect width="{total}" height="{tall}" fill="#fff"/>',
        f'<text x="{LEFT}" y="24" font-size="16" font-weight="bold">{escape(title)}</text>',
    ]
    for number, panel in enumerate(panels):
        origin = LEFT + number * (LEFT + WIDTH + RIGHT)

        def x(size: float, origin: int = origin) -> float:
            return origin + (math.log2(size) - low_x) / (high_x - low_x) * WIDTH

        def y(value: float) -> float:
            return TOP + (high_y - math.log10(value)) / (high_y - low_y) * HEIGHT

        out.append(f'<text x="{origin}" y="{TOP - 10}" font-weight="bold">{escape(panel.title)}</text>')
        for power in range(low_y, high_y + 1):
            at = y(10.0**power)
            out.append(f'<path d="M{origin} {at:.1f}h{WIDTH}" stroke="#ccc"/>')
            out.append(f'<text x="{origin - 6}" y="{at + 4:.1f}" text-anchor="end">{quantity(10.0**power)}</text>')
            for step in range(2, 10) if power < high_y else ():
                out.append(f'<path d="M{origin} {y(step * 10.0**power):.1f}h{WIDTH}" stroke="#f0f0f0"/>')
        for size in sizes:
            out.append(f'<path d="M{x(size):.1f} {TOP}v{HEIGHT}" stroke="#e4e4e4"/>')
            out.append(
                f'<text x="{x(size):.1f}" y="{TOP + HEIGHT + 18}" text-anchor="middle">{size_text(size)}</text>'
            )
        out.append(
            f'<text x="{origin + WIDTH / 2}" y="{TOP + HEIGHT + 44}" text-anchor="middle">message size</text>'
        )
        out.append(
            f'<text transform="translate({origin - 56} {TOP + HEIGHT / 2}) rotate(-90)"'
            f' text-anchor="middle">{escape(unit)}</text>'
        )
        lines = {peer: sorted(line) for peer, line in panel.lines.items() if line}
        labels = spread_out([y(line[-1][1]) for line in lines.values()])
        for (peer, line), label in zip(lines.items(), labels, strict=True):
            colour = COLOURS.get(peer, "#222")
            dash = ' stroke-dasharray="5 4"' if peer == "raw" else ""
            way = " ".join(f"{x(size):.1f},{y(value):.1f}" for size, value in line)
            wide = 2.5 if peer == "wirebird" else 1.5
            out.append(f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="{wide}"{dash}/>')
            for size, value in line:
                out.append(
                    f'<circle cx="{x(size):.1f}" cy="{y(value):.1f}" r="2.5" fill="{colour}">'
                    f"<title>{escape(peer)}, {size_text(size)}: {value:.4g} {escape(unit)}</title></circle>"
                )
            out.append(
                f'<text x="{x(line[-1][0]) + 8:.1f}" y="{label + 4:.1f}" fill="{colour}">{escape(peer)}</text>'
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([*out, "</svg>", ""]))
