#include "attention_blocks.cuh"

KERNELS(64, half)
