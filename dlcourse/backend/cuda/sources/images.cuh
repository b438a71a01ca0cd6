// A sample of a batch from a data set's (backend/kernels/images.py says what each step means): a block makes it.
#pragma once

#include "packs.cuh"

// A whole number from 0 to bound - 1 of a random word.
__device__ inline int below(unsigned word, int bound) { return (int)(((unsigned long long)word * bound) >> 32); }

// Where the elements of an augmented image come from, by its five random words.
struct Augmented {
    int height, width, channels, down, right, hole_y, hole_x, cutout;
    bool flipped, reflect;

    __device__ Augmented(
        const unsigned* word, int height, int width, int channels, int flip, int crop, int cutout, int reflect
    )
        : height(height), width(width), channels(channels), down(below(word[1], 2 * crop + 1) - crop),
          right(below(word[2], 2 * crop + 1) - crop), hole_y(below(word[3], height) - cutout / 2),
          hole_x(below(word[4], width) - cutout / 2), cutout(cutout), flipped(flip && below(word[0], 2)),
          reflect(reflect) {}

    // Mirrored at the first and the last, where the border is.
    __device__ int inside(int at, int last) const { return reflect ? last - abs(last - abs(at)) : at; }

    // Of an element: false where there is no such pixel, or a hole.
    __device__ bool source(int y, int x, int channel, int& at) const {
        const int v = inside(y + down, height - 1), u = inside(x + right, width - 1);
        const bool hole = y >= hole_y && y < hole_y + cutout && x >= hole_x && x < hole_x + cutout;
        at = (v * width + (flipped ? width - 1 - u : u)) * channels + channel;
        return v >= 0 && v < height && u >= 0 && u < width && !hole;
    }
};

// A place in a row of `columns` of `channels` each, and how far a stride moves it: by sums instead of divisions.
struct Place {
    int y, x, channel;

    __device__ Place(int at, int columns, int channels)
        : y(at / channels / columns), x(at / channels % columns), channel(at % channels) {}

    __device__ void move(const Place& by, int columns, int channels) {
        channel += by.channel;
        const bool next = channel >= channels;
        channel -= next ? channels : 0;
        x += by.x + next;
        const bool below = x >= columns;
        x -= below ? columns : 0;
        y += by.y + below;
    }
};

template <class T>
__device__ real<T> normalized(real<T> value, const real<T>* shift, const real<T>* scale, int at) {
    return shift ? (value - shift[at]) / scale[at] : value;
}

constexpr int IN_A_PACK = 4, ROUNDS = 4;

// An image as it is, normalized: in packs where both arrays lie so. Shift and scale repeat every `period` elements.
template <class T, class In>
__device__ void make_plain(const In* image, T* x, const real<T>* shift, const real<T>* scale, int size, int period) {
    int done = 0;
    if (packable<IN_A_PACK>(image, x)) {
        const int packs = size / IN_A_PACK, step = blockDim.x * IN_A_PACK % period;
        int repeated = (int)threadIdx.x * IN_A_PACK % period;
        for (int pack = threadIdx.x; pack < packs; pack += blockDim.x) {
            const auto in = pack_at<IN_A_PACK>(image, pack);
            Pack<T, IN_A_PACK> out;
            int place = repeated;
            for (int i = 0; i < IN_A_PACK; ++i) {
                out.at[i] = normalized<T>((real<T>)in.at[i], shift, scale, place);
                place = place + 1 == period ? 0 : place + 1;
            }
            put_pack(x, pack, out);
            repeated = repeated + step < period ? repeated + step : repeated + step - period;
        }
        done = packs * IN_A_PACK;
    }
    const int step = blockDim.x % period;
    int repeated = (done + (int)threadIdx.x) % period;
#pragma unroll 1
    for (int i = done + threadIdx.x; i < size; i += blockDim.x) {
        x[i] = normalized<T>((real<T>)image[i], shift, scale, repeated);
        repeated = repeated + step < period ? repeated + step : repeated + step - period;
    }
}

// An augmented image, element by element. Shift and scale repeat every element, every pixel, or not at all.
template <class T, class In>
__device__ void make_augmented(
    const In* image, T* x, const real<T>* shift, const real<T>* scale, int size, int period, const Augmented& how
) {
    const int width = how.width, channels = how.channels;
    const Place step(blockDim.x, width, channels);
    Place place(threadIdx.x, width, channels);
    for (int i = threadIdx.x; i < size; i += blockDim.x * ROUNDS) {
        In held[ROUNDS];
        int at[ROUNDS];
        bool seen[ROUNDS];
        for (int k = 0; k < ROUNDS; ++k) {
            seen[k] = how.source(place.y, place.x, place.channel, at[k]) && i + k * (int)blockDim.x < size;
            if (seen[k]) held[k] = image[at[k]];
            at[k] = period == size ? at[k] : period == 1 ? 0 : place.channel;
            place.move(step, width, channels);
        }
        for (int k = 0; k < ROUNDS; ++k) {
            if (i + k * (int)blockDim.x >= size) break;
            x[i + k * blockDim.x] = seen[k] ? normalized<T>((real<T>)held[k], shift, scale, at[k]) : (real<T>)0;
        }
    }
}

// As the words say where there are words; all threads of a block come with the same.
template <class T, class In>
__device__ void make_sample(
    const In* image, T* x, const real<T>* shift, const real<T>* scale, const unsigned* words, int size, int period,
    int height, int width, int channels, int flip, int crop, int cutout, int reflect
) {
    if (words) {
        const Augmented how(words, height, width, channels, flip, crop, cutout, reflect);
        make_augmented(image, x, shift, scale, size, period, how);
    } else {
        make_plain(image, x, shift, scale, size, period);
    }
}
