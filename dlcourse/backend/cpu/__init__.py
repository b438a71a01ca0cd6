"""Overrides that make the CPU fast; each module is imported when the first kernel meets a NumPy array."""

from dlcourse.backend.cpu import memory

memory.disable_malloc_trim()
