// Convolution of images (N, H, W, C) as matrix products whose left operand, the patches, is never written down: each
// block gathers its tile of patches straight into shared memory (backend/kernels/conv.py is the specification).
//
//   forward          y (N H' W', O)          = patches (N H' W', kh kw C) weight^T
//   input gradient   dx (N H W, C)           = the dy that each place went into (N H W, kh kw O) times weight
//   weight gradient  dweight^T (kh kw C, O)  = patches^T dy, the rows cut into parts whose sums are added in order
//
// blockIdx.x and y number the tiles, z the group of channels and, for the weight gradient, the part.
#pragma once
#include "activation.cuh"
#include "last_block.cuh"

constexpr int THREADS = 256, DEPTH = 16;

struct Shape {
    int images, height, width, channels, out_height, out_width, outputs, rows, columns;
    int down, right, top, left, apart_y, apart_x, groups;

    __device__ int inner() const { return channels / groups; }
    __device__ int outer() const { return outputs / groups; }
    __device__ int taps() const { return rows * columns; }
};

struct Spot {  // an image's first place, and a place in it
    int base, y, x;
    bool there;
};
struct Tap {  // an offset from a spot, and a channel
    int y, x, channel;
    bool there;
};

// Patches of x: rows are places of y, columns (tap, channel).
template <class T>
struct Patches {
    const T* x;
    Shape s;
    int group;

    __device__ Spot spot(int m) const {
        const int size = s.out_height * s.out_width, rest = m % size;
        const bool there = m < s.images * size;
        return {m / size * s.height * s.width, rest / s.out_width * s.down - s.top,
                rest % s.out_width * s.right - s.left, there};
    }
    __device__ Tap tap(int k) const {
        const int tap = k / s.inner();
        return {tap / s.columns * s.apart_y, tap % s.columns * s.apart_x, group * s.inner() + k % s.inner(), tap < s.taps()};
    }
    __device__ T at(Spot spot, Tap tap) const {
        const int row = spot.y + tap.y, column = spot.x + tap.x;
        if (!spot.there || !tap.there || row < 0 || row >= s.height || column < 0 || column >= s.width) return 0;
        return x[(long long)(spot.base + row * s.width + column) * s.channels + tap.channel];
    }
};

// What dy gives back: rows are places of x, columns (tap, output channel).
template <class T>
struct Returns {
    const T* dout;
    Shape s;
    int group;

    __device__ Spot spot(int m) const {
        const int size = s.height * s.width, rest = m % size;
        return {m / size * s.out_height * s.out_width, rest / s.width + s.top, rest % s.width + s.left,
                m < s.images * size};
    }
    __device__ Tap tap(int k) const {
        const int tap = k / s.outer();
        return {tap / s.columns * s.apart_y, tap % s.columns * s.apart_x, group * s.outer() + k % s.outer(), tap < s.taps()};
    }
    __device__ T at(Spot spot, Tap tap) const {
        int row = spot.y - tap.y, column = spot.x - tap.x;
        if (!spot.there || !tap.there || row < 0 || column < 0 || row % s.down || column % s.right) return 0;
        row /= s.down;
        column /= s.right;
        if (row >= s.out_height || column >= s.out_width) return 0;
        return dout[(long long)(spot.base + row * s.out_width + column) * s.outputs + tap.channel];
    }
};

