#include "conv_tiles.cuh"

TILES(float, 64, 1, 1, 128, 64, 8, 4)
TILES(float, 64_fours, 4, 2, 128, 64, 8, 4)
