#include "attention_blocks.cuh"

KERNELS(32, bfloat16)
