"""The softmax loss with its gradient, and a net of two layers, in NumPy.   (lectures 3 and 4)

    dlcourse grade softmax_two_layer FILE        your points

Arrays are float64, labels whole numbers from 0. Do not change an argument: work on a copy.
"""

import numpy as np  # noqa: F401


def softmax_loss(weight, x, labels):
    """The mean cross-entropy of the scores z = x W^T, and its gradient.

        L = mean over i of -log( exp(z_iy) / sum_j exp(z_ij) ),   y the label of sample i

    Take each row's maximum off before exp: scores of 1000 must not overflow.

    Args:
        weight: W, (C, D).
        x: (N, D).
        labels: (N,).
    Returns:
        The loss, a number, and dL/dW, (C, D).
    """
    raise NotImplementedError("softmax_loss")


def two_layer_loss(w1, b1, w2, b2, x, labels):
    """The mean cross-entropy of the scores z = W2 relu(W1 x + b1) + b2, and its gradients.

    Args:
        w1, b1: (H, D) and (H,).
        w2, b2: (C, H) and (C,).
        x: (N, D).
        labels: (N,).
    Returns:
        The loss, a number, and a dict of gradients: {"w1": ..., "b1": ..., "w2": ..., "b2": ...}.
    """
    raise NotImplementedError("two_layer_loss")


def train_two_layer(x, labels, x_test):
    """Train a net of two layers by gradient descent on two_layer_loss.

    Args:
        x: (N, D), inputs to train on.
        labels: (N,), theirs.
        x_test: (M, D), other inputs.
    Returns:
        The scores of x_test, (M, C).
    """
    raise NotImplementedError("train_two_layer")
