"""The sections of a config besides the components' own parameters: one dataclass a section.

A dataclass's signature is the section's schema, defaults and bounds, and its docstring describes the keys; validation,
``dlcourse schema`` and the resolved config read them from here. ``Component(kind)`` stands where a component goes.
"""

import typing
from dataclasses import dataclass, is_dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import Field

from dlcourse.component import Component
from dlcourse.config.data_sections import DataOptions
from dlcourse.config.sweep_sections import MAX_MEMBERS, EnsembleOptions, SweepOptions
from dlcourse.types import Count, NonNegative, NonNegativeInt, Positive, Probability, Seed

SplitName = Literal["train", "val", "test"]
RunName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$")]
DeviceName = Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:[0-9]{1,3})?)$")]

PATTERNS = {
    r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$": "at most 100 letters, digits, '.', '_' and '-', of which the first is a "
    "letter, a digit or '_'",
    r"^(auto|cpu|cuda(:[0-9]{1,3})?)$": "auto, cpu, cuda or cuda:N",
}
"""What the patterns above mean, for messages."""


@dataclass(frozen=True)
class OptimizerGroup:
    """Parameters with other settings: keys of the optimizer that stand here hold for them.

    Args:
        match: names of parameters or of modules; * stands for any characters. One that several groups match is in the
            first.
        ndim: of those only the parameters with so many axes, such as 2 for matrices.
        optimizer: another optimizer for them.
        schedule: another schedule for them.
    """

    match: str | Annotated[list[str], MinLen(1)]
    ndim: NonNegativeInt | None = None
    optimizer: Annotated[Any, Component("optimizer")] | None = None
    schedule: Annotated[Any, Component("schedule")] | None = None


@dataclass(frozen=True)
class OptimizerOptions:
    """Keys that every optimizer has beside its own.

    Args:
        schedule: what multiplies the learning rate as the steps go by; constant if left out.
        groups: parts of the model that are trained with other settings, or by another optimizer.
    """

    schedule: Annotated[Any, Component("schedule")] | None = None
    groups: list[OptimizerGroup] | None = None


@dataclass(frozen=True)
class AttackOptions:
    """Keys that every attack of ``attacks`` has beside its own.

    Args:
        sizes: of an attack with an epsilon, at how many sizes it is measured: evenly up to epsilon.
        count: of how many inputs, the first of the split.
        split: the split they are from.
        source: a run, whose net's gradients are followed in place of those of the net that is attacked (transfer).
    """

    sizes: Count = 6
    count: Count = 1000
    split: SplitName = "test"
    source: str | None = None


OPTIONS: dict[str, type] = {"data": DataOptions, "optimizer": OptimizerOptions, "attacks": AttackOptions}
"""The keys that all components of a kind share, by kind; or those in a list that has keys of its own, by its key."""
LISTS = {"attacks": "attack"}
"""Such lists, and the kind of their components."""


@dataclass(frozen=True)
class EarlyStopping:
    """Stop when a metric no longer improves.

    Args:
        metric: one of ``metrics``, or loss.
        split: the split it is measured on.
        patience: stop after so many evaluations without improvement.
        min_delta: only a change of more than this counts as an improvement.
    """

    EXAMPLE: ClassVar[str] = "{metric: loss, patience: 5}"

    metric: str
    patience: Count
    split: SplitName = "val"
    min_delta: NonNegative = 0.0


@dataclass(frozen=True)
class BestOptions:
    """Which checkpoint is the best one.

    Args:
        metric: one of ``metrics``, or loss.
        split: the split it is measured on.
    """

    EXAMPLE: ClassVar[str] = "{metric: loss, split: val}"

    metric: str
    split: SplitName = "val"


@dataclass(frozen=True)
class WeightAveragingOptions:
    """Stochastic weight averaging: the mean of the weights late in training is evaluated in their place.

    Batch norm's statistics for it are computed anew over the training split at each evaluation. The learning rate is
    the schedule's: one that stays high, or goes up and down, lets the weights differ.

    Args:
        start: the epoch after which it begins, or a share of the training between 0.0 and 1.0.
        every: epochs between the weights that are averaged; 0.1 for ten in an epoch.
    """

    EXAMPLE: ClassVar[str] = "{start: 0.75}"

    start: Count | Annotated[float, Gt(0), Lt(1)] = 0.75
    every: Positive = 1.0


