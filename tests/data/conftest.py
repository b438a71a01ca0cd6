"""Tests of published data sets never touch the user's cache, nor depend on the user's data."""

import os
from pathlib import Path

import pytest

REAL_DATA = os.environ.get("DLCOURSE_DATA")
"""The folder with the real data, if there is one."""


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the test's own, and no ``DLCOURSE_DATA``."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("DLCOURSE_CACHE", str(cache))
    monkeypatch.delenv("DLCOURSE_DATA", raising=False)
    return cache
