"""``dlcourse explain RUN``: pictures of what a trained net sees of images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from dlcourse import backend, explain
from dlcourse.autograd import Tensor, no_grad
from dlcourse.data import Data, Split
from dlcourse.errors import UserError
from dlcourse.experiment.ensemble import TrainedEnsemble
from dlcourse.experiment.trained import TrainedModel, own_data
from dlcourse.explain.embedding import has_scikit_learn, placed, require_scikit_learn
from dlcourse.explain.layers import no_convolution
from dlcourse.registry import did_you_mean
from dlcourse.training import explanations
from dlcourse.training.explanations import ATTRIBUTIONS, MAX_ROWS, Picture, Shown, evenly
from dlcourse.training.images import as_bytes

__all__ = ["METHODS", "Explanations", "Request"]

_NEED_CONVOLUTION = ("filters", "activations", "grad_cam", "receptive_field")
_NEED_CLASSES = ("class_visualization", "neighbors", "pca", "tsne")
_SANITY_IMAGES, _SANITY_LAYERS, _NEIGHBORS = 4, 6, 8
_FEW_IMAGES = 64
"""Images over which the part of a receptive field that is used is averaged."""
_AMONG = 5000
"""Training images among which neighbors are looked for, 1 s of a CPU for a small net."""


@dataclass(frozen=True)
class Request:
    """What is asked for; the names are those of the command's options."""

    images: Sequence[str] = ()
    """Numbers in the split, or files of images."""
    of_class: str | None = None
    split: str | None = None
    target: str | None = None
    layer: str | None = None
    methods: Sequence[str] = ()
    """Empty for all that the model has."""
    count: int = explanations.MAX_IMAGES
    samples: int = 1000
    """Images of the split that become points by their features."""
    sanity: bool = False
    seed: int = 0


