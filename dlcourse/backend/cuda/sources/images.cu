// A batch of images in one kernel: gather, normalize, flip, crop, cut out (backend/kernels/images.py says what each means).
// A block makes an image; the set may be bytes, so that it stays on the device a quarter as large.
#define LAUNCH_BOUNDS __launch_bounds__(1024, 1)
#include "images.cuh"

template <class T, class In>
__device__ void make(
    const In* images, const long long* rows, const real<T>* shift, const real<T>* scale, const unsigned* words, T* out,
    int size, int period, int height, int width, int channels, int flip, int crop, int cutout, int reflect
) {
    const long long sample = blockIdx.x, image = rows ? rows[sample] : sample;
    make_sample(
        images + image * size, out + sample * size, shift, scale, words ? words + sample * 5 : words, size, period, height,
        width, channels, flip, crop, cutout, reflect);
}

#define PARAMETERS(In)                                                                                              \
    const In* __restrict__ images, const long long* __restrict__ rows, const real<T>* __restrict__ shift,           \
    const real<T>* __restrict__ scale, const unsigned* __restrict__ words, T* __restrict__ out, int size, int period, \
    int height, int width, int channels, int flip, int crop, int cutout, int reflect
#define ARGUMENTS images, rows, shift, scale, words, out, size, period, height, width, channels, flip, crop, cutout, reflect

template <class T>
__device__ void image_batch_bytes(PARAMETERS(unsigned char)) { make(ARGUMENTS); }

template <class T>
__device__ void image_batch_same(PARAMETERS(T)) { make(ARGUMENTS); }

FOR_ALL_TYPES(image_batch_bytes, (PARAMETERS(unsigned char)), (ARGUMENTS))
FOR_ALL_TYPES(image_batch_same, (PARAMETERS(T)), (ARGUMENTS))
