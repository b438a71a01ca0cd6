#include "conv_tiles.cuh"

KERNELS(float)
FOURS(float)
