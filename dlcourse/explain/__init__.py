"""What a trained net sees: maps of an image that explain a score, layers, features, images of a class (lecture 10).

Functions that take any model: ``dl.explain.saliency(model, x)``. Inputs are what the model takes, (N, H, W, C) in
floating point, normalized as in training; results are tensors on the model's device. Meanwhile the model is in
evaluation mode, and it stays as it was: weights, gradients, running statistics and flags. Names of arguments are those
of Captum.
"""

from dlcourse.explain.attention import attention_maps
from dlcourse.explain.cam import grad_cam
from dlcourse.explain.embedding import PrincipalComponents, embed, nearest_neighbors, principal_components
from dlcourse.explain.gradients import integrated_gradients, saliency, smooth_grad
from dlcourse.explain.layers import activations, convolutional_layers, features, filters
from dlcourse.explain.occluding import occlusion
from dlcourse.explain.receptive import UsedField, receptive_field
from dlcourse.explain.sanity import cascading_randomization, rank_correlation
from dlcourse.explain.scores import input_gradient
from dlcourse.explain.through_time import gradients_through_time
from dlcourse.explain.visualization import class_visualization

__all__ = [
    "PrincipalComponents",
    "UsedField",
    "activations",
    "attention_maps",
    "cascading_randomization",
    "class_visualization",
    "convolutional_layers",
    "embed",
    "features",
    "filters",
    "grad_cam",
    "gradients_through_time",
    "input_gradient",
    "integrated_gradients",
    "nearest_neighbors",
    "occlusion",
    "principal_components",
    "rank_correlation",
    "receptive_field",
    "saliency",
    "smooth_grad",
]
