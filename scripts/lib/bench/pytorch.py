"""The workloads with PyTorch as its users write them: fused optimizers, fused attention, the faster memory layout.

Parameters stand in the order in which dlcourse has them; images are flattened channels-last, so that the weights are
the same numbers.
"""

import platform
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from workloads import VGG_LAYERS, Workload


def versions() -> str:
    return f"Python {platform.python_version()}, PyTorch {torch.__version__}, {torch.get_num_threads()} threads"


class Flatten(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


class Block(nn.Module):
    """A residual block with the shortcut that has no parameters."""

    def __init__(self, wide: int, out: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(wide, out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out)
        self.stride, self.new = stride, out - wide

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        if self.new:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new))
        return F.relu(y + x)


def resnet20() -> nn.Module:
    blocks = [Block(w, o, s) for w, o, s in [(16, 16, 1)] * 3 + [(16, 32, 2)] + [(32, 32, 1)] * 2]
    blocks += [Block(w, o, s) for w, o, s in [(32, 64, 2)] + [(64, 64, 1)] * 2]
    head = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
    return nn.Sequential(*head, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def vgg() -> nn.Module:
    layers, wide = [], 3
    for layer in VGG_LAYERS:
        if layer == "pool":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(wide, layer, 3, padding=1, bias=False), nn.BatchNorm2d(layer), nn.ReLU()]
            wide = layer
    return nn.Sequential(*layers, Flatten(), nn.Linear(2048, 10))


