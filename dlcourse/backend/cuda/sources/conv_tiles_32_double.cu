#include "conv_tiles.cuh"

TILES(double, 32, 1, 1, 128, 32, 4, 4)
