"""Gradient clipping, which ``nn.utils`` has too."""

from dlcourse.autograd.clip import clip_grad_norm, clip_grad_norm_, clip_grad_value_

__all__ = ["clip_grad_norm", "clip_grad_norm_", "clip_grad_value_"]
