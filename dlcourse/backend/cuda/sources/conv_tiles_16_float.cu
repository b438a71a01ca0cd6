#include "conv_tiles.cuh"

TILES(float, 16, 1, 2, 128, 16, 4, 2)
TILES(float, 16_fours, 4, 3, 128, 16, 4, 2)
