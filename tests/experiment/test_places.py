"""Whatever is wrong, and whenever it is found, the message names the line, or where else the value came from."""

import pytest

from dlcourse.cli import main

CONFIG = """\
# lines are counted from here
name: places
device: cpu
seed: 1

data:
  name: spirals
  samples: 60
  normalize: none
  shuffle: true
  split:
    train: 30
    val: 10
    test: 10
model:
  name: mlp
  hidden:
    - 8
    - 8
loss: cross_entropy
optimizer:
  name: sgd
  lr: 0.1
metrics:
  - accuracy
  - name: top_k
    k: 2
train:
  steps: 2
"""


def change(old: str, new: str) -> str:
    assert old in CONFIG
    return CONFIG.replace(old, new)


SWEEP = "sweep:\n  grid:\n    seed: [1]\n    data.split.val:\n      - 5\n      - 50\n"
RANDOM = "sweep:\n  random:\n    samples: 9\n    space:\n      seed: [1, 2]\n"
ZIP = "sweep:\n  zip:\n    seed: [1, 2]\n    data.split.test:\n      [0.1, 100]\n"


@pytest.mark.parametrize(
    ("text", "overrides", "warned"),
    [
        # found when the data are there
        (change("train: 30", "train: 300"), [], "c.yaml:11: data.split: asks for 320 samples, but there are 60"),
        (change("split:\n    train: 30\n    val: 10\n    test: 10", "kfold: {folds: 90}"), [], "c.yaml:11: data.kf"),
        (change("normalize: none", "augment:\n    flip: true"), [], "c.yaml:9: data.augment: needs images"),
        (change("k: 2", "k: 9"), [], "c.yaml:26: metrics.1: metric top_k: k = 9 is more than the 3 classes"),
        (change("    - 8\n    - 8", "    - 8\n    - 900000000000"), [], "c.yaml:15: model: a layer of 90000"),
        (change("lr: 0.1", "lr: 0.1\n  nesterov: true"), [], "c.yaml:21: optimizer: nesterov needs"),
        # found before
        (change("    - 8\n    - 8", "    - 8\n    - x"), [], "c.yaml:19: model.hidden.1: expected a whole number"),
        (change("train: 30", "train: 0.9").replace("val: 10", "val: 0.2"), [], "c.yaml:11: data.split: the fractions"),
        (change("k: 2", "kk: 2"), [], "c.yaml:27: metrics.1.kk: unknown key"),
        (change("name: spirals", "name: polynomial_curve\n  test_samples: 3"), [], "c.yaml:8: data.test_samples: goes"),
        # from the command line
        (CONFIG, ["data.split.train=300"], "c.yaml:11: data.split: asks for 320 samples, but there are 60 "
         "(data.split.train is from the command line)"),
        (CONFIG, ["data.split={train: 300}"], "command line: data.split: asks for 300 samples, but there are 60"),
        (CONFIG, ["metrics.1.k=9"], "metrics.1: metric top_k: k = 9 is more than the 3 classes; give a smaller k "
         "(metrics.1.k is from the command line)"),
        (CONFIG, ["model.hidden.1=x"], "command line: model.hidden.1: expected a whole number"),
        (CONFIG, ["data.split.val=0.9", "data.split.test=0.9"], "(data.split.val, data.split.test are from"),
        # from a sweep
        (CONFIG + SWEEP, [], "failed: c.yaml:11: data.split: asks for 90 samples, but there are 60"),
        (CONFIG + ZIP, [], "data.split: asks for 140 samples, but there are 60"),
        (CONFIG + SWEEP.replace("50", "x"), [], "c.yaml:35: sweep.grid.data.split.val.1: 'x': expected a whole number"),
        (CONFIG + ZIP.replace("100", "-1"), [], "c.yaml:32: sweep.zip.seed.1: seed=2, data.split.test=-1"),
        (CONFIG + SWEEP.replace("[1]", "[1, 1]"), [], "c.yaml:32: sweep.grid.seed: lists 1 twice"),
        (CONFIG + RANDOM, [], "c.yaml:32: sweep.random.samples: the space has only 2 distinct settings"),
    ],
)  # fmt: skip
def test_the_line_is_the_right_one(text, overrides, warned, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(text)
    assert main(["run", "c.yaml", "--no-plots", *overrides]) in (1, 2)
    message = capsys.readouterr().err
    assert warned in message and "Traceback" not in message
