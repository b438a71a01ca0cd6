#include "attention_blocks.cuh"

KERNELS(32, half)
KERNELS(64, half)
KERNELS(128, half)
