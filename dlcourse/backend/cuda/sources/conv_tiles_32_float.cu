#include "conv_tiles.cuh"

TILES(float, 32, 1, 2, 128, 32, 4, 4)
TILES(float, 32_fours, 4, 2, 128, 32, 4, 4)
