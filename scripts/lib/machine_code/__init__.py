"""The machine code that the CUDA sources compile to, and what can be counted in it without a GPU."""
