"""Data from Python: ``dl.load_data`` gives splits as arrays, ``dl.DataLoader`` batches of them, epoch by epoch."""

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import functional as F
from dlcourse import nn, optim
from dlcourse.config import resolve
from dlcourse.data import prepare
from dlcourse.errors import ArgumentError, ConfigError, DlcourseError, ShapeError, UserError

IMAGES = {"samples": 60, "classes": 3, "image_size": 8}


def _labels(loader: dl.DataLoader) -> list[int]:
    return np.concatenate([labels.numpy() for _, labels in loader]).tolist()


def test_a_notebooks_first_cells(device: str) -> None:
    """Load, loop, measure: what a person that knows PyTorch types first."""
    data = dl.load_data("spirals", samples=200, split={"test": 0.25}, normalize="standardize")
    model = nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, data.out_features))
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    loader = dl.DataLoader(data.train, batch_size=32, shuffle=True)
    for _ in range(20):
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
    correct = sum(int((model(x).argmax(dim=1) == y).sum()) for x, y in dl.DataLoader(data.test, batch_size=64))
    assert correct / len(data.test) > 0.8


def test_splits_are_those_of_a_run() -> None:
    section = {"name": "spirals", "samples": 100, "split": {"val": 0.2, "test": 10}, "normalize": "standardize"}
    config = {
        "seed": 3,
        "data": section,
        "model": "softmax",
        "loss": "cross_entropy",
        "optimizer": {"name": "sgd", "lr": 1},
    }
    ours, there = dl.load_data(config), prepare(resolve(config).data["data"], 3)
    again = dl.load_data(**section, seed=3)
    for name in ("train", "val", "test"):
        x, y = getattr(ours, name)
        split = there.splits[name]
        np.testing.assert_array_equal(x, there.normalizer.apply(split.x, np.float32))
        np.testing.assert_array_equal(y, split.y)
        np.testing.assert_array_equal(getattr(again, name).inputs, x)
    train, _val, test = ours
    assert (len(train), len(test)) == (70, 10)
    assert abs(train.inputs.mean(0)).max() < 1e-5
    assert ours.train.inputs is ours.train.inputs  # made once


