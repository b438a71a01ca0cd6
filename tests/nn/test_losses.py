"""Losses as modules and by their names in a config: weights, labels that do not count, what fits which targets."""

from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import functional as F
from dlcourse import nn, registry
from dlcourse.errors import ConfigError, DlcourseError, ShapeError
from dlcourse.training.evaluation import LossMetric

torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")

RNG = np.random.default_rng(0)
LOGITS, LABELS = RNG.normal(size=(6, 4)), np.array([0, 3, 1, 1, 2, 0])
WEIGHT, SOFT = np.array([0.5, 2.0, 1.0, 1.5]), RNG.dirichlet(np.ones(4), 6)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("ignored", [None, 1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("soft", [False, True])
def test_cross_entropy_with_everything_at_once(
    reduction: Any, smoothing: float, ignored: int | None, weighted: bool, soft: bool, device: str
) -> None:
    if soft and ignored is not None:
        with pytest.raises(DlcourseError, match="ignore_index is for labels"):
            nn.CrossEntropyLoss(ignore_index=ignored)(dl.tensor(LOGITS), dl.tensor(SOFT))
        return
    weight = WEIGHT if weighted else None
    given = {"reduction": reduction, "label_smoothing": smoothing}
    ours = nn.CrossEntropyLoss(weight, ignore_index=ignored, **given)
    settings = given if ignored is None else {**given, "ignore_index": ignored}
    theirs = torch.nn.CrossEntropyLoss(None if weight is None else torch.tensor(weight), **settings)
    targets = SOFT if soft else LABELS
    x, y = dl.tensor(LOGITS, requires_grad=True), torch.tensor(LOGITS, requires_grad=True)
    found, expected = ours(x, dl.tensor(targets)), theirs(y, torch.tensor(targets))
    np.testing.assert_allclose(found.numpy(), expected.detach().numpy(), rtol=1e-12)
    found.sum().backward()
    expected.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-9, atol=1e-15)


def test_weights_may_be_lists_arrays_and_tensors(device: str) -> None:
    expected = torch.nn.CrossEntropyLoss(torch.tensor(WEIGHT))(torch.tensor(LOGITS), torch.tensor(LABELS)).item()
    for weight in (WEIGHT.tolist(), WEIGHT, dl.tensor(WEIGHT)):
        for loss in (nn.CrossEntropyLoss(weight), nn.CrossEntropyLoss(class_weights=weight)):
            assert loss(dl.tensor(LOGITS), LABELS).item() == pytest.approx(expected)
        nll = nn.NLLLoss(weight)(F.log_softmax(dl.tensor(LOGITS)), LABELS)
        assert nll.item() == pytest.approx(expected)
    with pytest.raises(DlcourseError, match="weight and class_weights are one thing"):
        nn.CrossEntropyLoss(WEIGHT, class_weights=WEIGHT)


def test_a_weight_in_float64_stays_exact_and_follows_a_change() -> None:
    loss, x = nn.BCEWithLogitsLoss(np.array([0.1, 0.7])), np.zeros((3, 2))
    assert loss(dl.tensor(x), np.ones((3, 2))).item() == pytest.approx(0.4 * np.log(2), rel=1e-15)
    loss.weight[:] = 2
    assert loss(dl.tensor(x), np.ones((3, 2))).item() == pytest.approx(2 * np.log(2), rel=1e-15)


def test_the_loss_of_all_batches_is_that_of_all_samples_where_some_do_not_count() -> None:
    loss = nn.CrossEntropyLoss(ignore_index=0)
    metric = LossMetric(loss)
    for part in (slice(0, 1), slice(1, 4), slice(4, 6)):  # nothing counts in the first
        metric.update(LOGITS[part], LABELS[part])
    assert metric.compute() == pytest.approx(loss(dl.tensor(LOGITS), LABELS).item())
    model = nn.Linear(4, 4)
    step = dl.TrainStep(model, loss, dl.optim.SGD(model.parameters(), lr=0.1), accumulate=2)
    with pytest.raises(DlcourseError, match="ignore_index"):
        step(LOGITS.astype("f"), LABELS)


def test_binary_losses_agree_and_refuse_what_is_no_probability() -> None:
    targets = RNG.uniform(size=(6, 4))
    exact = F.binary_cross_entropy_with_logits(dl.tensor(LOGITS), targets).item()
    assert F.binary_cross_entropy(F.sigmoid(dl.tensor(LOGITS)), targets).item() == pytest.approx(exact)
    assert F.binary_cross_entropy(dl.tensor([0.0, 1.0]), np.array([1.0, 1.0])).item() == 50  # as PyTorch: log 0 = -100
    large = F.binary_cross_entropy_with_logits(dl.tensor([1e4, -1e4]), np.array([0.0, 1.0]), reduction="none")
    assert large.tolist() == [1e4, 1e4]
    with pytest.raises(DlcourseError, match=r"in 0\.\.1, got .* take binary_cross_entropy_with_logits"):
        F.binary_cross_entropy(dl.tensor(LOGITS), targets)
    with pytest.raises(ShapeError, match="one shape"):
        F.binary_cross_entropy_with_logits(dl.tensor(LOGITS), targets[:, :1])
    with pytest.raises(ShapeError, match="broadcasts"):
        F.binary_cross_entropy_with_logits(dl.tensor(LOGITS), targets, pos_weight=np.ones(3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: F.huber_loss(x, LOGITS, delta=0), "delta is above 0, got 0"),
        (lambda x: F.smooth_l1_loss(x, LOGITS, beta=-1), "beta is at least 0, got -1"),
        (lambda x: F.l1_loss(x, LOGITS[:1]), "one shape"),
        (lambda x: F.l1_loss(x, LOGITS, weight=np.ones(4)), "weight has the outputs' shape"),
        (lambda x: F.kl_div(x, LOGITS, reduction="batch"), "'batchmean', 'mean', 'sum' or 'none', got 'batch'"),
        (lambda x: F.gaussian_nll_loss(x, LOGITS, -1.0), "a variance is at least 0, got -1"),
        (lambda x: F.gaussian_nll_loss(x, LOGITS, np.ones((6, 3))), r"var of outputs \(6, 4\)"),
        (lambda x: F.nll_loss(x, LABELS + 1), r"labels are in 0\.\.3, got 1\.\.4"),
        (lambda x: F.multi_margin_loss(x, LABELS, p=3), "p is 1 or 2, got 3"),
        (lambda x: F.multilabel_margin_loss(x, LABELS), "whole numbers of that shape"),
        (lambda x: F.triplet_margin_loss(x, LOGITS, LOGITS[0]), "as many axes"),
        (lambda x: F.triplet_margin_loss(x, LOGITS, LOGITS, margin=0), "margin is above 0"),
        (lambda x: F.cosine_embedding_loss(x, LOGITS, LABELS[:2]), r"targets \(N,\)"),
        (lambda x: F.ctc_loss(x[None], [[1, 2]], [6], [2], blank=4), r"blank is a class, 0\.\.3, got 4"),
        (lambda x: F.ctc_loss(x[None], [[1, 0]], [6], [2]), "other than the blank 0"),
        (lambda x: F.ctc_loss(x[None], [[1, 2]], [7], [2]), r"input_lengths are in 1\.\.6, got 7\.\.7"),
        (lambda x: F.ctc_loss(x[None], [[1, 2]], [6], [3]), r"expected targets \(1, 3\) or more"),
        (lambda x: F.ctc_loss(x[None], [1, 2, 3], [6], [2]), "3 targets, and target_lengths add up to 2"),
        (lambda x: nn.CrossEntropyLoss(reduction="avg"), "'mean', 'sum' or 'none', got 'avg'"),
    ],
)
def test_what_makes_no_sense_is_refused(call: Any, message: str) -> None:
    with pytest.raises(DlcourseError, match=message):
        call(dl.tensor(LOGITS))


