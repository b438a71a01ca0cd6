"""Initial weights: the stated distribution, PyTorch's gains, the seed, and the names that a config gives."""

import inspect
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import backend, config, models, nn, registry
from dlcourse.backend import random
from dlcourse.errors import ConfigError
from dlcourse.nn import init
from dlcourse.nn.initializer import initializer

SHAPE = (400, 5, 5, 12)  # fan_in 300, fan_out 10,000
FAN_IN, FAN_OUT = 300, 10_000

# The variance that each states.
VARIANCES = {
    "uniform": (lambda: init.uniform(SHAPE, -2.0, 1.0), 9 / 12),
    "normal": (lambda: init.normal(SHAPE, 1.0, 0.3), 0.09),
    "xavier_uniform": (lambda: init.xavier_uniform(SHAPE, gain=3.0), 9 * 2 / (FAN_IN + FAN_OUT)),
    "xavier_normal": (lambda: init.xavier_normal(SHAPE), 2 / (FAN_IN + FAN_OUT)),
    "kaiming_uniform": (lambda: init.kaiming_uniform(SHAPE, nonlinearity="relu"), 2 / FAN_IN),
    "kaiming_uniform-default": (lambda: init.kaiming_uniform(SHAPE, a=5**0.5), 1 / (3 * FAN_IN)),
    "kaiming_normal": (lambda: init.kaiming_normal(SHAPE, mode="fan_out", nonlinearity="relu"), 2 / FAN_OUT),
    "kaiming_normal-leaky": (lambda: init.kaiming_normal(SHAPE, a=0.5), 2 / 1.25 / FAN_IN),
    "lecun_uniform": (lambda: init.lecun_uniform(SHAPE), 1 / FAN_IN),
    "lecun_normal": (lambda: init.lecun_normal(SHAPE), 1 / FAN_IN),
}
EACH = pytest.mark.parametrize("name", VARIANCES)


@EACH
def test_mean_variance_and_shape_of_the_distribution(name: str) -> None:
    draw, variance = VARIANCES[name]
    weights = draw()
    assert weights.shape == SHAPE and weights.dtype == np.float32
    # 120,000 draws: the standard deviation of a sample variance is below 0.5 % of it.
    assert weights.var() == pytest.approx(variance, rel=0.025)
    center = {"uniform": -0.5, "normal": 1.0}.get(name, 0.0)
    assert abs(weights.mean() - center) < 5 * (variance / weights.size) ** 0.5
    largest = np.abs(weights - center).max() / variance**0.5
    assert largest <= 3**0.5 * 1.0001 if "uniform" in name else largest > 3.5


@EACH
def test_the_same_seed_gives_the_same_weights_and_the_next_draw_others(name: str, device: str) -> None:
    draw, _ = VARIANCES[name]
    random.manual_seed(7)
    first, second = (backend.to_host(draw()) for _ in range(2))
    random.manual_seed(7)
    np.testing.assert_array_equal(backend.to_host(draw()), first)
    assert not np.array_equal(first, second)
    random.manual_seed(8)
    assert not np.array_equal(backend.to_host(draw()), first)


def test_a_generator_of_ones_own() -> None:
    draws = [init.normal((3, 2), generator=random.generator(5, "mine")) for _ in range(2)]
    np.testing.assert_array_equal(*draws)


def test_weights_lie_on_the_current_device(device: str) -> None:
    assert backend.of(init.orthogonal((3, 3))).kind == device


@pytest.mark.parametrize("shape", [(20, 50), (50, 20), (30, 30), (10, 3, 3, 4), (60, 3, 3, 4)])
def test_orthogonal_rows_or_columns(shape: tuple) -> None:
    matrix = init.orthogonal(shape, gain=2.0).reshape(shape[0], -1).astype(np.float64)
    rows, columns = matrix.shape
    product = matrix @ matrix.T if rows <= columns else matrix.T @ matrix
    np.testing.assert_allclose(product, 4 * np.eye(min(rows, columns)), atol=2e-6)


def test_orthogonal_has_no_preferred_sign() -> None:
    assert {float(np.sign(init.orthogonal((3, 3))[0, 0])) for _ in range(20)} == {-1.0, 1.0}


def test_fixed_values() -> None:
    assert not init.zeros((2, 3)).any()
    assert (init.constant((2, 3), 0.5) == 0.5).all()
    np.testing.assert_array_equal(init.identity((2, 3), gain=3.0), [[3, 0, 0], [0, 3, 0]])