// One tile (BM, BN) of left times right, summed over [from, to); `turned` takes left's transpose, so that its rows are taps.
// right(k, n) and store(m, n, value) see to their own bounds; `across` says that right lies along n.
template <class T, int BM, int BN, int TM, int TN, bool turned, bool across, class Left, class Right, class Store>
__device__ void tile_product(Left left, Right right, Store store, int from, int to, T* shared) {
    static_assert(BM / TM * (BN / TN) == THREADS, "a thread for each piece");
    constexpr int pitch = BM + 4, wide = BN + 4;
    T* a = shared;                   // (DEPTH, BM), padded against bank conflicts
    T* b = shared + DEPTH * pitch;  // (DEPTH, BN)
    const int tid = threadIdx.x, m0 = blockIdx.x * BM, n0 = blockIdx.y * BN;
    constexpr int passes = BM * DEPTH / THREADS;
    Spot spots[turned ? 1 : passes];
    Tap mine;
    if (turned) mine = left.tap(m0 + tid % BM);
    else for (int r = 0; r < passes; ++r) spots[r] = left.spot(m0 + tid / DEPTH + THREADS / DEPTH * r);

    T sums[TM][TN];
    for (int i = 0; i < TM; ++i)
        for (int j = 0; j < TN; ++j) sums[i][j] = 0;
    const int row = tid / (BN / TN) * TM, column = tid % (BN / TN) * TN;

    for (int k0 = from; k0 < to; k0 += DEPTH) {
        if (turned) {
            for (int r = 0; r < passes; ++r) {
                const int k = tid / BM + THREADS / BM * r;
                a[k * pitch + tid % BM] = k0 + k < to ? left.at(left.spot(k0 + k), mine) : (T)0;
            }
        } else {
            const int k = tid % DEPTH;
            const Tap tap = left.tap(k0 + k);
            for (int r = 0; r < passes; ++r) {
                a[k * pitch + tid / DEPTH + THREADS / DEPTH * r] = left.at(spots[r], tap);
            }
        }
        for (int i = tid; i < BN * DEPTH; i += THREADS) {
            const int k = across ? i / BN : i % DEPTH, n = across ? i % BN : i / DEPTH;
            b[k * wide + n] = k0 + k < to ? right(k0 + k, n0 + n) : (T)0;
        }
        __syncthreads();
#pragma unroll
        for (int k = 0; k < DEPTH; ++k) {
            T x[TM], y[TN];
            for (int i = 0; i < TM; ++i) x[i] = a[k * pitch + row + i];
            for (int j = 0; j < TN; ++j) y[j] = b[k * wide + column + j];
            for (int i = 0; i < TM; ++i)
                for (int j = 0; j < TN; ++j) sums[i][j] += x[i] * y[j];
        }
        __syncthreads();
    }
    for (int i = 0; i < TM; ++i)
        for (int j = 0; j < TN; ++j) store(m0 + row + i, n0 + column + j, sums[i][j]);
}

template <class T, int BM, int BN, int TM, int TN>
__device__ void conv_forward(const T* x, const T* weight, const T* bias, T* y, Shape s, int relu) {
    SHARED(T, shared);
    const int group = blockIdx.z, depth = s.taps() * s.inner(), outer = s.outer();
    const int total = s.images * s.out_height * s.out_width;
    auto right = [=](int k, int n) { return n < outer ? weight[(long long)(group * outer + n) * depth + k] : (T)0; };
    auto store = [=](int m, int n, T value) {
        if (m >= total || n >= outer) return;
        const int o = group * outer + n;
        if (bias) value += bias[o];
        y[(long long)m * s.outputs + o] = relu ? rectified(value) : value;
    };
    tile_product<T, BM, BN, TM, TN, false, false>(Patches<T>{x, s, group}, right, store, 0, depth, shared);
}

template <class T, int BM, int BN, int TM, int TN>
__device__ void conv_input_grad(const T* dout, const T* weight, T* dx, Shape s) {
    SHARED(T, shared);
    const int group = blockIdx.z, inner = s.inner(), outer = s.outer(), taps = s.taps();
    const int total = s.images * s.height * s.width;
    auto right = [=](int k, int n) {  // k = (tap, o), n = c
        return n < inner ? weight[((long long)(group * outer + k % outer) * taps + k / outer) * inner + n] : (T)0;
    };
    auto store = [=](int m, int n, T value) {
        if (m < total && n < inner) dx[(long long)m * s.channels + group * inner + n] = value;
    };
    tile_product<T, BM, BN, TM, TN, false, true>(Returns<T>{dout, s, group}, right, store, 0, taps * outer, shared);
}

