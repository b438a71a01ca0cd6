"""What a notebook shows of runs, models and optimizers, and the columns of a run's history."""

import html.parser
import sys
import types

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import nn, optim, streams
from dlcourse.errors import UserError
from dlcourse.experiment import Result
from dlcourse.training import progress
from dlcourse.training.run_history import RunHistory, UnknownColumnError
from tests.training.tiny import trainer

CONFIG = {
    "name": "spirals",
    "data": {"name": "spirals", "samples": 120, "split": {"val": 0.25, "test": 0.25}},
    "model": {"name": "mlp", "hidden": [8]},
    "loss": "cross_entropy",
    "optimizer": {"name": "adam", "lr": 0.01},
    "metrics": ["accuracy"],
    "train": {"epochs": 3, "batch_size": 20, "log_every": 2},
}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return dl.run(CONFIG, device="cpu", out=tmp_path_factory.mktemp("runs"), quiet=True, plots=False)


class Markup(html.parser.HTMLParser):
    """The tags and texts of a page; every tag has to be closed."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_history_has_columns(result: Result) -> None:
    history = result.history
    assert history.keys() == ["loss", "lr", "step", "epoch", "samples", "seconds", "train.accuracy", "val.accuracy"]
    assert history["step"].tolist() == history.steps("loss").tolist() == [1, 2, 4, 6, 8, 9][: len(history["step"])]
    assert history["loss"].dtype == np.float64
    assert history["val.accuracy"].shape == history.steps("val.accuracy").shape == (3,)
    assert history["val.accuracy"][-1] == result.metrics["val"]["accuracy"]
    assert "loss" in history and "los" not in history
    assert history[0]["event"] == "train"  # it still is the list of events
    assert isinstance(history, list) and history[-1] in history
    assert "columns loss, lr" in repr(history)
    with pytest.raises(
        UnknownColumnError, match=r"^this history has no 'los' \(did you mean 'loss'\?\); it has: loss,"
    ):
        history["los"]
    with pytest.raises(KeyError):
        history["nonsense"]


def test_history_is_a_frame_where_pandas_is_there(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match="pip install pandas"):
        result.history.to_frame()
    rows: list = []
    monkeypatch.setitem(sys.modules, "pandas", types.SimpleNamespace(DataFrame=rows.extend))
    result.history.to_frame()
    assert len(rows) == len(result.history)
    assert rows[0]["loss"] == result.history["loss"][0]
    assert [row["val.accuracy"] for row in rows if row["event"] == "eval"] == result.history["val.accuracy"].tolist()


def test_a_real_frame(result: Result) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    frame = result.history.to_frame()
    assert frame[frame.event == "train"].loss.tolist() == result.history["loss"].tolist()


def test_a_run_is_loaded_with_all_that_it_takes(result: Result) -> None:
    run = dl.load_run(result.folder)
    x = np.zeros((4, 2))
    assert run.predict(x).shape == (4, 3)
    assert run.history["loss"].tolist() == result.history["loss"].tolist()
    assert run.metrics == result.metrics
    assert run.config["optimizer.lr"] == 0.01
    assert run.config["model"]["name"] == "mlp"
    assert not run.model.training
    with pytest.raises(KeyError, match="'rate' is not in optimizer, which has name, lr"):
        run.config["optimizer.rate"]
    assert repr(run).startswith("TrainedModel(mlp, classification of inputs 2, weights of step 9; ")


def test_reprs_are_short(result: Result) -> None:
    shown = repr(result)
    assert shown.startswith("Result(done: train accuracy 0.")
    assert str(result.folder) in shown and "\n" not in shown and len(shown) < 300
    assert repr(Result({}, nn.Linear(2, 3))) == "Result(done: no metrics; Linear)"
    optimizer = optim.SGD(nn.Linear(2, 3).parameters(), lr=0.1, momentum=0.9)
    assert repr(optimizer) == (
        "SGD(lr=0.1, momentum=0.9, nesterov=False, weight_decay=0.0, dampening=0.0, maximize=False; 9 parameters, "
        "0 steps taken)"
    )
    assert repr(optim.CosineSchedule(100, warmup=5)) == "CosineSchedule(total_steps=100, final=0.0, warmup=5)"
    assert repr(optim.LeastSquares(ridge=0.5)).startswith("LeastSquares(")


def test_notebooks_get_a_page_that_is_escaped_and_has_no_color_of_its_own(result: Result) -> None:
    texts = Markup(result._repr_html_()).texts
    assert "accuracy" in texts and {"train", "val", "test"} <= set(texts)
    odd = Result({"<b>": {"a&b": 0.5}}, nn.Linear(2, 3), advice=["<script>alert(1)</script>"])
    assert "<script>" not in odd._repr_html_() and "<b>" in Markup(odd._repr_html_()).texts
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    model[0].requires_grad_(False)
    pages = [result._repr_html_(), model._repr_html_(), dl.load_run(result.folder)._repr_html_()]
    assert "9 parameters, 9 of them frozen" in Markup(pages[1]).texts
    for page in pages:
        assert len(Markup(page).texts) and len(page) < 4000
        assert "color:inherit" in page and "#" not in page


def test_a_notebook_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    made: list = []
    monkeypatch.setattr("tqdm.auto.tqdm", lambda iterable, **settings: made.append(settings) or "a bar")
    assert streams.progress_bar(total=3) == "a bar" and made == [{"total": 3}]
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: None))
    assert not streams.in_notebook()  # IPython in a terminal


def test_without_a_terminal_there_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from dlcourse.training.history import History

    clock = iter(np.arange(0, 1e6, 9.0))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(clock)))
    history = History(None, log_every=1)
    trainer(20, [history, progress.Progress(history, quiet=False)]).run()
    lines = capsys.readouterr().err.splitlines()
    assert 2 <= len(lines) <= 4  # one after 20 s, then one a minute; a step takes 9 s here
    assert "% of the training, " in lines[0] and "samples/s, about " in lines[0] and "loss " in lines[0]


def test_a_wrong_name_of_a_metric_has_the_nearest(result: Result) -> None:
    with pytest.raises(KeyError, match=r"^this result has no 'acc' \(did you mean 'accuracy'\?\); it has: accuracy"):
        result.metrics["test"]["acc"]
    with pytest.raises(UnknownColumnError, match="no 'validation'.*it has: train, val, test"):
        result.metrics["validation"]
    assert result.metrics["test"].get("acc") is None


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        ({"epochs": 3}, r"write overrides=\{'train.epochs': 3\}"),
        ({"seed": 1}, r"write overrides=\{'seed': 1\}"),
        ({"lr": 0.1}, r"write overrides=\{'optimizer.lr': 0.1\}"),
        ({"hidden": [3]}, "run takes no 'hidden'; settings of the config are given by their paths"),
    ],
)
def test_a_setting_given_to_run_says_where_it_belongs(given: dict, advice: str) -> None:
    with pytest.raises(TypeError, match=advice):
        dl.run(CONFIG, **given)


def test_history_and_data_have_a_page(result: Result) -> None:
    assert {"loss", "val.accuracy", "first", "lowest"} <= set(Markup(result.history._repr_html_()).texts)
    assert {"train", "600 x 2", "600"} <= set(Markup(dl.load_data("spirals")._repr_html_()).texts)
    assert Markup(RunHistory()._repr_html_()).texts


def test_an_empty_history() -> None:
    assert repr(RunHistory()) == "RunHistory(0 events to step 0; columns none)"
    with pytest.raises(UnknownColumnError, match="it has: none"):
        RunHistory()["loss"]
