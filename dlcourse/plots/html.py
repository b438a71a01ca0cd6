"""``report.html``: all results of a run or a sweep in one file that opens offline."""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2

from dlcourse.errors import DlcourseError
from dlcourse.filesystem import replacing
from dlcourse.plots.gallery import draw_all, images, open_view
from dlcourse.plots.reading import as_dict, as_float
from dlcourse.plots.run_view import RunView
from dlcourse.plots.style import split_word
from dlcourse.plots.sweep_view import Setting, SweepView
from dlcourse.plots.tables import classes_table, measured_table, metrics_table, resample_table
from dlcourse.plots.text import capital, number, seconds
from dlcourse.records.run import Environment
from dlcourse.text import flatten, show_value

_TEMPLATES = Path(__file__).parent / "templates"
_LOG_LINES = 30
_SAMPLE = 5000  # characters
_ADVISED, _NAMED = 200, 3
"""Points of a sweep whose advice is read, and those that a sentence names."""
_NOTHING: dict[str, Any] = {
    "error": "",
    "weights": "",
    "advice": [],
    "conclusions": [],
    "tables": [],
    "failures": [],
    "estimates": [],
    "overrides": [],
    "log": "",
    "sample": "",
    "samples": [],
}
"""What the template shows nothing of."""


def write_report(folder: Path) -> Path:
    """See :func:`dlcourse.plots.report`."""
    view = open_view(folder)
    if isinstance(view, RunView):
        view.note_changed_config()
    shown = images(folder)
    if not shown:
        draw_all(folder)
        shown = images(folder)
    context = _run_context(view) if isinstance(view, RunView) else _sweep_context(view)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,  # names, errors and configs are text from outside, whatever they hold
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("report.html.j2")
    html = template.render(view=view, images=shown, damage=view.damage, **{**_NOTHING, **context})
    path = folder / "report.html"
    try:
        with replacing(path) as file:
            file.write(html.encode("utf-8", "replace"))
    except OSError as error:
        raise DlcourseError(f"{path}: cannot be written: {error.strerror}") from error
    return path


def _run_context(view: RunView) -> dict[str, Any]:
    result = view.outcome
    best = as_dict(result.get("best"))
    figures = [
        ("steps", number(result.get("step"))),
        ("epochs", number(result.get("epoch"))),
        ("training time", seconds(result.get("seconds"))),
        ("parameters", number(result.get("parameters"))),
    ]
    if best:
        words = f"{split_word(str(best.get('split')))} {view.metric_name(str(best.get('metric')))}"
        label = f"best {words}, step {number(best.get('step'))}"
        figures.append((label, number(as_float(best.get("value")))))
    error, advice = str(result.get("error") or ""), list(view.advice.values())
    log = view.text("log.txt").splitlines() if view.status != "done" else []
    log = [line for line in log if not any(message in line for message in [error, *advice] if message)]
    classes = classes_table(view)
    return {
        "error": error,
        "figures": [(label, value) for label, value in figures if value != "—"],
        "heading": "Metrics",
        "metrics": metrics_table(view),
        "weights": " ".join(filter(None, [_weights(result), _baseline(view)])),
        "conclusions": [f"{capital(note)}."] if (note := str(view.baseline.get("note") or "")) else [],
        "tables": [] if classes is None else [(f"Classes, {split_word(view.report_split)}", classes)],
        "advice": advice,
        "estimates": [(name, number(as_float(value), 5)) for name, value in as_dict(result.get("estimates")).items()],
        "overrides": [(path, show_value(value)) for path, value in as_dict(result.get("config_overrides")).items()],
        "environment": _facts(view.environment),
        "log": "\n".join(log[-_LOG_LINES:]),
        "sample": view.text("sample.txt")[:_SAMPLE],
        "samples": [
            (number(step), text[:_SAMPLE]) for step, text in view.samples_by_step.items() if isinstance(text, str)
        ],
    }


def _weights(result: Mapping[str, Any]) -> str:
    """Which weights the metrics are of."""
    weights = as_dict(result.get("weights"))
    return f"Of the {weights['from']} weights (step {number(weights.get('step'))})." if weights.get("from") else ""