// A tile (BM, BN) of the weight's gradient (outputs, depth) from the parts that other blocks left, added in order.
template <class T, int BM, int BN>
__device__ void add_parts(const T* partial, T* dweight, int parts, int first, int outer, int outputs, int depth) {
    constexpr int EACH = BM * BN / THREADS, AHEAD = EACH < 16 ? 32 / EACH : 1;  // some 32 loads in flight
    const long long apart = (long long)outputs * depth;
    long long place[EACH];
    T sums[EACH];
    bool there[EACH];
#pragma unroll
    for (int i = 0; i < EACH; ++i) {
        const int m = blockIdx.x * BM + (threadIdx.x + i * THREADS) % BM;
        const int n = blockIdx.y * BN + (threadIdx.x + i * THREADS) / BM;
        there[i] = m < depth && n < outer;
        place[i] = there[i] ? (long long)(first + n) * depth + m : 0;
        sums[i] = 0;
    }
#pragma unroll AHEAD
    for (int part = 0; part < parts; ++part) {
#pragma unroll
        for (int i = 0; i < EACH; ++i) sums[i] += partial[part * apart + place[i]];
    }
#pragma unroll
    for (int i = 0; i < EACH; ++i) {
        if (there[i]) dweight[place[i]] = sums[i];
    }
}

// The rows are cut into parts; the last block of a tile to have done its own adds them all. With one part neither partial
// nor arrived (a counter for each tile) is used.
template <class T, int BM, int BN, int TM, int TN>
__device__ void conv_weight_grad(
    const T* dout, const T* x, T* partial, int* arrived, T* dweight, Shape s, int parts, int each
) {
    SHARED(T, shared);
    const int group = blockIdx.z / parts, part = blockIdx.z % parts, outer = s.outer(), depth = s.taps() * s.inner();
    const int total = s.images * s.out_height * s.out_width, from = part * each;
    const int to = total - from < each ? total : from + each;
    T* target = parts == 1 ? dweight : partial;
    auto right = [=](int k, int n) { return n < outer ? dout[(long long)k * s.outputs + group * outer + n] : (T)0; };
    auto store = [=](int m, int n, T value) {
        if (m < depth && n < outer) target[((long long)part * s.outputs + group * outer + n) * depth + m] = value;
    };
    tile_product<T, BM, BN, TM, TN, true, true>(Patches<T>{x, s, group}, right, store, from, to, shared);
    if (parts == 1) return;
    const int tile = (group * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    if (!last_to_arrive(arrived + tile, parts)) return;
    add_parts<T, BM, BN>(partial, dweight, parts, group * outer, outer, s.outputs, depth);
}

#define SHAPE \
    int images, int height, int width, int channels, int out_height, int out_width, int outputs, int rows, \
    int columns, int down, int right, int top, int left, int apart_y, int apart_x, int groups
#define GIVEN \
    Shape{images, height, width, channels, out_height, out_width, outputs, rows, columns, \
          down, right, top, left, apart_y, apart_x, groups}

// Tiles of 64, 32 and 16 output channels; each type has a source of its own.
#define TILES(T, BM, BN, TM, TN) \
    extern "C" __global__ void conv_forward_##BN##_##T( \
        const T* x, const T* weight, const T* bias, T* y, SHAPE, int relu \
    ) { \
        conv_forward<T, BM, BN, TM, TN>(x, weight, bias, y, GIVEN, relu); \
    } \
    extern "C" __global__ void conv_input_grad_##BN##_##T(const T* dout, const T* weight, T* dx, SHAPE) { \
        conv_input_grad<T, BM, BN, TM, TN>(dout, weight, dx, GIVEN); \
    } \
    extern "C" __global__ void conv_weight_grad_##BN##_##T( \
        const T* dout, const T* x, T* partial, int* arrived, T* dweight, SHAPE, int parts, int each \
    ) { \
        conv_weight_grad<T, BM, BN, TM, TN>(dout, x, partial, arrived, dweight, GIVEN, parts, each); \
    }
#define KERNELS(T) \
    TILES(T, 128, 64, 8, 4) \
    TILES(T, 128, 32, 4, 4) \
    TILES(T, 128, 16, 4, 2)
