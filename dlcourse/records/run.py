"""The files of a run's folder."""

from typing import Any, Literal, NotRequired, TypedDict

Status = Literal["running", "done", "diverged", "interrupted", "failed"]
Metrics = dict[str, dict[str, float | None]]
"""By split and label; None stands for a number that was infinite or NaN."""
WEIGHT_SIZES = tuple(10 ** (k / 10) for k in range(-60, 11))
"""The sizes |w| of which ``predictions.npz`` of a sweep's point says how large a share of the weights is below them."""
NEAR_ZERO = 1e-3
"""One of them: a weight below it is called near 0."""

Fingerprint = dict[str, dict[str, Any]]
"""By split, see ``dlcourse/data/fingerprint.py``."""


class MetricFacts(TypedDict):
    """What a metric is called in words, its unit (``target`` being that of the data's target), and its direction."""

    title: str
    unit: str
    higher_is_better: bool


Weights = TypedDict("Weights", {"from": Literal["last", "best"], "step": int})
"""Which weights the metrics of a run are of."""


class BaselineState(TypedDict):
    """What a model that ignores its inputs scores on the split that says most."""

    split: str
    words: str
    """What it does: ``always 'cat', the most frequent class of the training split``."""
    guess: str
    outputs: list[float | None]
    """What it puts out for every input; None stands for minus infinity."""
    metrics: dict[str, float | None]
    note: str
    """Said where the model itself is no better; else empty."""


class AdviceFacts(TypedDict):
    """What a rule found in a run's numbers, see ``dlcourse/training/advice``."""

    rule: str
    text: str


class RunState(TypedDict):
    """``result.json``: how a run stands, and what came of it."""

    status: Status
    name: NotRequired[str]
    error: NotRequired[str | None]
    step: NotRequired[int]
    epoch: NotRequired[float]
    samples: NotRequired[int]
    seconds: NotRequired[float | None]
    peak_memory: NotRequired[dict[str, Any] | None]
    parameters: NotRequired[int | None]
    flops: NotRequired[int | None]
    """Floating-point operations of a forward pass of one image; not counted for other inputs."""
    metrics: NotRequired[Metrics]
    metric_facts: NotRequired[dict[str, MetricFacts]]
    estimates: NotRequired[dict[str, float | None]]
    best: NotRequired[dict[str, Any] | None]
    config_overrides: NotRequired[dict[str, Any]]
    config_hash: NotRequired[str]
    data: NotRequired[Fingerprint]
    weights: NotRequired[Weights]
    baseline: NotRequired[BaselineState | None]
    diverged_at: NotRequired[int]
    pruned: NotRequired[int]
    """The step after which the search of a sweep ended it."""
    advice: NotRequired[list[AdviceFacts]]


class Plugin(TypedDict):
    """A component file of the user's own that a run was made with."""

    path: str
    sha256: str
    copy: NotRequired[str]
    """Where the run's folder keeps it."""


class Environment(TypedDict):
    """``environment.json``: what a run ran on; only what the program reads again is fixed."""

    device: NotRequired[str]
    deterministic: NotRequired[bool]
    packages: NotRequired[dict[str, Any]]
    command: NotRequired[list[str]]
    folder: NotRequired[str | None]
    plugins: NotRequired[list[Plugin]]


class LayerFacts(TypedDict):
    """What ``train.watch`` saw of one layer; of a layer without parameters only its outputs."""

    kind: str
    size: NotRequired[int]
    """How many parameters it holds itself."""
    gradient: NotRequired[float | None]
    """The norm of their gradient, before clipping."""
    weight: NotRequired[float | None]
    """Their own norm."""
    ratio: NotRequired[float | None]
    """By which part of that norm one step moves them."""
    mean: NotRequired[float | None]
    """Of its outputs."""
    std: NotRequired[float | None]
    dead: NotRequired[float | None]
    """Share of units, of an activation, whose output is the same for every sample."""


class Event(TypedDict):
    """A line of ``metrics.jsonl``, beside what its kind brings: loss and lr, metrics, or layers."""

    event: str
    step: int
    epoch: NotRequired[float]
    samples: NotRequired[int]
    seconds: NotRequired[float]
    loss: NotRequired[float | None]
    lr: NotRequired[float | None]
    evaluations: NotRequired[int]
    metrics: NotRequired[Metrics]
    layers: NotRequired[dict[str, LayerFacts]]
    point: NotRequired[list[float | None]]


class PredictionFacts(TypedDict):
    """``facts`` in ``predictions.npz``: names and units, as JSON."""

    task: str
    feature_names: NotRequired[list[str]]
    feature_units: NotRequired[list[str]]
    target_name: NotRequired[str]
    target_unit: NotRequired[str]
    target_names: NotRequired[list[str]]
    target_units: NotRequired[list[str]]
    class_names: NotRequired[list[str]]
    steps: NotRequired[int | None]
    confidence: NotRequired[str]
    model: NotRequired[str]
    loss: NotRequired[str | None]
    metrics: NotRequired[list[str]]
    higher_is_better: NotRequired[list[str]]


class ExplanationFacts(TypedDict):
    """``facts`` in a file of ``explain/``: what is seen in it, as JSON."""

    split: NotRequired[str]
    images: NotRequired[list[list[str]]]
    """Of each image its class and what the model says, in lines."""
    maps: NotRequired[list[list[str]]]
    """What each row or column of maps is called, in lines."""
    layers: NotRequired[list[list[str]]]
    layer: NotRequired[str]
    along_steps: NotRequired[bool]
    """Whether a filter's rows are input channels and its columns the steps of a sequence."""
    queries: NotRequired[list[list[str]]]
    """Of each map of attention the tokens that look, one a row."""
    keys: NotRequired[list[list[str]]]
    """The tokens that are looked at, one a column."""
    across: NotRequired[int]
    """How many maps stand side by side; left out, as many as fit."""


class JudgedSamples(TypedDict):
    """What a classifier said of samples of a run's model."""

    judge: str
    """The folder of its run."""
    count: int
    seed: int
    step: int
    """Of the weights."""
    settings: dict[str, Any]
    """How they were drawn, where that was chosen."""
    classes: list[str]
    shares: list[float]
    """Of each class."""
    confidence: float
    """The mean probability of the class that it took each sample for."""


class JudgedRun(TypedDict):
    """``judged.json``."""

    judged: list[JudgedSamples]


class CheckpointState(TypedDict):
    """The state in a checkpoint, beside its arrays."""

    step: int
    seed: int
    config: str
    settings: NotRequired[dict[str, Any]]
    fingerprint: NotRequired[Fingerprint]
    schedule_steps: NotRequired[int | None]
    data: dict[str, Any]
    train_step: dict[str, Any]
    callbacks: dict[str, Any]