class ConvGroup(nn.Module):
    def __init__(self, wide: int, out: int):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(wide, out, 3, padding=1, bias=False), norm(out)
        self.conv2, self.norm2 = nn.Conv2d(out, out, 3, padding=1, bias=False), norm(out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.gelu(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        return F.gelu(self.norm2(self.conv2(x)))


def norm(channels: int) -> nn.BatchNorm2d:
    made = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)
    made.weight.requires_grad = False
    return made


class AirBench(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.whiten = nn.Conv2d(3, 24, 2)
        self.whiten.weight.requires_grad = False
        self.groups = nn.Sequential(ConvGroup(24, 64), ConvGroup(64, 256), ConvGroup(256, 256))
        self.head = nn.Linear(256, 10, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(self.groups(F.gelu(self.whiten(x))), 3)
        return self.head(x.flatten(1)) / 256


class Muon(torch.optim.Optimizer):
    """For filters, in float32; PyTorch's own takes matrices only."""

    def __init__(self, params: Iterable[nn.Parameter]):
        super().__init__(params, {"lr": 0.02})

    @torch.no_grad()
    def step(self) -> None:
        for p in self.param_groups[0]["params"]:
            if p.grad is None:
                continue
            state = self.state[p]
            velocity = state.setdefault("velocity", torch.zeros_like(p))
            velocity.mul_(0.6).add_(p.grad)
            p.mul_(len(p) ** 0.5 / p.norm())
            p.sub_(orthogonal((p.grad + 0.6 * velocity).flatten(1)).view_as(p), alpha=self.param_groups[0]["lr"])


def orthogonal(x: torch.Tensor) -> torch.Tensor:
    x = x / (x.norm() + 1e-7)
    for _ in range(3):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x


class WithMuon:
    """Muon for the filters, SGD for the rest."""

    def __init__(self, params: Iterable[nn.Parameter]):
        trained = [p for p in params if p.requires_grad]
        rest = [p for p in trained if p.ndim != 4]
        sgd = torch.optim.SGD(rest, lr=1e-3, momentum=0.85, nesterov=True, fused=True)
        self.both = sgd, Muon([p for p in trained if p.ndim == 4])
        self.param_groups = [group for each in self.both for group in each.param_groups]

    @property
    def state(self) -> dict:
        return {key: value for each in self.both for key, value in each.state.items()}

    def zero_grad(self, set_to_none: bool = True) -> None:
        for each in self.both:
            each.zero_grad(set_to_none=set_to_none)

    def step(self) -> None:
        for each in self.both:
            each.step()


class LSTM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(65, 64)
        self.lstm = nn.LSTM(64, 256, batch_first=True)
        self.linear = nn.Linear(256, 65)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.lstm(self.embedding(x))[0])


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(128), nn.LayerNorm(128)
        self.qkv, self.out = nn.Linear(128, 384), nn.Linear(128, 128)
        self.expand, self.shrink = nn.Linear(128, 512), nn.Linear(512, 128)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, t, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(n, t, 3, 4, 32).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(n, t, d))
        return x + self.shrink(F.gelu(self.expand(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(65, 128), nn.Embedding(64, 128)
        self.blocks = nn.Sequential(*(Transformer() for _ in range(4)))
        self.norm = nn.LayerNorm(128)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.tokens(x) + self.positions(torch.arange(x.shape[1], device=x.device))
        return F.linear(self.norm(self.blocks(h)), self.tokens.weight)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "softmax": lambda: nn.Linear(3072, 10),
    "mlp": lambda: nn.Sequential(
        nn.Linear(3072, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
    ),
    "cnn3": lambda: nn.Sequential(
        nn.Conv2d(3, 32, 7, padding=3), nn.ReLU(), nn.MaxPool2d(2), Flatten(),
        nn.Linear(8192, 100), nn.ReLU(), nn.Linear(100, 10),
    ),
    "vgg": vgg,
    "resnet20": resnet20,
    "airbench": AirBench,
    "lstm": LSTM,
    "gpt": GPT,
}  # fmt: skip

OPTIMIZERS: dict[str, Callable] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=1e-3, fused=True),
    "muon": WithMuon,
    "momentum": lambda p: torch.optim.SGD(p, lr=1e-3, momentum=0.9, fused=True),
    "adam": lambda p: torch.optim.Adam(p, lr=1e-3, fused=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-3, weight_decay=0.01, fused=True),
}


def batch(workload: Workload) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = (torch.from_numpy(a) for a in workload.data())
    return (x.permute(0, 3, 1, 2).contiguous() if x.ndim == 4 else x), y


def cost(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    logits = net(x)
    return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), y.reshape(-1))


def step(workload: Workload, variant: str) -> Callable[[], object]:
    """One whole update; ``variant`` is eager or compiled, and for images one of the two layouts."""
    torch.manual_seed(0)
    net = MODELS[workload.name]()
    x, y = batch(workload)
    if "channels_last" in variant:
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    optimizer = OPTIMIZERS[workload.optimizer](net.parameters())
    run = torch.compile(net) if "compiled" in variant else net

    def update() -> None:
        optimizer.zero_grad(set_to_none=True)
        cost(run, x, y).backward()
        optimizer.step()

    return update


def variants(workload: Workload, compiled: bool) -> list[str]:
    """The ways to run it, of which the fastest counts."""
    layouts = ["contiguous", "channels_last"] if len(workload.shape) == 3 else ["contiguous"]
    return [f"{how} {layout}" for how in (["eager", "compiled"] if compiled else ["eager"]) for layout in layouts]


def gradients(workload: Workload, weights: list[np.ndarray], precision: str) -> tuple:
    """The loss and the gradients from these weights, in dlcourse's layout."""
    dtype = getattr(torch, precision)
    net = MODELS[workload.name]().to(dtype)
    with torch.no_grad():
        for p, w in zip(net.parameters(), weights, strict=True):
            p.copy_(torch.from_numpy(w.transpose(0, 3, 1, 2).copy() if w.ndim == 4 else w))
    x, y = batch(workload)
    loss = cost(net, x.to(dtype) if x.is_floating_point() else x, y)
    loss.backward()
    grads = [p.grad.numpy() for p in net.parameters() if p.requires_grad]
    return loss.item(), weights, [g.transpose(0, 2, 3, 1) if g.ndim == 4 else g for g in grads]