def test_a_text_that_cannot_be_read_has_an_infinite_loss_or_none() -> None:
    log_p = F.log_softmax(dl.tensor(RNG.normal(size=(2, 3, 4)), requires_grad=True))
    texts, steps, lengths = [[1, 1], [1, 2]], [2, 3], [2, 2]  # 1 1 needs a blank between: three steps
    losses = F.ctc_loss(log_p, texts, steps, lengths, reduction="none").numpy()
    assert np.isinf(losses[0]) and np.isfinite(losses[1])
    kept = F.ctc_loss(log_p, texts, steps, lengths, reduction="none", zero_infinity=True)
    np.testing.assert_array_equal(kept.numpy(), [0, losses[1]])


# --- by the names of a config -----------------------------------------------------------------------------------------

REGRESSION: dict[str, Any] = {
    "data": {"name": "polynomial_curve", "samples": 40, "split": {"val": 10}},
    "model": {"name": "mlp", "hidden": [4]},
    "optimizer": {"name": "adam", "lr": 0.01},
    "metrics": ["mse"],
    "train": {"epochs": 2, "early_stopping": {"metric": "loss", "patience": 5}},
}
CLASSES: dict[str, Any] = {
    **REGRESSION,
    "data": {"name": "spirals", "samples": 60, "split": {"val": 10}},
    "metrics": ["accuracy"],
}


