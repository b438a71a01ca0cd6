// The batch of a training step from a data set on the device (backend/kernels/device_batch.py): a block makes a sample,
// from the step counter to the augmented image and its label.
#include "images.cuh"
#include "philox.cuh"

#define CHOICE \
    const long long* order, const long long* step_at, long long step, long long steps_per_epoch

// Which of the set this block's sample is.
__device__ inline long long chosen(CHOICE) {
    const long long position = counted(step_at, step) % steps_per_epoch * gridDim.x + blockIdx.x;
    return order ? order[position] : position;
}

// Samples lie `apart` words from each other; those of the batch lie together.
__device__ inline void copy_words(const void* from, void* to, long long row, int words, long long apart) {
    const unsigned short* source = (const unsigned short*)from + row * apart;
    unsigned short* target = (unsigned short*)to + (long long)blockIdx.x * words;
    for (int i = threadIdx.x; i < words; i += blockDim.x) target[i] = source[i];
}

// Samples and targets as they are, in units of 16 bits.
extern "C" __global__ void device_batch_rows(
    const void* samples, const void* targets, const long long* order, const long long* step_at, long long step,
    long long steps_per_epoch, void* x, void* y, int x_words, int y_words, long long x_apart, long long y_apart
) {
    const long long row = chosen(order, step_at, step, steps_per_epoch);
    copy_words(samples, x, row, x_words, x_apart);
    copy_words(targets, y, row, y_words, y_apart);
}

template <class T, class In>
__device__ void device_batch(
    const In* samples, const void* targets, CHOICE, const real<T>* shift, const real<T>* scale, T* x,
    void* y, int y_words, int size, int period, int height, int width, int channels, int augment, long long y_apart,
    Word seed, Word purpose, int flip, int crop, int cutout
) {
    __shared__ unsigned words[5];
    const long long row = chosen(order, step_at, step, steps_per_epoch);
    copy_words(targets, y, row, y_words, y_apart);
    if (augment) {
        if (threadIdx.x < 5) {
            const Word now = (Word)counted(step_at, step);
            words[threadIdx.x] = philox_word((long long)blockIdx.x * 5 + threadIdx.x, seed, purpose, 0, now);
        }
        __syncthreads();
    }
    for (int i = threadIdx.x; i < size; i += blockDim.x) {
        int at = i;
        bool seen = true;
        if (augment) seen = moved(words, at, height, width, channels, flip, crop, cutout);
        real<T> value = 0;
        if (seen) value = normalized<T>(samples[row * size + at], shift, scale, at, period);
        x[(long long)blockIdx.x * size + i] = value;
    }
}

template <class T>
__device__ void device_batch_bytes(
    const unsigned char* samples, const void* targets, CHOICE, const real<T>* shift, const real<T>* scale, T* x,
    void* y, int y_words, int size, int period, int height, int width, int channels, int augment, long long y_apart,
    Word seed, Word purpose, int flip, int crop, int cutout
) {
    device_batch<T>(samples, targets, order, step_at, step, steps_per_epoch, shift, scale, x, y, y_words, size, period,
                    height, width, channels, augment, y_apart, seed, purpose, flip, crop, cutout);
}

template <class T>
__device__ void device_batch_same(
    const T* samples, const void* targets, CHOICE, const real<T>* shift, const real<T>* scale, T* x,
    void* y, int y_words, int size, int period, int height, int width, int channels, int augment, long long y_apart,
    Word seed, Word purpose, int flip, int crop, int cutout
) {
    device_batch<T>(samples, targets, order, step_at, step, steps_per_epoch, shift, scale, x, y, y_words, size, period,
                    height, width, channels, augment, y_apart, seed, purpose, flip, crop, cutout);
}

FOR_ALL_TYPES(device_batch_bytes,
    (const unsigned char* samples, const void* targets, const long long* order, const long long* step_at,
     long long step, long long steps_per_epoch, const real<T>* shift, const real<T>* scale, T* x, void* y,
     int y_words, int size, int period, int height, int width, int channels, int augment, long long y_apart,
     unsigned long long seed, unsigned long long purpose, int flip, int crop, int cutout),
    (samples, targets, order, step_at, step, steps_per_epoch, shift, scale, x, y, y_words, size, period, height, width,
     channels, augment, y_apart, seed, purpose, flip, crop, cutout))
FOR_ALL_TYPES(device_batch_same,
    (const T* samples, const void* targets, const long long* order, const long long* step_at,
     long long step, long long steps_per_epoch, const real<T>* shift, const real<T>* scale, T* x, void* y,
     int y_words, int size, int period, int height, int width, int channels, int augment, long long y_apart,
     unsigned long long seed, unsigned long long purpose, int flip, int crop, int cutout),
    (samples, targets, order, step_at, step, steps_per_epoch, shift, scale, x, y, y_words, size, period, height, width,
     channels, augment, y_apart, seed, purpose, flip, crop, cutout))