def test_gains_are_pytorchs() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    for name in ("linear", "sigmoid", "tanh", "relu", "selu"):
        assert init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))
    assert init.calculate_gain("leaky_relu", 0.3) == pytest.approx(torch.nn.init.calculate_gain("leaky_relu", 0.3))


def test_fans_of_a_linear_layer_are_in_and_out() -> None:
    assert init.fans((10, 3)) == (3, 10)
    assert init.fans(SHAPE) == (FAN_IN, FAN_OUT)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="two axes"):
        init.kaiming_normal((5,))
    with pytest.raises(ValueError, match="two axes"):
        init.orthogonal((5,))
    with pytest.raises(ValueError, match="matrix"):
        init.identity((2, 2, 2))
    with pytest.raises(ValueError, match="no gain is known for 'rleu'"):
        init.calculate_gain("rleu")
    with pytest.raises(ValueError, match="fan_in or fan_out"):
        init.kaiming_normal((2, 2), mode="fan")
    with pytest.raises(ValueError, match="kernel's shape"):
        init.dirac((2, 2))
    with pytest.raises(ValueError, match="5 outputs do not make 2 groups"):
        init.dirac((5, 3, 2), groups=2)
    with pytest.raises(ValueError, match="matrix"):
        init.sparse((2, 2, 2), 0.5)
    with pytest.raises(ValueError, match="sparsity is in 0..1, got 2"):
        init.sparse((2, 2), 2)
    with pytest.raises(ValueError, match="expected a < b"):
        init.trunc_normal((2, 2), a=1.0, b=0.5)
    with pytest.raises(ValueError, match="next to nothing between a=-2.0 and b=2.0"):
        init.trunc_normal((2, 2), mean=50.0)
    with pytest.raises(ValueError, match="normal_ draws numbers with a fraction, and the tensor has whole ones: int64"):
        init.normal_(dl.zeros(3, dtype="int64"))


@pytest.mark.parametrize(
    ("mean", "std", "a", "b"),
    [(0.0, 1.0, -2.0, 2.0), (0.3, 0.02, 0.25, 0.4), (-1.0, 2.0, 3.0, 9.0), (0.0, 5.0, 1.0, 1.1)],
)
def test_a_truncated_normal_has_its_density(mean: float, std: float, a: float, b: float) -> None:
    """The shares of ten parts of the interval, to five standard errors."""
    x = init.trunc_normal((200, 500), mean, std, a, b).astype(np.float64).ravel()
    assert a <= x.min() and x.max() <= b
    found, edges = np.histogram(x, 10, (a, b))
    fine = np.linspace(a, b, 10 * 100 + 1)
    density = np.exp(-0.5 * ((fine - mean) / std) ** 2)
    expected = ((density[1:] + density[:-1]) / 2).reshape(10, 100).sum(axis=1)
    expected *= x.size / expected.sum()
    assert (np.abs(found - expected) < 5 * np.sqrt(expected)).all()


@pytest.mark.parametrize(("shape", "groups"), [((4, 3, 3), 1), ((6, 5, 4, 2), 3), ((3, 2, 3, 3, 5), 1)])
def test_a_dirac_kernel_is_pytorchs(shape: tuple, groups: int) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    theirs = torch.nn.init.dirac_(torch.empty(shape[0], shape[-1], *shape[1:-1]), groups)
    np.testing.assert_array_equal(init.dirac(shape, groups), theirs.movedim(1, -1).numpy())


def test_a_sparse_matrix_has_so_many_zeros_in_each_column() -> None:
    weight = init.sparse((30, 200), 0.35, std=0.5)
    assert ((weight == 0).sum(axis=0) == 11).all()  # of 10.5
    assert weight[weight != 0].std() == pytest.approx(0.5, rel=0.05)
    assert (weight == 0).any(axis=1).all()


def test_what_is_filled_in_place_is_in_its_own_type() -> None:
    x = dl.zeros(2, 3, dtype="float64")
    assert (init.constant_(x, 0.1).numpy() == 0.1).all()
    assert init.xavier_normal_(x).numpy().astype("float32").astype("float64").tolist() != x.tolist()
    assert init.ones_(dl.zeros(3, dtype="int64")).tolist() == [1, 1, 1]


