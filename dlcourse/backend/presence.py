"""Whether there is a GPU: ``dl.cuda``, by the names that ``torch.cuda`` has."""

from typing import Any

from dlcourse.backend.device import synchronize

__all__ = ["device_count", "is_available", "synchronize"]


def is_available() -> bool:
    """Whether a GPU can be used; `dlcourse devices` says why not."""
    return _status().usable


def device_count() -> int:
    """How many GPUs there are."""
    status = _status()
    return status.count if status.usable else 0


def _status() -> Any:
    # Imported here: the probe looks for CuPy, for which only these two calls should pay.
    from dlcourse.backend.diagnostics import probe

    return probe.cuda_status()
