"""Files of ``explain/`` in a run's folder: the arrays of pictures of what a net sees, and the first of them.

A picture is one file, ``explain/NAME.npz``, from which the figure of that name is drawn. Training writes those that
cost little; ``dlcourse explain`` replaces and adds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from dlcourse import backend, explain
from dlcourse.autograd import Tensor, no_grad
from dlcourse.data.dataset import Data
from dlcourse.data.normalizer import Normalizer
from dlcourse.data.text import shown_tokens
from dlcourse.nn import MultiheadAttention
from dlcourse.nn.calls import in_evaluation
from dlcourse.nn.conv import Convolution
from dlcourse.records.run import ExplanationFacts
from dlcourse.records.writing import real_folder
from dlcourse.special_tokens import EOS, PAD
from dlcourse.tensorfile import npz
from dlcourse.text import format_number
from dlcourse.training.atomic import reporting_write_errors, to_json, write_bytes
from dlcourse.training.images import as_bytes

FOLDER = "explain"
MAX_IMAGES = 6
MAX_FILTERS, MAX_MAPS, MAX_ROWS = 64, 8, 4
MAX_TOKENS = 24
"""Of a text whose attention is drawn: so many can be read along the side of a map."""
_REPORTED = ("test", "val", "train")

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Picture:
    """What a figure is drawn from."""

    arrays: Arrays
    facts: ExplanationFacts


@dataclass(frozen=True)
class Shown:
    """Images to explain, with what the model says of them.

    Attributes:
        images: (M, H, W, C), as the data have them.
        x: as the model takes them, on its device.
        names: what each is called: ``test 3``.
        true: the class of each, or None where it is not known.
        outputs: (M, K), on the host.
        targets: (M,): of which class the score is explained.
        classes: the classes' names; empty for a regression.
        confidences: (M, K); of a regression the outputs.
    """

    images: np.ndarray
    x: Any
    names: Sequence[str]
    true: Sequence[int | None]
    outputs: np.ndarray
    targets: np.ndarray
    classes: Sequence[str]
    confidences: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        """The class of the largest output, of each image."""
        return self.outputs.argmax(axis=1)

    def first(self, count: int) -> "Shown":
        """The first so many images."""
        lists = {each.name: getattr(self, each.name) for each in fields(self)}
        return replace(self, **{key: value[:count] for key, value in lists.items() if key != "classes"})

    def labels(self) -> list[list[str]]:
        """Of each image, in lines, what the model says, the true class, and the explained one where it is another."""
        labels = []
        for i, (said, target, true) in enumerate(zip(self.predicted, self.targets, self.true, strict=True)):
            if not self.classes:
                labels.append([format_number(float(self.outputs[i, target]))])
                continue
            lines = [f"{self.classes[said]} {self.confidences[i, said]:.2f}"]
            lines += [] if true is None else [f"true: {self.classes[true]}"]
            labels.append(lines + ([f"for: {self.classes[target]}"] if target != said else []))
        return labels


def shown(
    model: Any,
    normalizer: Normalizer,
    images: np.ndarray,
    names: Sequence[str],
    true: Sequence[int | None],
    classes: Sequence[str],
    target: int | None = None,
) -> Shown:
    """Images with what the model says of them; on the model's device.

    Args:
        target: the class that is explained; None: of each image the predicted one.
    """
    dtype = next((each.dtype for each in model.parameters()), np.dtype("float32"))
    x = backend.current().asarray(normalizer.apply(images, np.float32), dtype=dtype)
    with in_evaluation(model), no_grad():
        outputs = backend.to_host(model(Tensor(x)).data).astype(np.float64)
    if not classes:
        targets = np.full(len(images), target or 0)
        return Shown(images, x, names, true, outputs, targets, (), outputs)
    targets = outputs.argmax(axis=1) if target is None else np.full(len(images), target)
    return Shown(images, x, names, true, outputs, targets, classes, model.confidences(outputs))


ATTRIBUTIONS = ("saliency", "smooth_grad", "integrated_gradients", "grad_cam", "occlusion")
"""Methods that make a map of an image; the columns of the picture ``attributions``."""


def attribution(
    method: str, model: Any, x: Any, target: np.ndarray, layer: str | None = None, seed: int = 0
) -> np.ndarray:
    """The maps (M, H, W) of a method; those of integrated gradients and occlusion have signs, added over channels.

    Occlusion covers a quarter of the image's sides, and moves by an eighth of that.
    """
    if method == "saliency":
        found = explain.saliency(model, x, target)
    elif method == "smooth_grad":
        found = explain.smooth_grad(model, x, target, seed=seed)
    elif method == "grad_cam":
        found = explain.grad_cam(model, x, target, layer=layer)
    elif method == "integrated_gradients":
        found = explain.integrated_gradients(model, x, target=target).sum(axis=-1)
    else:
        window = tuple(max(1, side // 4) for side in x.shape[1:3])
        found = explain.occlusion(model, x, window, tuple(max(1, side // 8) for side in window), target=target)[..., 0]
    return found.numpy().astype(np.float32)


def attributions(model: Any, given: Shown, methods: Sequence[str], layer: str | None = None, seed: int = 0) -> Picture:
    """The maps of these methods, ``map_METHOD``, beside the images."""
    maps = {f"map_{name}": attribution(name, model, given.x, given.targets, layer, seed) for name in methods}
    facts: ExplanationFacts = {"images": given.labels(), "maps": [[name] for name in methods]}
    return Picture({"images": as_bytes(given.images), **maps}, facts)


def filters(model: Any, layer: str | None = None) -> Picture:
    """The filters of a convolution, by default of the first one: (K, kh, kw, C), along a sequence (K, C, k, 1)."""
    name = layer or next((name for name, each in model.named_modules() if isinstance(each, Convolution)), None)
    weight = explain.filters(model, name).numpy().astype(np.float32)[:MAX_FILTERS]
    if weight.ndim == 4 and weight.shape[1] == 1 < weight.shape[2]:  # a sequence is an image of one row
        weight = weight[:, 0]
    if weight.ndim == 4:
        return Picture({"filters": weight}, {"layer": name or ""})
    return Picture({"filters": weight.swapaxes(1, 2)[..., None]}, {"layer": name or "", "along_steps": True})


def activation_maps(model: Any, given: Shown, layers: Sequence[str]) -> Picture:
    """Of each layer and image the maps of the channels that are strongest over all the images: ``maps_0`` ..., of the
    layer 0, (M, h, w, C), and ``channels_0``."""
    found = explain.activations(model, given.x, list(layers))
    arrays: Arrays = {"images": as_bytes(given.images)}
    names = []
    for place, (name, maps) in enumerate(found.items()):
        values = maps.numpy().astype(np.float32)
        strongest = np.argsort(-abs(values).mean(axis=(0, 1, 2)), kind="stable")[:MAX_MAPS]
        arrays |= {f"maps_{place}": values[..., strongest].astype(np.float16), f"channels_{place}": strongest}
        names.append([name, " x ".join(map(str, values.shape[1:]))])
    return Picture(arrays, {"images": given.labels(), "maps": names})


def attention_of_heads(model: Any, tokens: np.ndarray, class_names: Sequence[str]) -> Picture:
    """Where each token (T,) of a text looks, by each head of each layer: ``map_0`` ..., (T, T)."""
    words = [class_names[token] for token in tokens]
    by_layer = [maps.numpy()[0] for maps in explain.attention_maps(model, tokens[None]).values()]
    titles = [f"layer {i + 1}, head {k + 1}" for i, maps in enumerate(by_layer) for k in range(len(maps))]
    panels = [(each, words, words) for maps in by_layer for each in maps]
    picture = _of_panels(panels, titles)
    picture.facts["across"] = len(by_layer[0])
    return picture


def attention_of_answers(model: Any, tokens: np.ndarray, class_names: Sequence[str]) -> Picture:
    """Where a model that answers sequences (N, S) looks at each token of what it writes: ``map_0`` ..., (T, S)."""
    with in_evaluation(model), no_grad():
        written, weights = map(backend.to_host, model.attend(backend.current().asarray(tokens)))
    panels = []
    for asked, said, looked in zip(tokens, written, weights, strict=True):
        rows = int((said == EOS).argmax()) + 1 if EOS in said else len(said)
        columns = int((asked != PAD).sum())
        names = [[class_names[token] for token in part] for part in (said[:rows], asked[:columns])]
        panels.append((looked[:rows, :columns], *names))
    return _of_panels(panels, ["".join(keys) for _, _, keys in panels])


def attention(model: Any, tokens: np.ndarray, class_names: Sequence[str], whole: bool = False) -> Picture | None:
    """Where a model looks: of one that answers sequences (N, S) at each of them, of another with attention layers at
    the first of them, its first tokens unless it is to be ``whole``; None of one without attention."""
    if getattr(model, "answers", False):
        return attention_of_answers(model, tokens, class_names) if model.looks else None
    if any(isinstance(each, MultiheadAttention) for each in model.modules()):
        return attention_of_heads(model, np.asarray(tokens[0][: None if whole else MAX_TOKENS]), class_names)
    return None


def _of_panels(panels: Sequence[tuple[Any, list[str], list[str]]], titles: Sequence[str]) -> Picture:
    """Of weights, the tokens of their rows and those of their columns."""
    weights, rows, columns = zip(*panels, strict=True)
    arrays = {f"map_{place}": each.astype(np.float32) for place, each in enumerate(weights)}
    return Picture(arrays, {"maps": [[title] for title in titles], "queries": list(rows), "keys": list(columns)})


def evenly(items: Sequence[Any], count: int) -> list[Any]:
    """So many of them, the first and the last among them."""
    places = np.unique(np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int))
    return [items[place] for place in places]


def write(folder: Path, pictures: dict[str, Picture]) -> None:
    """Write each picture's file into ``explain/`` of a folder; others that are there stay.

    Raises:
        UserError: ``explain/`` is a link.
        DlcourseError: it cannot be written.
    """
    target = real_folder(folder / FOLDER)
    with reporting_write_errors(target):
        target.mkdir(exist_ok=True)
    for name, picture in pictures.items():
        facts = {"facts": np.array(to_json(picture.facts))}
        write_bytes(target / f"{name}.npz", npz(picture.arrays | facts, compressed=True), durable=False)


def explain_run(folder: Path, data: Data, model: Any, measured: Sequence[str]) -> None:
    """Write what costs little: of a convolutional net that classifies images its first filters, the maps that it makes
    of an image, and saliency and Grad-CAM of the first image of some classes; of one of series its first filters; of a
    model of tokens with attention where it looks.

    Args:
        measured: the splits that the run measures.
    """
    split = next((name for name in _REPORTED if name in measured), None)
    if data.dataset.tokens and split:
        names = shown_tokens(data.dataset.token_names, data.dataset.tokenizer)
        picture = attention(model, data.splits[split].x[:MAX_IMAGES], names)
        if picture is not None:
            picture.facts["split"] = split
            write(folder, {"attention": picture})
        return
    axes = {each.axes for each in model.modules() if isinstance(each, Convolution)}
    if axes and len(data.in_shape) == 2:
        write(folder, {"filters": filters(model)})
        return
    predicts = not getattr(model, "objective_units", None)
    of_images = predicts and data.task == "classification" and len(data.in_shape) == 3 and data.in_shape[2] in (1, 3)
    if not (2 in axes and of_images and split):
        return
    subset = data.splits[split]
    rows = np.unique(subset.y, return_index=True)[1][:MAX_IMAGES]
    names = [f"{split} {row}" for row in rows]
    images = np.asarray(subset.x[rows])
    given = shown(model, data.normalizer, images, names, subset.y[rows].tolist(), data.class_names)
    layers = evenly(list(explain.convolutional_layers(model, given.x[:1])), MAX_ROWS)
    pictures = {"attributions": attributions(model, given, ("saliency", "grad_cam"))}
    pictures["activation_maps"] = activation_maps(model, given.first(MAX_ROWS // len(layers)), layers)
    pictures["filters"] = filters(model)
    for picture in pictures.values():
        picture.facts["split"] = split
    write(folder, pictures)
