"""Overrides that make the GPU fast; each module is imported when the first kernel meets a CuPy array."""
