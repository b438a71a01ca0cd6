#include "conv_tiles.cuh"

KERNELS(float)
