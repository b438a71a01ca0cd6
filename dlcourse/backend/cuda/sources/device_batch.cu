// The batch of a training step from a data set on the device (backend/kernels/device_batch.py): a block makes a sample,
// from the step counter to the augmented image and its label.
#define LAUNCH_BOUNDS __launch_bounds__(1024, 1)
#include "images.cuh"
#include "philox.cuh"

// Which of the set this block's sample is.
__device__ inline long long chosen(
    const long long* order, const long long* step_at, long long step, long long steps_per_epoch
) {
    const long long position = counted(step_at, step) % steps_per_epoch * gridDim.x + blockIdx.x;
    return order ? order[position] : position;
}

// Units one after another, four at a time on their way.
template <class Unit>
__device__ void copy_units(const void* source, void* target, int count) {
    const Unit* from = (const Unit*)source;
    Unit* to = (Unit*)target;
    for (int i = threadIdx.x; i < count; i += blockDim.x * ROUNDS) {
        Unit held[ROUNDS];
        for (int k = 0; k < ROUNDS; ++k) {
            if (i + k * (int)blockDim.x < count) held[k] = from[i + k * blockDim.x];
        }
        for (int k = 0; k < ROUNDS; ++k) {
            if (i + k * (int)blockDim.x < count) to[i + k * blockDim.x] = held[k];
        }
    }
}

// Words of 16 bits. Samples lie `apart` words from each other; those of the batch lie together. In units as large as the
// addresses and the length allow.
__device__ inline void copy_words(const void* from, void* to, long long row, int words, long long apart) {
    using Wide = Pack<unsigned long long, 2>;
    const unsigned short* source = (const unsigned short*)from + row * apart;
    unsigned short* target = (unsigned short*)to + (long long)blockIdx.x * words;
    const unsigned long long lies = (unsigned long long)source | (unsigned long long)target | 2ull * words;
    if (lies % 16 == 0) copy_units<Wide>(source, target, words / 8);
    else if (lies % 8 == 0) copy_units<unsigned long long>(source, target, words / 4);
    else if (lies % 4 == 0) copy_units<unsigned>(source, target, words / 2);
    else copy_units<unsigned short>(source, target, words);
}

// Samples and targets as they are, in units of 16 bits.
extern "C" __global__ void __launch_bounds__(1024, 1) device_batch_rows(
    const void* __restrict__ samples, const void* __restrict__ targets, const long long* __restrict__ order,
    const long long* __restrict__ step_at, long long step, long long steps_per_epoch, void* __restrict__ x,
    void* __restrict__ y, int x_words, int y_words, long long x_apart, long long y_apart
) {
    const long long row = chosen(order, step_at, step, steps_per_epoch);
    copy_words(samples, x, row, x_words, x_apart);
    copy_words(targets, y, row, y_words, y_apart);
}

#define PARAMETERS(In)                                                                                            \
    const In* __restrict__ samples, const void* __restrict__ targets, const long long* __restrict__ order,        \
    const long long* __restrict__ step_at, long long step, long long steps_per_epoch,                             \
    const real<T>* __restrict__ shift, const real<T>* __restrict__ scale, T* __restrict__ x, void* __restrict__ y, \
    int y_words, int size, int period, int height, int width, int channels, int augment, long long y_apart,       \
    unsigned long long seed, unsigned long long purpose, const unsigned* __restrict__ flips, int flip, int crop,     \
    int cutout, int reflect
#define ARGUMENTS                                                                                                  \
    samples, targets, order, step_at, step, steps_per_epoch, shift, scale, x, y, y_words, size, period, height, width, \
    channels, augment, y_apart, seed, purpose, flips, flip, crop, cutout, reflect

template <class T, class In>
__device__ void device_batch(PARAMETERS(In)) {
    __shared__ unsigned words[5];
    const long long row = chosen(order, step_at, step, steps_per_epoch);
    if (augment) {
        if (threadIdx.x < 5) {
            const Word now = (Word)counted(step_at, step);
            words[threadIdx.x] = philox_word((long long)blockIdx.x * 5 + threadIdx.x, seed, purpose, 0, now);
            if (flips && !threadIdx.x) words[0] = flips[row] ^ (unsigned)(now / steps_per_epoch % 2) << 31;
        }
        __syncthreads();
    }
    make_sample(
        samples + row * size, x + (long long)blockIdx.x * size, shift, scale, augment ? words : nullptr, size, period, height,
        width, channels, flip, crop, cutout, reflect);
    copy_words(targets, y, row, y_words, y_apart);
}

template <class T>
__device__ void device_batch_bytes(PARAMETERS(unsigned char)) { device_batch<T>(ARGUMENTS); }

template <class T>
__device__ void device_batch_same(PARAMETERS(T)) { device_batch<T>(ARGUMENTS); }

FOR_ALL_TYPES(device_batch_bytes, (PARAMETERS(unsigned char)), (ARGUMENTS))
FOR_ALL_TYPES(device_batch_same, (PARAMETERS(T)), (ARGUMENTS))
