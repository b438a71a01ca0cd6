"""The sections of a config besides the components' own parameters: one dataclass a section.

A dataclass's signature is the section's schema, defaults and bounds, and its docstring describes the keys; validation,
``dlcourse schema`` and the resolved config read them from here. ``Component(kind)`` stands where a component goes.
"""

import typing
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import Field

from dlcourse.component import Component
from dlcourse.types import Count, Fraction, NonNegative, NonNegativeInt, Positive, Probability, Seed

SplitName = Literal["train", "val", "test"]
Share = NonNegativeInt | Fraction
"""A count of samples, or a fraction of them between 0.0 and 1.0."""

RunName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$")]
DeviceName = Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:[0-9]{1,3})?)$")]

PATTERNS = {
    r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$": "at most 100 letters, digits, '.', '_' and '-', of which the first is a "
    "letter, a digit or '_'",
    r"^(auto|cpu|cuda(:[0-9]{1,3})?)$": "auto, cpu, cuda or cuda:N",
}
"""What the patterns above mean, for messages."""


@dataclass(frozen=True)
class SplitSizes:
    """How samples are dealt out: each split as a fraction (0.2) or a count (20); no sample is in two splits.

    Args:
        train: training split; left out, all that val and test leave.
        val: validation split, which chooses between models.
        test: test split, looked at once.
    """

    EXAMPLE: ClassVar[str] = "{val: 0.1, test: 0.1}"

    train: Share | None = None
    val: Share = 0
    test: Share = 0


@dataclass(frozen=True)
class Folds:
    """Cross-validation: what the test split leaves is cut into folds; one validates, the others train.

    Args:
        folds: how many.
        fold: which one validates, from 0.
    """

    EXAMPLE: ClassVar[str] = "{folds: 5, fold: 0}"

    folds: Annotated[int, Ge(2)]
    fold: NonNegativeInt = 0


@dataclass(frozen=True)
class Limit:
    """At most so many samples of each split, the first in order.

    Args:
        train: of the training split; with kfold, of what the folds share.
        val: of the validation split.
        test: of the test split.
    """

    EXAMPLE: ClassVar[str] = "{train: 1000}"

    train: Count | None = None
    val: Count | None = None
    test: Count | None = None


@dataclass(frozen=True)
class ColorJitter:
    """How far colors are changed, for each image in an order of its own, as by torchvision's transform of that name.

    Args:
        brightness: the colors times a factor up to so far from 1.
        contrast: the distance from the image's mean gray times such a factor.
        saturation: the distance from each pixel's gray times such a factor.
        hue: turned by up to this share of the circle each way, at most 0.5.
    """

    EXAMPLE: ClassVar[str] = "{brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1}"

    brightness: NonNegative = 0.0
    contrast: NonNegative = 0.0
    saturation: NonNegative = 0.0
    hue: Annotated[float, Ge(0), Le(0.5)] = 0.0


@dataclass(frozen=True)
class Augment:
    """How the images of a training step are varied, anew in each step; what has no pixel becomes 0.

    Args:
        flip: mirror left to right, every other image on average; alternating draws once which, and mirrors all of them
            in every other epoch, so that two epochs show each image both ways.
        crop: move by up to so many pixels each way: a random crop of the image padded by so many.
        cutout: blank a square of so many pixels a side about a random position.
        border: what a crop is padded with, zeros or the image mirrored at its edge.
        color_jitter: change brightness, contrast, saturation and hue, before all else.
        mixup: alpha of Beta(alpha, alpha), by whose draws each image, and its label, is mixed with another (0: not).
        cutmix: alpha of Beta(alpha, alpha), which says how large a box of another image is pasted in, and how much its
            label counts (0: not); with mixup each batch is mixed by one of the two.
        erase: probability of blanking a rectangle of 2 to 33 % of the image, of random shape and place.
    """

    EXAMPLE: ClassVar[str] = "{flip: true, crop: 4}"

    flip: bool | Literal["alternating"] = False
    crop: NonNegativeInt = 0
    cutout: NonNegativeInt = 0
    border: Literal["zero", "reflect"] = "zero"
    color_jitter: ColorJitter | None = None
    mixup: NonNegative = 0.0
    cutmix: NonNegative = 0.0
    erase: Fraction = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.color_jitter, Mapping):
            object.__setattr__(self, "color_jitter", ColorJitter(**self.color_jitter))


