"""``dlcourse explain RUN`` of a model of tokens: where its attention looks."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.data.sequence_pairs import padded
from dlcourse.data.text import shown_tokens
from dlcourse.errors import UserError
from dlcourse.experiment.answers import encoded
from dlcourse.experiment.ensemble import TrainedEnsemble
from dlcourse.experiment.trained import TrainedModel, own_data
from dlcourse.training.explanations import MAX_IMAGES, Picture, attention

__all__ = ["TextExplanations"]


class TextExplanations:
    """Where the attention of a run's model looks, as a picture and in numbers.

    Args:
        trained: of tokens.
        texts: what it reads; of a model that goes on with a text one. Empty for the first of a split.
        split: that texts are taken from: by default test, else val.
    Attributes:
        pictures: ``attention``.
        figures: for JSON.
        lines: in words.
    Raises:
        UserError: the model has no attention, a text has unknown characters or is too long, or there is no such split.
    """

    def __init__(self, trained: TrainedModel, texts: Sequence[str] = (), split: str | None = None):
        if isinstance(trained, TrainedEnsemble):
            raise UserError("explain takes the run of one model; name that of a member of the ensemble")
        if not trained.inputs.pairs and len(texts) > 1:
            raise UserError(f"--text: this model reads one text at a time, got {len(texts)}")
        names = shown_tokens(trained.inputs.vocabulary, trained.inputs.tokenizer)
        tokens = padded([encoded(text, trained.inputs) for text in texts]) if texts else self._first(trained, split)
        if tokens.shape[1] > trained.inputs.in_shape[0]:
            raise UserError(f"--text: the model reads {trained.inputs.in_shape[0]} tokens, got {tokens.shape[1]}")
        with backend.use(trained.backend):
            picture = attention(trained.model, tokens, names, whole=bool(texts))
        if picture is None:
            name = trained.config.data["model"]["name"]
            raise UserError(f"{trained.folder.path}: the model {name} has no attention whose weights could be drawn")
        self.pictures: dict[str, Picture] = {"attention": picture}
        maps = [_described(title, picture.arrays[f"map_{i}"]) for i, (title,) in enumerate(picture.facts["maps"])]
        self.figures: dict[str, Any] = {"attention": maps}
        self.lines = [] if trained.inputs.pairs else _table(maps)

    def _first(self, trained: TrainedModel, split: str | None) -> np.ndarray:
        splits = own_data(trained).splits
        if split is not None and split not in splits:
            raise UserError(f"--split {split}: there is none in this run; there are {', '.join(splits)}")
        name = split or next(name for name in ("test", "val", "train") if name in splits)
        return np.asarray(splits[name].x[:MAX_IMAGES])


def _described(title: str, weights: np.ndarray) -> dict[str, Any]:
    """Of a map (T, S) how much a token looks at itself and at the one before, and how far back, on average."""
    places = np.arange(len(weights))[:, None] - np.arange(weights.shape[1])
    before = weights[places == 1]
    return {
        "map": title,
        "itself": float(weights[places == 0].mean()),
        "the one before": float(before.mean()) if before.size else None,
        "mean distance": float((weights * places).sum(axis=1).mean()),
    }


def _table(maps: Sequence[dict[str, Any]]) -> list[str]:
    """Of each head, a row."""
    from dlcourse.text import table

    cells = [[value if isinstance(value, str) else _number(value) for value in each.values()] for each in maps]
    return [table([[*maps[0]], *cells])]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