def test_images_are_bytes_until_they_are_normalized() -> None:
    raw = dl.load_data("synthetic_images", **IMAGES)
    assert raw.train.inputs.dtype == np.uint8
    assert raw.train.inputs.shape == (60, 8, 8, 3) == (len(raw.train), *raw.in_shape)
    assert raw.class_names == raw.dataset.class_names
    data = dl.load_data("synthetic_images", normalize="standardize", **IMAGES)
    (x, y) = next(iter(dl.DataLoader(data.train, batch_size="full")))
    np.testing.assert_allclose(x.numpy(), data.train.inputs, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(y.numpy(), data.train.targets)
    assert x.dtype == np.float32


def test_standardized_targets_come_standardized() -> None:
    data = dl.load_data("polynomial_curve", samples=50, normalize_target="standardize")
    x, y = next(iter(dl.DataLoader(data.train, batch_size="full")))
    np.testing.assert_allclose(y.numpy(), data.train.targets, rtol=1e-6)
    np.testing.assert_allclose(data.target_normalizer.restore(y.numpy()), data.splits["train"].y, rtol=1e-5)
    assert x.shape == (50, 1)


def test_texts_come_as_windows(tmp_path) -> None:
    (tmp_path / "text.txt").write_text("the quick brown fox " * 30)
    data = dl.load_data("text", path=str(tmp_path / "text.txt"), context=8, split={"val": 0.2})
    x, y = data.train
    assert x.shape == y.shape == (len(data.train), 8)
    np.testing.assert_array_equal(x[:, 1:], y[:, :-1])
    for x, y in dl.DataLoader(data.train, batch_size=16, shuffle=True):
        np.testing.assert_array_equal(x.numpy()[:, 1:], y.numpy()[:, :-1])


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
def test_each_loop_is_an_epoch(shuffle: bool, drop_last: bool) -> None:
    loader = dl.DataLoader(np.arange(10.0), np.arange(10), batch_size=4, shuffle=shuffle, drop_last=drop_last)
    first, second = _labels(loader), _labels(loader)
    assert len(loader) == (2 if drop_last else 3)
    assert len(first) == len(set(first)) == (8 if drop_last else 10)
    assert (first != second) == shuffle
    for x, labels in loader:
        np.testing.assert_array_equal(x.numpy(), labels.numpy())
    assert len(loader.dataset) == 10


def test_seeds_decide_the_order() -> None:
    def loader(**settings: int) -> dl.DataLoader:
        return dl.DataLoader(np.arange(50.0), np.arange(50), batch_size=10, shuffle=True, **settings)

    dl.manual_seed(1)
    one, other = loader(), loader()
    orders = [_labels(one), _labels(one)]
    assert _labels(other) not in orders  # two loaders do not go side by side
    dl.manual_seed(1)
    assert [_labels(one), _labels(one)] == orders  # PyTorch's too begins anew
    assert _labels(loader(seed=5)) == _labels(loader(seed=5)) != orders[0]
    dl.manual_seed(2)
    assert _labels(loader()) not in orders


def test_two_loops_at_once_do_not_meet() -> None:
    loader = dl.DataLoader(np.arange(20.0), np.arange(20), batch_size=5, shuffle=True, seed=0)
    pairs = list(zip(loader, loader, strict=True))
    firsts, seconds = (
        [int(label) for batch in side for label in batch[1].numpy()] for side in zip(*pairs, strict=True)
    )
    assert sorted(firsts) == sorted(seconds) == list(range(20))
    assert firsts != seconds


def test_a_batch_is_the_users_own() -> None:
    x = np.ones((6, 2), np.float32)
    loader = dl.DataLoader(x, np.arange(6), batch_size="full")
    for batch, labels in loader:
        batch.data *= 0
        labels.data += 9
    saved = next(iter(loader))
    assert saved[0].numpy().min() == 1
    assert saved[1].tolist() == list(range(6))
    np.testing.assert_array_equal(x, 1)


def test_what_comes_out_by_what_goes_in() -> None:
    x = np.arange(12.0).reshape(4, 3)
    assert next(iter(dl.DataLoader(x, batch_size=2))).dtype == np.float32  # without targets no pair
    assert next(iter(dl.DataLoader(x, batch_size=2, dtype="float64"))).dtype == np.float64
    tokens = np.arange(12).reshape(4, 3)
    assert next(iter(dl.DataLoader(tokens))).dtype == np.int64
    by_pair = next(iter(dl.DataLoader((x, [0, 1, 0, 1]), batch_size=4)))
    assert by_pair[1].tolist() == [0, 1, 0, 1]
    from_tensors = next(iter(dl.DataLoader(dl.tensor(x), dl.tensor([0.5, 1, 2, 3]), batch_size=4)))
    assert from_tensors[1].dtype == np.float32
    assert from_tensors[1].shape == (4,)


def test_augmented_images_differ_from_epoch_to_epoch() -> None:
    data = dl.load_data("synthetic_images", normalize="standardize", **IMAGES)
    loader = dl.DataLoader(data.train, batch_size=60, augment={"flip": True, "crop": 2})
    (first, _), (second, _) = next(iter(loader)), next(iter(loader))
    assert (first.numpy() != second.numpy()).any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: dl.DataLoader(x, np.arange(9)), "10 inputs of shape .10, 2., but 9 targets"),
        (lambda x: dl.DataLoader(x, 64), "expected targets as an array .* got 64 .*batch_size=64"),
        (lambda x: dl.DataLoader(x[:0]), "hold nothing"),
        (lambda x: dl.DataLoader("mnist"), "a split of dl.load_data; got a str"),
        (lambda x: dl.DataLoader(dl.load_data("spirals")), "as in data.train"),
        (lambda x: dl.DataLoader(dl.load_data("spirals").train, x), "has targets of its own"),
        (lambda x: dl.DataLoader(dl.load_data("spirals").train, 32), r"has its name: batch_size=32\)"),
        (lambda x: dl.DataLoader(np.array([{}])), "elements of type object"),
        (lambda x: dl.DataLoader(x, batch_size=0), "batch_size is a whole number of at least 1, or 'full', got 0"),
        (lambda x: dl.DataLoader(x, batch_size=2.0), "got 2.0"),
        (lambda x: dl.DataLoader(x, num_workers=4), "takes no 'num_workers'; leave it out: samples lie in memory"),
        (lambda x: dl.DataLoader(x, batchsize=4), r"takes no 'batchsize' \(did you mean 'batch_size'\?\)"),
        (lambda x: dl.DataLoader(x, dtype="int64"), "floating-point type"),
        (lambda x: dl.DataLoader(x, augment={"flip": True}), "needs images"),
        (lambda x: dl.load_data("spirls"), "did you mean 'spirals'"),
        (lambda x: dl.load_data("spirals", nois=0.1), "did you mean 'noise'"),
        (lambda x: dl.load_data("spirals", split={"tst": 0.1}), "did you mean 'test'"),
        (lambda x: dl.load_data("spirals", augment={"flip": True}), "dl.DataLoader"),
        (lambda x: dl.load_data(3), "expected the name of a data set, such as 'mnist', got 3"),
        (lambda x: dl.load_data("csv", path="nowhere.csv", target="y"), "nowhere.csv"),
    ],
)
def test_mistakes_say_what_to_do(make, message: str) -> None:
    with pytest.raises((ShapeError, ArgumentError, ConfigError, UserError), match=message) as caught:
        make(np.ones((10, 2)))
    assert isinstance(caught.value, DlcourseError)


def test_a_split_that_is_not_there() -> None:
    data = dl.load_data("spirals")
    with pytest.raises(AttributeError, match=r"no test split, only train; ask for one: split=\{'test': 0.2\}"):
        _ = data.test
    assert repr(data.train) == "Samples(inputs (600, 2) float64, targets (600,) int64)"
    assert repr(dl.DataLoader(data.train, batch_size=200, shuffle=True)) == (
        "DataLoader(600 samples in 3 batches, batch_size=200, shuffle=True, drop_last=False)"
    )


def test_a_split_is_a_pair() -> None:
    data = dl.load_data("spirals")
    x, y = data.train
    assert data.train[0] is x and data.train[1] is y
    with pytest.raises(TypeError, match=r"\[0\] is its inputs, \[1\] its targets; got \[2\]"):
        data.train[2]


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("data.train.x", r"data\.train\.inputs; or x, y = data\.train"),
        ("data.train.target", r"data\.train\.targets; or"),
        ("data.X_train", "x, y = data.train"),
        ("data.target_names", "data.class_names"),
        ("data.feature_name", "did you mean 'feature_names'"),
        ("dl.load_data('spirals', split={'val': 0.2}).test", "these data have no test split"),
    ],
)
def test_other_names_of_arrays_have_advice(line: str, advice: str) -> None:
    with pytest.raises(AttributeError, match=advice):
        eval(line, {"dl": dl, "data": dl.load_data("spirals")})
    assert not hasattr(dl.load_data("spirals").train, "nonsense")
