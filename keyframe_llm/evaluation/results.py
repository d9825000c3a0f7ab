"""What was measured, on which frames, and how it is written down: Markdown, JSON, a plot."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from keyframe_llm.evaluation.bootstrap import Interval, bootstrap

__all__ = ["SHIPPED", "Results", "Row", "Table", "markdown", "plot", "write_json"]

SHIPPED = "keyframe-llm"
"""The row of what this package does by default; it comes first, in bold."""


@dataclass(slots=True)
class Row:
    """One selector at one budget: a value and the frames for every sample."""

    selector: str
    budget: int
    values: list[float] = field(default_factory=list)
    seconds: list[list[float]] = field(default_factory=list)
    """The frames each value rests on, by their times."""
    samples: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    """Samples with the same group (one caption in several videos) are no independent evidence."""
    statistic: Callable[[ArrayLike], float] | None = None
    """What the figure is; None for the mean of the values."""

    def add(self, sample: str, group: str, value: float, seconds: Iterable[float]) -> None:
        """Record one sample."""
        self.samples.append(sample)
        self.groups.append(group)
        self.values.append(float(value))
        self.seconds.append([round(float(second), 3) for second in seconds])

    @property
    def frames_used(self) -> float:
        """ASF: the mean number of frames."""
        return float(np.mean([len(times) for times in self.seconds]))

    def interval(self) -> Interval:
        """The figure with its 95 % bootstrap interval, groups drawn together."""
        return bootstrap(self.values, statistic=self.statistic, groups=self.groups)

    @property
    def value(self) -> float:
        """The figure: the mean of the values, or their statistic."""
        return float(np.mean(self.values)) if self.statistic is None else self.statistic(self.values)


@dataclass(slots=True)
class Table:
    """One measure on one set of footage, a row for each selector and budget."""

    title: str
    measure: str
    note: str = ""
    statistic: Callable[[ArrayLike], float] | None = None
    """What the figures are; None for the mean over samples."""
    rows: dict[tuple[str, int], Row] = field(default_factory=dict)

    def row(self, selector: str, budget: int) -> Row:
        """The row of that selector and budget, made at its first use."""
        return self.rows.setdefault((selector, budget), Row(selector, budget, statistic=self.statistic))

    def ahead_of(self, selector: str, budget: int, other: str, other_budget: int | None = None) -> Interval:
        """How far one row is ahead of another on the same samples, with the interval of the difference."""
        ours, theirs = self.rows[selector, budget], self.rows[other, other_budget or budget]
        figure = self.statistic or np.mean

        def difference(ours: ArrayLike, theirs: ArrayLike) -> float:
            return float(figure(np.asarray(ours))) - float(figure(np.asarray(theirs)))

        return bootstrap(ours.values, theirs.values, statistic=difference, groups=ours.groups)


@dataclass(slots=True)
class Results:
    """All tables of a run and the settings they were made with."""

    settings: dict[str, Any]
    tables: list[Table] = field(default_factory=list)


def markdown(table: Table, budget: int | None = None) -> str:
    """The table as Markdown, best first; `budget` leaves out the rows of other budgets.

    Rows that rest on no frames are no selectors, and stay in their order.
    """
    rows = [row for row in table.rows.values() if budget is None or row.budget == budget]
    chosen = any(row.frames_used for row in rows)
    if chosen:
        rows.sort(key=lambda row: -row.value)
    lines = [f"### {table.title}", ""]
    lines += [table.note, ""] if table.note else []
    head = [("selector" if chosen else ""), table.measure, "95 % interval", *(["frames"] if chosen else [])]
    lines += [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in rows:
        found = row.interval()
        name = f"**{row.selector}**" if row.selector.startswith(SHIPPED) else row.selector
        cells = [name, f"{found.value:.3f}", f"{found.low:.3f}–{found.high:.3f}"]
        lines.append(f"| {' | '.join([*cells, *([f'{row.frames_used:.1f}'] if chosen else [])])} |")
    lines += ["", *_lead(table, rows)]
    return "\n".join([*lines, ""])


def _lead(table: Table, rows: Sequence[Row]) -> list[str]:
    """How far this package's best row leads the best other one at the same budget, on the same samples."""
    ours = next((row for row in rows if row.selector.startswith(SHIPPED)), None)
    if ours is None:
        return []
    others = [
        row
        for row in rows
        if row.budget == ours.budget and not row.selector.startswith(SHIPPED) and row.samples == ours.samples
    ]
    if not others:
        return []
    lead = table.ahead_of(ours.selector, ours.budget, others[0].selector)
    return [f"{ours.selector} is ahead of {others[0].selector} by {lead} with {ours.budget} frames.", ""]


def write_json(results: Results, path: Path) -> None:
    """Write settings, figures and, sample by sample, values and frames (times in seconds)."""
    tables = []
    for table in results.tables:
        rows = []
        for row in table.rows.values():
            found = row.interval()
            figures = {"value": found.value, "low": found.low, "high": found.high, "groups": found.count}
            samples = {"samples": row.samples, "values": row.values, "seconds": row.seconds}
            rows.append(
                {"selector": row.selector, "budget": row.budget, **figures}
                | {"frames_used": row.frames_used}
                | samples
            )
        tables.append({"title": table.title, "measure": table.measure, "note": table.note, "rows": rows})
    text = json.dumps({"settings": results.settings, "tables": tables}, ensure_ascii=False, allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")


def plot(tables: Sequence[Table], path: Path) -> None:
    """Draw quality against frames used, one panel a table; tables with a single budget are left out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = [table for table in tables if len({budget for _, budget in table.rows}) > 2]
    if not drawn:
        return
    figure = Figure(figsize=(6.4 * len(drawn), 4.8), dpi=120)
    FigureCanvasAgg(figure)
    for axes, table in zip(figure.subplots(1, len(drawn), squeeze=False)[0], drawn, strict=True):
        for name in dict.fromkeys(selector for selector, _ in table.rows):
            rows = [row for row in table.rows.values() if row.selector == name]
            ours = name == SHIPPED
            axes.plot(
                [row.frames_used for row in rows],
                [row.value for row in rows],
                "o-",
                label=name,
                lw=2.8 if ours else 1.2,
                color="#c2410c" if ours else None,
                zorder=3 if ours else 2,
                ms=6 if ours else 3.5,
            )
        axes.set_title(table.title, fontsize=10)
        axes.set_xlabel("frames used")
        axes.set_ylabel(table.measure)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7.5, frameon=False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
