#include "attention_blocks.cuh"

KERNELS(32, float)
KERNELS(64, float)
KERNELS(128, float)