def _baseline(view: RunView) -> str:
    words = str(view.baseline.get("words") or "")
    return f"Baseline: {words}." if words and as_dict(view.baseline.get("metrics")) else ""


def _sweep_context(view: SweepView) -> dict[str, Any]:
    done = sum(point.status == "done" for point in view.points)
    spent = [point.seconds for point in view.points if isinstance(point.seconds, int | float)]
    figures = [("points", f"{done} of {len(view.points)} done")]
    if spent:
        figures.append(("training time of all", seconds(sum(spent))))
    failures = [(point.id, point.status, point.error) for point in view.points if point.error]
    repeated = bool(view.outcome.get("groups"))
    example = view.example
    resampled = resample_table(view)
    settings = measured_table(view, view.settings) if view.settings else None
    tables = [("Every point", measured_table(view, list(map(Setting.of, view.points))))] if repeated else []
    if resampled and settings:
        # What the sweep is for comes first; a setting's own metrics are of one training set only.
        tables = [("Each setting once, on the training set of the config's own seed", settings), *tables]
    environment = view.json("environment.json", Environment) or (example.environment if example else {})
    return {
        "figures": figures,
        "heading": resampled[0] if resampled else "Settings",
        "metrics": resampled[1] if resampled else settings,
        "conclusions": [] if resampled else _conclusions(view),
        "advice": _advice(view),
        "tables": tables,
        "failures": failures,
        "environment": _facts(environment),
    }


def _advice(view: SweepView) -> list[str]:
    """What the rules found in the first points, each rule once: at which points, and its sentence about the first."""
    found: dict[str, list[tuple[str, str]]] = {}
    for point in view.points[:_ADVISED]:
        for rule, text in view.run(point).advice.items():
            found.setdefault(rule, []).append((point.id, text))
    return [
        f"{', '.join(name for name, _ in pairs[:_NAMED])}"
        f"{f' and {len(pairs) - _NAMED} more points' if len(pairs) > _NAMED else ''}: {pairs[0][1]}"
        for pairs in found.values()
    ]


def _conclusions(view: SweepView) -> list[str]:
    """The best setting and the simplest one that is as good, in sentences."""
    metric, split = view.select
    words = f"{split_word(split)} {view.metric_name(metric)}"
    found = []
    best, simplest = view.chosen("best"), view.chosen("one_standard_error")
    key = f"{split}.{metric}"
    if best is not None and best.overrides:
        value = number(best.mean.get(key)) + (f" ± {number(best.se[key], 2)}" if key in best.se else "")
        count = best.count(key)
        partial = f", mean of {count} of {len(best.points)}" if count < len(best.points) else ""
        found.append(f"Best by {words}: {view.label(best.overrides)} ({value}{partial}).")
    if simplest is not None and simplest.overrides:
        own = "the best itself" if simplest is best else view.label(simplest.overrides)
        found.append(f"Simplest within one standard error of the best: {own}.")
    found += [f"{capital(str(remark))}." for remark in view.outcome.get("remarks") or []]
    points = best.points[:1] if best is not None else ()
    return [*found, *(sentence for point in points for sentence in _baseline_sentences(view.run(point)))]


def _baseline_sentences(view: RunView) -> Iterator[str]:
    """What ignoring the inputs scores, and whether the run is no better."""
    values = as_dict(view.baseline.get("metrics"))
    if values:
        shown = ", ".join(f"{view.metric_name(name)} {number(as_float(value))}" for name, value in values.items())
        split = split_word(str(view.baseline.get("split")))
        yield f"{_baseline(view)[:-1]}: {shown} ({split})."
        if note := view.baseline.get("note"):
            yield f"The best is {note}."


def _list(path: str, values: list) -> str:
    """A command as a shell takes it; other lists with commas."""
    return shlex.join(map(str, values)) if path == "command" else ", ".join(map(str, values))


def _facts(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Nested facts as dotted names and texts, without those that say nothing."""
    return [
        (path, _list(path, value) if isinstance(value, list) else show_value(value))
        for path, value in flatten(values).items()
        if value not in (None, "", [], {})
    ]
