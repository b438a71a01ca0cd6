#include "conv_tiles.cuh"

TILES(double, 16, 1, 1, 128, 16, 4, 2)
