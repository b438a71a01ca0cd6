#include "attention_blocks.cuh"

KERNELS(32, bfloat16)
KERNELS(64, bfloat16)
KERNELS(128, bfloat16)
