#include "attention_blocks.cuh"

KERNELS(128, half)