@dataclass(frozen=True)
class DataOptions:
    """Keys that every data set has beside its own.

    Args:
        split: fractions or counts of the training, validation and test split.
        kfold: cross-validation instead of a fixed validation split.
        stratify: keep the classes' shares equal in all splits.
        only_classes: only the samples of these classes, which are numbered in this order.
        limit: at most so many samples of each split.
        normalize: shift and scale the inputs by statistics of the training split, of each feature (those of categories
            stay 0 and 1), or of each channel of images: to mean 0 and standard deviation 1 (standardize) or to the
            range 0 to 1 (minmax). per_pixel does as standardize for each pixel and channel; mean_image subtracts the
            mean of each, no more.
        normalize_target: shift and scale the targets of a regression, each to mean 0 and standard deviation 1 over the
            training split, for the model to learn; metrics, plots and predictions are in the targets' own units, the
            loss is that of the scaled ones.
        augment: vary the images of each training step at random.
        bootstrap: train on as many samples as the training split has, drawn from it with replacement by this seed, as
            bagging does; what is measured, and statistics for normalizing, are those of the whole split.
        shuffle: deal the samples out in random order, by the seed; false keeps the order of the file.
    """

    split: SplitSizes = SplitSizes()
    kfold: Folds | None = None
    stratify: bool = False
    only_classes: Annotated[list[str | int], MinLen(2)] | None = None
    limit: Limit | None = None
    normalize: Literal["none", "standardize", "per_pixel", "mean_image", "minmax"] = "none"
    normalize_target: Literal["none", "standardize"] = "none"
    augment: Augment | None = None
    bootstrap: Seed | None = None
    shuffle: bool = True


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


@dataclass(frozen=True)
class Range:
    """A range to draw from.

    Args:
        low: lower end.
        high: upper end.
        log: the logarithm is uniform, instead of the number.
        int: whole numbers, both ends included.
    """

    low: float
    high: float
    log: bool = False
    int: bool = False


MAX_POINTS = 100_000
"""Points of a sweep: at a tenth of a second each, hours; more is a slip."""
MAX_RESAMPLES = 100_000
MAX_MEMBERS = 1_000

Values = Annotated[list[Any], MinLen(1)]
"""What a sweep tries."""


@dataclass(frozen=True)
class RandomSearch:
    """Settings drawn at random.

    Args:
        samples: how many.
        space: for each path of the config, a list of choices or {low, high, log, int}.
    """

    samples: Annotated[int, Ge(1), Le(MAX_POINTS)]
    space: Annotated[dict[str, Values | Range], MinLen(1)]


MAX_TRIALS = 10_000
"""Of a search: what is drawn next is found from all trials before."""


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """Settings that a search picks one after another, each from what the ones before have reached (Optuna).

    Args:
        name: tpe, the tree of Parzen estimators (Bergstra et al. 2011); cmaes, an evolution strategy for numbers
            (Hansen and Ostermeier 2001), which draws choices at random; random.
        trials: how many settings are run.
        space: for each path of the config, a list of choices or {low, high, log, int}.
        metric: what is to be best, higher or lower as the metric says; by default what the best is chosen by, see
            train.best.
        split: where it is measured; by default val.
        pruner: what ends a trial early by its evaluations so far: median, where its best is worse than the median of
            the other trials at that evaluation; hyperband, where it is not among the best third that goes on (Li et
            al. 2018); none.
        seed: decides what is drawn; by default the config's.
    """

    name: Literal["tpe", "cmaes", "random"] = "tpe"
    trials: Annotated[int, Ge(1), Le(MAX_TRIALS)]
    space: Annotated[dict[str, Values | Range], MinLen(1)]
    metric: str | None = None
    split: Literal["train", "val", "test"] | None = None
    pruner: Literal["hyperband", "median", "none"] = "none"
    seed: Seed | None = None


@dataclass(frozen=True)
class SweepOptions:
    """Many runs of one config. All that is given is combined.

    Args:
        grid: for each path of the config, such as model.degree, a list of values; every combination is run.
        zip: the same, but the lists go side by side and are equally long.
        random: settings drawn at random.
        search: settings picked one after another by what was reached so far; it does not combine with the others.
        seeds: run every setting with so many seeds (seed, seed + 1, ...), or with those of a list; tables have means.
        kfold: run every setting once for each of so many folds.
        resample: fit every setting on so many newly drawn training sets; gives bias and variance.
        execution: whether the runs are taken one by one, or those of one architecture as one model with a leading axis
            of replicas, as --stacked does.
    """

    grid: dict[str, Values] | None = None
    zip: dict[str, Values] | None = None
    random: RandomSearch | None = None
    search: SearchOptions | None = None
    seeds: Annotated[int, Ge(2), Le(MAX_POINTS)] | Annotated[list[Seed], MinLen(2)] | None = None
    kfold: Annotated[int, Ge(2), Le(MAX_POINTS)] | None = None
    resample: Annotated[int, Ge(2), Le(MAX_RESAMPLES)] | None = None
    execution: Literal["points", "stacked"] = "points"


@dataclass(frozen=True)
class EnsembleOptions:
    """Several models of one config, whose probabilities (outputs in a regression) are averaged.

    Args:
        size: how many; the k-th is trained with train.seed = seed + k, on the same split.
        bagging: train each on a resample of its own of the training split, drawn with replacement (Breiman 1996).
    """

    EXAMPLE: ClassVar[str] = "{size: 5, bagging: true}"

    size: Annotated[int, Ge(2), Le(MAX_MEMBERS)]
    bagging: bool = False


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