@dataclass(frozen=True)
class TrainOptions:
    """How the training goes.

    Args:
        epochs: passes over the training split; 1 if steps is left out too. A closed form takes one step whatever stands
            here.
        steps: updates, instead of epochs.
        seed: decides initial weights, the order of the samples, augmentation and dropout, where data and their split
            are to stay as they are; the config's seed if left out.
        batch_size: samples in an update; full for the whole training split.
        drop_last: leave out the last batch of an epoch where it is not full; other samples each time.
        eval_every: evaluate after so many epochs; 0 for only at the end.
        evaluate: the splits to measure, where the data have them; leave out what takes long and is not needed.
        tta: test-time augmentation of images in what is measured and predicted at the end, not during training: the
            mean output for the image and its mirror image (flip), and for both moved by a pixel (flip_shift).
        log_every: write the training loss after so many steps.
        checkpoint_every: write a checkpoint after so many steps; left out, as often as it costs little time.
        early_stopping: stop when a metric no longer improves.
        best: which checkpoint is the best one; the first metric on the validation split if left out.
        clip_norm: scale the gradient down to this norm where it is longer.
        clip_value: bring each element of the gradient to at most this size, before its norm is clipped.
        l1: weight of the penalty sum |w| over weights, not biases; part of the cost.
        l2: weight of the penalty 1/2 sum w^2 over weights, not biases; part of the cost.
        accumulate: cut a batch into so many microbatches, one after another, to save memory; the update is the same.
        ema: decay of the running average of the weights that is evaluated in their place, such as 0.999.
        swa: evaluate the mean of the weights late in training in their place.
        init_from: begin with the weights of this run, or of this file (safetensors or npz).
        reinit: of them, parts that begin anew all the same, such as a head for other classes: names of parameters or of
            modules; * stands for any characters.
        freeze: parts that are not trained, named as in reinit; their running statistics stay too.
        watch: note at evaluations, of each layer, the norms of gradient, weights and update, outputs and dead units.
        carry_state: a batch goes on where the one before ended, from the state that it left, without gradient, which is
            truncated backpropagation through time; a text is read in batch_size streams, from state zero at the start
            of an epoch and of each evaluation, which reads it so too.
        attack: train on inputs that this attack has changed, step by step, in place of those of the data.
        samples: how many samples of a model that generates are kept at each evaluation, always of the same seed; left
            out, 10 images, 1,000 points or one text; 0 for none.
        sync_batch_norm: where several processes (mpirun) have parts of a batch, batch normalization takes the
            statistics of the whole batch; false: each of its own part.
    """

    epochs: Count | None = None
    steps: Count | None = None
    seed: Seed | None = None
    batch_size: Count | Literal["full"] = 32
    drop_last: bool = False
    eval_every: NonNegativeInt = 1
    evaluate: tuple[SplitName, ...] = ("train", "val", "test")
    tta: Literal["none", "flip", "flip_shift"] = "none"
    log_every: Count = 10
    checkpoint_every: Count | None = None
    early_stopping: EarlyStopping | None = None
    best: BestOptions | None = None
    clip_norm: Positive | None = None
    clip_value: Positive | None = None
    l1: NonNegative = 0.0
    l2: NonNegative = 0.0
    accumulate: Count = 1
    ema: Probability | None = None
    swa: WeightAveragingOptions | None = None
    init_from: str | None = None
    reinit: tuple[str, ...] = ()
    freeze: tuple[str, ...] = ()
    watch: bool = False
    carry_state: bool = False
    attack: Annotated[Any, Component("attack")] | None = None
    samples: NonNegativeInt | None = None
    sync_batch_norm: bool = True


@dataclass(frozen=True, kw_only=True)
class ExperimentOptions:
    """A whole config.

    Args:
        name: the experiment's name, which is also its folder's in runs; the file's name if left out.
        seed: decides everything that is random.
        device: where to compute: auto, cpu, cuda or cuda:N.
        plugins: Python files with components of one's own, beside the config or in the current folder; they run only
            where --allow-code (in Python allow_code=True) or --plugin says so.
        precision: the type of the model's numbers; tf32 is float32 with faster, rounder products on a GPU; fp16 and
            bf16 compute with 16 bits and keep the weights in float32, fp16 with a loss scale.
        data: the data set, and how it is split.
        model: the model; its input and output sizes come from the data.
        loss: what training minimizes; a closed form goes without.
        optimizer: how it is minimized; with its schedule.
        train: how long, in which batches, and when to stop.
        metrics: what is measured on each split; the loss if there are none.
        attacks: what the trained net is attacked by at the end, such as [{name: pgd, epsilon: 0.3}, deepfool]: how many
            inputs it still gets right, and what the changed ones look like.
        logging: where the numbers of a run go beside its metrics.jsonl, such as [tensorboard].
        ensemble: how many models of this config to train and average, as a number or {size: 5, bagging: true}; each
            setting of a grid has its own.
        sweep: many runs of this config, which differ in what stands here.
    """

    name: RunName = "experiment"
    seed: Seed = 0
    device: DeviceName = "auto"
    precision: Literal["float32", "float64", "tf32", "fp16", "bf16"] = "float32"
    plugins: tuple[str, ...] = ()
    data: Annotated[Any, Component("data")]
    model: Annotated[Any, Component("model")]
    loss: Annotated[Any, Component("loss")] | None = None
    optimizer: Annotated[Any, Component("optimizer")]
    train: TrainOptions = TrainOptions()
    metrics: list[Annotated[Any, Component("metric")]] = ()  # type: ignore[assignment]  # a dataclass takes no []
    attacks: list[Annotated[Any, Component("attack", "attacks")]] = ()  # type: ignore[assignment]
    logging: list[Annotated[Any, Component("logging")]] = ()  # type: ignore[assignment]
    ensemble: Annotated[int, Ge(2), Le(MAX_MEMBERS)] | EnsembleOptions | None = None
    sweep: SweepOptions | None = None


def section_at(path: str) -> type:
    """The dataclass of a section by its path, such as ``train.early_stopping``."""
    cls: type = ExperimentOptions
    for step in path.split("."):
        shared = OPTIONS.get(step) if cls is ExperimentOptions else None
        annotation = shared or typing.get_type_hints(cls)[step]
        cls = next(
            branch
            for branch in (annotation, *typing.get_args(annotation))
            if isinstance(branch, type) and is_dataclass(branch)
        )
    return cls
