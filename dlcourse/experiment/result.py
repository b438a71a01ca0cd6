"""What a run came to."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlcourse.markup import html_table
from dlcourse.text import format_number
from dlcourse.training.run_history import NamedMetrics, RunHistory

if TYPE_CHECKING:
    from dlcourse.experiment.experiment import Experiment


@dataclass(frozen=True, repr=False)
class Result:
    """What a run came to.

    Attributes:
        metrics: by split and label: ``result.metrics["test"]["half_sse"]``.
        model: in evaluation mode, with the weights that the metrics are of.
        folder: the run's folder; None where none was made.
        history: the events of ``metrics.jsonl``, and its columns: ``result.history["loss"]``,
            ``result.history["val.accuracy"]``, ``result.history.to_frame()``.
        estimates: the model's fitted numbers.
        status: ``done``.
        advice: what the run's numbers say, in sentences, where something looks wrong.
        baseline: what ignoring the inputs scores, by label, on the last split: ``result.baseline["accuracy"]``.
        experiment: what was trained, of :func:`fit`; else None.
    """

    metrics: dict[str, dict[str, float]]
    model: Any
    folder: Path | None = None
    history: RunHistory = field(default_factory=RunHistory)
    estimates: dict[str, float] = field(default_factory=dict)
    status: str = "done"
    advice: list[str] = field(default_factory=list)
    baseline: dict[str, float] = field(default_factory=dict)
    experiment: "Experiment | None" = None

    def __post_init__(self) -> None:
        by_split = NamedMetrics({split: NamedMetrics(values) for split, values in self.metrics.items()})
        object.__setattr__(self, "metrics", by_split)

    def __repr__(self) -> str:
        found = "; ".join(
            f"{split} " + ", ".join(f"{label} {format_number(value)}" for label, value in values.items())
            for split, values in self.metrics.items()
        )
        folder = "" if self.folder is None else f"; {self.folder}"
        return f"Result({self.status}: {found or 'no metrics'}; {type(self.model).__name__}{folder})"

    def _repr_html_(self) -> str:
        """The metrics as a table, for a notebook."""
        labels = list(dict.fromkeys(label for values in self.metrics.values() for label in values))
        rows = [
            [split, *(format_number(values.get(label)) for label in labels)] for split, values in self.metrics.items()
        ]
        if self.baseline:
            rows.append(["baseline", *(format_number(self.baseline.get(label)) for label in labels)])
        about = [self.status, type(self.model).__name__, *([] if self.folder is None else [str(self.folder)])]
        return html_table(["", *labels], rows, [" · ".join(about), *self.advice])
