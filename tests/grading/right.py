import numpy as np


def softmax_loss(weight, x, labels):
    scores = x @ weight.T
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    rows = np.arange(len(x))
    shifted = scores - scores.max(axis=1, keepdims=True)
    loss = (np.log(np.exp(shifted).sum(axis=1)) - shifted[rows, labels]).mean()
    p[rows, labels] -= 1
    return loss, p.T @ x / len(x)


def two_layer_loss(w1, b1, w2, b2, x, labels):
    hidden = np.maximum(x @ w1.T + b1, 0)
    scores = hidden @ w2.T + b2
    shifted = scores - scores.max(axis=1, keepdims=True)
    p = np.exp(shifted)
    total = p.sum(axis=1, keepdims=True)
    p /= total
    rows = np.arange(len(x))
    loss = (np.log(total[:, 0]) - shifted[rows, labels]).mean()
    p[rows, labels] -= 1
    p /= len(x)
    dhidden = p @ w2 * (hidden > 0)
    return loss, {"w1": dhidden.T @ x, "b1": dhidden.sum(axis=0), "w2": p.T @ hidden, "b2": p.sum(axis=0)}


def train_two_layer(x, labels, x_test):
    rng = np.random.default_rng(0)
    w = {
        "w1": rng.normal(size=(64, x.shape[1])),
        "b1": rng.normal(size=64),
        "w2": 0.1 * rng.normal(size=(labels.max() + 1, 64)),
        "b2": np.zeros(labels.max() + 1),
    }
    v = {name: np.zeros_like(each) for name, each in w.items()}
    for _ in range(1500):
        _, grads = two_layer_loss(**w, x=x, labels=labels)
        for name in w:
            v[name] = 0.9 * v[name] - 0.2 * grads[name]
            w[name] += v[name]
    return np.maximum(x_test @ w["w1"].T + w["b1"], 0) @ w["w2"].T + w["b2"]