@dataclass
class Explanations:
    """The pictures and figures that a request asks for, of one run.

    Attributes:
        pictures: by the name of the plot that draws it.
        figures: numbers beside them, for JSON.
        lines: the same in words.
    """

    trained: TrainedModel
    request: Request
    pictures: dict[str, Picture] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        _check(self.trained, self.request)
        with backend.use(self.trained.backend):
            methods = self._methods()
            self._describe_images()
            attributions = [method for method in ATTRIBUTIONS if method in methods]
            if attributions:
                self._attribute(attributions)
            for method in methods:
                if method in METHODS:
                    METHODS[method](self)
            if self.request.sanity:
                self._check_sanity(attributions or ["saliency"])
        for picture in self.pictures.values():
            picture.facts["split"] = self.split

    # --- what is explained --------------------------------------------------------------------------------------------

    @property
    def model(self) -> Any:
        return self.trained.model

    @property
    def classes(self) -> list[str]:
        return self.trained.inputs.class_names if self.trained.inputs.task == "classification" else []

    @cached_property
    def data(self) -> Data:
        """The run's own, read where they are needed."""
        return own_data(self.trained)

    @cached_property
    def split(self) -> str:
        """The one that images are taken from."""
        wanted = self.request.split
        if wanted is not None and wanted not in self.data.splits:
            raise UserError(f"--split {wanted}: there is none in this run; there are {', '.join(self.data.splits)}")
        if wanted is None and self.request.images and not any(each.isdigit() for each in self.request.images):
            return ""
        return wanted or next(name for name in ("test", "val", "train") if name in self.data.splits)

    @cached_property
    def shown(self) -> Shown:
        """The images, with what the model says of them."""
        request, target = self.request, None
        if request.target is not None:
            target = self._class("--target", request.target)
        if request.images:
            images, names, true = self._named_images()
        else:
            subset = self.data.splits[self.split]
            rows = self._rows(subset)
            images, true = np.asarray(subset.x[rows]), [self._label(subset, row) for row in rows]
            names = [f"{self.split} {row}" for row in rows]
        return explanations.shown(self.model, self.trained.normalizer, images, names, true, self.classes, target)

    def _rows(self, subset: Split) -> np.ndarray:
        """The first images of a class, or the first image of each of the first classes."""
        count = self.request.count
        if self.request.of_class is not None:
            label = self._class("--class", self.request.of_class)
            rows = np.flatnonzero(subset.y == label)[:count]
            if not len(rows):
                raise UserError(f"--class {self.request.of_class}: the {self.split} split has no image of it")
            return rows
        if not self.classes:
            return np.arange(min(count, len(subset)))
        return np.unique(subset.y, return_index=True)[1][:count]

    def _named_images(self) -> tuple[np.ndarray, list[str], list[int | None]]:
        images, names, true = [], [], list[int | None]()
        for given in self.request.images:
            if not given.isdigit():
                found = self._read(given)
                images += list(found)
                names += [given] * len(found)
                true += [None] * len(found)
                continue
            subset, row = self.data.splits[self.split], int(given)
            if row >= len(subset):
                raise UserError(f"--images {given}: the {self.split} split has the images 0..{len(subset) - 1}")
            images.append(np.asarray(subset.x[row]))
            names.append(f"{self.split} {row}")
            true.append(self._label(subset, row))
        return np.stack(images), names, true

    def _read(self, given: str) -> np.ndarray:
        """The images of a file."""
        try:
            return self.trained.inputs.read(given)
        except UserError as error:
            raise UserError(f"--images: {error}; or the number of an image in the split, from 0") from None

    def _label(self, subset: Split, row: int) -> int | None:
        return int(subset.y[row]) if self.classes else None

    def _class(self, option: str, name: str) -> int:
        if name in self.classes:
            return self.classes.index(name)
        if not self.classes:
            raise UserError(
                f"{option} {name}: the model predicts {self.trained.inputs.target_name}, it knows no classes"
            )
        raise UserError(
            f"{option} {name}: no class of that name{did_you_mean(name, self.classes)}: {', '.join(self.classes)}"
        )

    @cached_property
    def layers(self) -> list[str]:
        """The layers that end the work of the convolutions."""
        return list(explain.convolutional_layers(self.model, self.shown.x[:1]))

    def _methods(self) -> list[str]:
        """Those that are asked for; or all that the model and the installation have."""
        known = [*ATTRIBUTIONS, *METHODS]
        wanted = [each.replace("-", "_") for each in self.request.methods]
        for each in wanted:
            if each not in known:
                raise UserError(f"--method {each}: no such method{did_you_mean(each, known)}: {', '.join(known)}")
            if each in _NEED_CONVOLUTION and not self.layers:
                words = {"grad_cam": "Grad-CAM"}.get(each, each)
                raise UserError(no_convolution(words, "--method saliency"))
            if each in _NEED_CLASSES and not self.classes:
                target = self.trained.inputs.target_name
                raise UserError(f"--method {each}: needs classes; this run predicts {target}; use --method saliency")
        if self.request.layer is not None and self.request.layer not in dict(self.model.named_modules()):
            explain.activations(self.model, self.shown.x[:1], self.request.layer)  # says which there are
        if wanted:
            if "tsne" in wanted:
                require_scikit_learn()
            return wanted
        absent = [] if has_scikit_learn() else ["tsne"]
        if absent and self.classes:
            self.lines.append("no t-SNE: it needs scikit-learn (pip install scikit-learn)")
        left_out = {*absent, *(() if self.layers else _NEED_CONVOLUTION), *(() if self.classes else _NEED_CLASSES)}
        return [each for each in known if each not in left_out]

    # --- pictures -----------------------------------------------------------------------------------------------------

    def _describe_images(self) -> None:
        given, classes = self.shown, self.classes
        self.figures["images"] = [
            {
                "image": given.names[i],
                "true": None if true is None else classes[true],
                "predicted": classes[said] if classes else float(given.outputs[i, target]),
                **({self.model.confidence: float(given.confidences[i, said])} if classes else {}),
                "explained": classes[target] if classes else self.trained.inputs.target_name,
                "score": float(given.outputs[i, target]),
            }
            for i, (true, said, target) in enumerate(zip(given.true, given.predicted, given.targets, strict=True))
        ]

    def _attribute(self, methods: list[str]) -> None:
        found = explanations.attributions(self.model, self.shown, methods, self.request.layer, self.request.seed)
        self.pictures["attributions"] = found
        if "integrated_gradients" in methods:
            total = found.arrays["map_integrated_gradients"].astype(np.float64).sum(axis=(1, 2))
            change = self._scores(self.shown.x) - self._scores(self.shown.x * 0)
            missed = abs(total - change) / np.maximum(abs(change), 1e-12)
            self.figures["integrated_gradients"] = {"sum": total.tolist(), "score_minus_baseline": change.tolist()}
            off = f"{100 * missed.max():.2g} % off at most"
            self.lines.append(f"integrated gradients add up to score(image) - score(input of zeros): {off}")
        if "grad_cam" in methods:
            layer = self.request.layer or self.layers[-1]
            self.figures["grad_cam"] = {"layer": layer}
            self.lines.append(f"Grad-CAM of the layer {layer}")

    def _scores(self, x: Any) -> np.ndarray:
        with no_grad():
            outputs = backend.to_host(self.model(Tensor(x)).data).astype(np.float64)
        return outputs[np.arange(len(outputs)), self.shown.targets]

    def filters(self) -> None:
        """The filters of the first convolution, or of the layer that is named where it is one."""
        layer = self.request.layer
        named = None if layer is None else self.model.get_submodule(layer)
        is_one = named is not None and hasattr(named, "kernel_size") and hasattr(named, "weight")
        self.pictures["filters"] = explanations.filters(self.model, layer if is_one else None)

    def activation_maps(self) -> None:
        """The maps of some layers for the images, or of the layer that is named for more of them."""
        layers = [self.request.layer] if self.request.layer is not None else evenly(self.layers, MAX_ROWS)
        images = self.shown.first(max(1, 2 * MAX_ROWS // len(layers)))
        shape = explain.activations(self.model, images.x[:1], layers[0]).shape
        if len(shape) != 4:
            raise UserError(f"activations: the layer {layers[0]!r} gives {shape[1:]}, no maps of an image")
        self.pictures["activation_maps"] = explanations.activation_maps(self.model, images, layers)

    def class_images(self) -> None:
        """An image of each class, or of the one that is explained."""
        normalizer, inputs = self.trained.normalizer, self.trained.inputs
        chosen = range(min(len(self.classes), 10)) if self.request.target is None else self.shown.targets[:1]
        largest = inputs.largest or 1.0
        low = 0.0 if float(self.shown.images.min()) >= 0 else -largest
        bounds = [
            np.broadcast_to(normalizer.apply(np.full(inputs.in_shape, end)), inputs.in_shape) for end in (low, largest)
        ]
        targets = [int(each) for each in chosen]
        shape = tuple(inputs.in_shape)
        found = explain.class_visualization(self.model, targets, shape, bounds=bounds, seed=self.request.seed)
        with no_grad():
            scores = backend.to_host(self.model(found).data)[np.arange(len(targets)), targets]
        raw = found.numpy().astype(np.float64) * normalizer.scale + normalizer.shift
        images = np.clip((raw - low) / (largest - low) * 255, 0, 255).round().astype(np.uint8)
        labels = [[self.classes[c], f"score {score:.1f}"] for c, score in zip(targets, scores, strict=True)]
        self.pictures["class_visualization"] = Picture({"images": images}, {"images": labels})
        self.figures["class_visualization"] = {self.classes[c]: float(s) for c, s in zip(targets, scores, strict=True)}

    def neighbors(self) -> None:
        """The training images whose features are nearest."""
        train, given = self.data.splits["train"], self.shown
        rows = min(_AMONG, len(train))
        images = np.asarray(train.x[:rows])
        found = explain.nearest_neighbors(
            self.model, given.x, self._normalized(images), min(_NEIGHBORS, rows), layer=self.request.layer
        )
        distances, indices = (each.numpy() for each in found)
        similar = images[indices.reshape(-1)].reshape(*indices.shape, *images.shape[1:])
        self.figures["neighbors"] = {"indices": indices.tolist(), "distances": distances.tolist()}
        true = np.array([said if own is None else own for own, said in zip(given.true, given.predicted, strict=True)])
        labels = np.asarray(train.y)[indices]
        # Together, so that both are brought to bytes in one way.
        both = as_bytes(np.concatenate([given.images[:, None], similar], axis=1))
        arrays = {"images": both[:, 0], "similar": both[:, 1:], "true": true, "similar_true": labels}
        self.pictures["feature_neighbors"] = Picture(arrays, {"images": given.labels()})
        same = int((labels == true[:, None]).sum())
        among = f"among {rows:,} training images"
        self.lines.append(f"{same} of {labels.size} neighbors by features, {among}, have the image's class")

    def receptive_field(self) -> None:
        """Those of the layers in the middle of an image, and what is used of the last."""
        layers = evenly(self.layers, MAX_ROWS + 1) if self.request.layer is None else [self.request.layer]
        given = self.shown
        x = given.x
        if not self.request.images:
            x = self._normalized(np.asarray(self.data.splits[self.split].x[:_FEW_IMAGES]))
        fields = [explain.receptive_field(self.model, x, layer) for layer in layers]
        known = [each for each in fields if each.size]
        for each in fields:
            text = " x ".join(map(str, each.size)) if each.size else "not known"
            self.lines.append(f"receptive field of {each.layer}: {text}")
        self.figures["receptive_field"] = {each.layer: list(each.size) or None for each in fields}
        if known:
            names = [[each.layer, " x ".join(map(str, each.size))] for each in known]
            arrays = {"images": as_bytes(given.images[:1]), "bounds": np.array([each.bounds for each in known])}
            used = known[-1].used.numpy().astype(np.float32)
            self.pictures["receptive_field"] = Picture(arrays | {"used": used}, {"maps": names})

    def pca(self) -> None:
        """Features along their two principal components."""
        found = explain.principal_components(self.features)
        ratio = found.explained_variance_ratio
        self._place("pca", found.coordinates)
        self.pictures["embedding"].arrays["variance"] = ratio
        self.figures["pca"] = {"explained_variance_ratio": ratio.tolist()}

    def tsne(self) -> None:
        """Features by t-SNE."""
        self._place("tsne", placed(self.features, "tsne", seed=self.request.seed))

    @cached_property
    def features(self) -> np.ndarray:
        """Those of the split's first images."""
        images = np.asarray(self.data.splits[self.split or "train"].x[: self.request.samples])
        return explain.features(self.model, self._normalized(images), self.request.layer).numpy().astype(np.float64)

    def _place(self, method: str, places: np.ndarray) -> None:
        labels = np.asarray(self.data.splits[self.split or "train"].y[: len(places)])
        picture = self.pictures.setdefault("embedding", Picture({"labels": labels}, {}))
        picture.arrays[method] = places.astype(np.float32)

    def _normalized(self, images: np.ndarray) -> Any:
        return self.trained.normalizer.apply(images, np.float32)

    # --- the sanity check ---------------------------------------------------------------------------------------------

    def _check_sanity(self, methods: list[str]) -> None:
        """Maps of nets whose layers become random one after another, and how alike they are to the trained net's."""
        given, seed = self.shown.first(_SANITY_IMAGES), self.request.seed
        layer = self.request.layer

        def maps(model: Any) -> dict[str, np.ndarray]:
            return {
                each: explanations.attribution(each, model, given.x, given.targets, layer, seed) for each in methods
            }

        whole = maps(self.model)
        names = [name for name, _ in explain.cascading_randomization(self.model, seed)]
        kept = evenly(names, _SANITY_LAYERS)
        steps = {name: maps(net) for name, net in explain.cascading_randomization(self.model, seed) if name in kept}
        arrays = {"images": as_bytes(given.images[:1])}
        for each in methods:
            rows = [whole[each], *(found[each] for found in steps.values())]
            alike = [explain.rank_correlation(abs(whole[each]), abs(row)).mean() for row in rows]
            arrays |= {f"map_{each}": np.stack([row[0] for row in rows]), f"alike_{each}": np.array(alike)}
            self.figures.setdefault("sanity", {})[each] = dict(zip(steps, map(float, alike[1:]), strict=True))
        self.pictures["randomization"] = Picture(arrays, {"layers": [[name] for name in steps]})


METHODS: dict[str, Callable[[Explanations], None]] = {
    "filters": Explanations.filters,
    "activations": Explanations.activation_maps,
    "class_visualization": Explanations.class_images,
    "neighbors": Explanations.neighbors,
    "receptive_field": Explanations.receptive_field,
    "pca": Explanations.pca,
    "tsne": Explanations.tsne,
}
"""What is not a map of an image: each adds its picture."""


def _check(trained: TrainedModel, request: Request) -> None:
    if isinstance(trained, TrainedEnsemble):
        raise UserError("explain takes the run of one model; name that of a member of the ensemble")
    trained.check_predicts()
    shape = tuple(trained.inputs.in_shape)
    if trained.inputs.tokens or len(shape) != 3 or shape[2] not in (1, 3):
        raise UserError(
            f"{trained.folder.path}: explain draws images in gray or color, the inputs of this run are "
            f"{'texts' if trained.inputs.tokens else shape}; from Python dl.explain.saliency(run.model, x) takes any"
        )
    if request.images and request.of_class is not None:
        raise UserError("--images names images and --class takes those of a class: give one of them")
    if request.count < 1 or request.samples < 4:
        raise UserError(f"--count is at least 1 and --samples at least 4, got {request.count} and {request.samples}")
