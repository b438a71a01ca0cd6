#include "conv_tiles.cuh"

KERNELS(double)