@pytest.mark.parametrize(
    ("base", "loss"),
    [
        *((REGRESSION, name) for name in ("l1", "smooth_l1", "huber")),
        (REGRESSION, {"name": "huber", "delta": 0.1, "reduction": "sum"}),
        (CLASSES, "bce"),
        (CLASSES, {"name": "bce", "pos_weight": [2, 1, 1]}),
        (CLASSES, {"name": "multi_margin", "p": 2}),
        (CLASSES, {"name": "cross_entropy", "ignore_index": 2}),
    ],
    ids=lambda given: "" if "data" in given else str(given),
)
def test_a_config_names_a_loss(base: dict, loss: Any, tmp_path: Any) -> None:
    result = dl.run({**base, "loss": loss, "name": "loss"}, device="cpu", out=tmp_path, plots=False)
    assert np.isfinite(result.metrics["val"]["loss"])


def test_counts_and_probabilities_are_trained_in_a_config(tmp_path: Any) -> None:
    x = RNG.normal(size=(40, 2)).astype("f")
    for name, y in {"poisson_nll": RNG.poisson(2.0, (40, 1)), "bce": RNG.integers(0, 2, (40, 3))}.items():
        np.savez(tmp_path / f"{name}.npz", x=x, y=y.astype("f"))
        data = {"name": "arrays", "path": str(tmp_path / f"{name}.npz"), "task": "regression", "split": {"val": 10}}
        result = dl.run(
            {**REGRESSION, "data": data, "loss": name, "name": "loss"}, device="cpu", out=tmp_path, plots=False
        )
        assert np.isfinite(result.metrics["val"]["loss"])


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("bce", r"loss: bce takes targets in 0\.\.1, and the training split has -"),
        ("poisson_nll", "loss: poisson_nll takes counts, numbers of at least 0, and the training split has -"),
        ("multi_margin", "loss.name: multi_margin is for classification"),
        ({"name": "huber", "delta": 0}, "loss.delta: expected a number above 0, got 0"),
        ({"name": "l1", "reduction": "none"}, "loss.reduction: expected mean or sum, got 'none'"),
        ("bce_with_logits", "loss.name: no loss 'bce_with_logits'"),
    ],
)
def test_a_loss_that_does_not_fit_is_named(loss: Any, message: str, tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match=message):
        dl.run({**REGRESSION, "loss": loss, "name": "loss"}, device="cpu", out=tmp_path, plots=False)


def test_every_loss_of_a_config_says_how_batches_add_up() -> None:
    for name in registry.names("loss"):
        made = registry.build("loss", {"name": name})
        assert made.reduction in ("mean", "sum") and made.tasks