def test_functions_that_fill_have_pytorchs_arguments() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    names = [name for name in dir(torch.nn.init) if name.endswith("_") and not name.startswith("_")]
    assert len(names) == 14
    for name in [*names, "calculate_gain"]:
        theirs = inspect.signature(getattr(torch.nn.init, name)).parameters.values()
        ours = list(inspect.signature(getattr(init, name)).parameters.values())
        assert [each.name for each in ours][: len(theirs)] == [each.name for each in theirs], name
        for our, their in zip(ours, theirs, strict=False):
            assert our.default == their.default or name == "calculate_gain", (name, our, their)


# --- by the names of a config -----------------------------------------------------------------------------------

NEEDED = {"constant": {"val": 0.5}, "sparse": {"sparsity": 0.5}}
NET: dict[str, Any] = {
    "data": {"name": "spirals", "samples": 60},
    "model": {"name": "mlp", "hidden": [4]},
    "loss": "cross_entropy",
    "optimizer": {"name": "adam", "lr": 0.01},
    "metrics": ["accuracy"],
    "train": {"epochs": 1},
}


@pytest.mark.parametrize("name", registry.names("init"))
def test_every_initializer_fills_a_net(name: str, device: str) -> None:
    given = {"name": name, **NEEDED.get(name, {})}
    random.manual_seed(3)
    net = models.MLP((5,), 2, hidden=[4], init=given)
    weights = [parameter.numpy() for parameter in net.parameters()]
    assert all(np.isfinite(weight).all() for weight in weights)
    drawn = initializer(given)((4, 5), 1.0)
    assert drawn.shape == (4, 5) and backend.of(drawn).kind == device
    assert name == "default" or not weights[1].any()


def test_a_scale_is_given_and_shown() -> None:
    net = models.MLP((300,), 50, hidden=[200], init={"name": "normal", "std": 0.01})
    assert [layer.weight.numpy().std() for layer in net.layers if isinstance(layer, nn.Linear)] == pytest.approx(
        [0.01, 0.01], rel=0.03
    )
    assert repr(initializer({"name": "normal", "std": 0.01})) == "Normal(mean=0.0, std=0.01)"
    assert not models.MLP((3,), 2, hidden=[4], init=initializer("zeros")).layers[1].weight.numpy().any()


def test_kaiming_and_xavier_take_their_settings() -> None:
    shape = (400, 300)
    for given, variance in [
        ({"name": "kaiming_normal", "mode": "fan_out"}, 2 / 400),
        ({"name": "kaiming_uniform"}, 2 / 300),
        ({"name": "xavier_uniform", "gain": 3.0}, 9 * 2 / 700),
        ({"name": "xavier"}, 2 * 2 / 700),
    ]:
        assert initializer(given)(shape, 2**0.5).var() == pytest.approx(variance, rel=0.03)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("kaimin", "model.init.name: no init 'kaimin' (did you mean 'kaiming'?"),
        ({"name": "normal", "sd": 1}, "model.init.sd: unknown key of init normal (did you mean 'std'?"),
        ({"name": "normal", "std": -1}, "model.init.std: expected a number of at least 0, got -1"),
        ({"std": 0.1}, "model.init.name: required, but missing"),
        ({"name": "constant"}, "model.init.val: required, but missing"),
        ({"name": "uniform", "a": 2}, "model.init: expected a <= b, got a = 2.0, b = 1.0"),
        ({"name": "trunc_normal", "mean": 9}, "model.init: trunc_normal: a normal distribution of mean=9.0"),
        ({"name": "kaiming", "mode": "fan"}, "model.init.mode: expected fan_in or fan_out, got 'fan'"),
        (3, "model.init: expected a name, or a mapping of a name and parameters, got 3"),
    ],
)
def test_an_initializer_that_is_wrong_is_named(given: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.resolve({**NET, "model": {**NET["model"], "init": given}})
    assert str(caught.value).startswith(message)


def test_a_sweep_tries_scales_of_the_weights() -> None:
    net = {
        **NET,
        "model": {**NET["model"], "init": {"name": "normal"}},
        "sweep": {"grid": {"model.init.std": [0.1, 1]}},
    }
    assert config.resolve(net)["model.init"] == {"name": "normal", "mean": 0.0, "std": 1.0}
    with pytest.raises(ConfigError, match=r"model\.init\.std.*at least 0, got -1"):
        config.resolve(net, {"sweep.grid": {"model.init.std": [-1]}})
