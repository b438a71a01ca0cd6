#include "conv_tiles.cuh"

TILES(double, 64, 1, 1, 128, 64, 8, 4)
