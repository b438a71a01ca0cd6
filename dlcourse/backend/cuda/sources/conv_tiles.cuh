// Convolution of images (N, H, W, C) as matrix products whose left operand, the patches, is never written down: each
// block gathers its tile of patches straight into shared memory (backend/kernels/conv.py is the specification).
//
//   forward          y (N H' W', O)          = patches (N H' W', kh kw C) weight^T
//   input gradient   dx (N H W, C)           = the dy that each place went into (N H W, kh kw O) times weight
//   weight gradient  dweight^T (kh kw C, O)  = patches^T dy, the rows cut into parts whose sums are added in order
//
// blockIdx.x and y number the tiles, z the group of channels and, for the weight gradient, the part.
// In shared memory, what the threads of a round of DEPTH terms would each work out again: of each term its tap (which place
// of the kernel, which channel) or, for the weight's gradient, its spot. The round before writes them, counting up digits, so
// that no division is in the loop.
#pragma once
#include "activation.cuh"
#include "last_block.cuh"
#include "packs.cuh"

constexpr int THREADS = 256, DEPTH = 16;
constexpr unsigned NOWHERE = 0x80000000u;

struct Shape {
    int images, height, width, channels, out_height, out_width, outputs, rows, columns;
    int down, right, top, left, apart_y, apart_x, groups;

    __device__ int inner() const { return channels / groups; }
    __device__ int outer() const { return outputs / groups; }
    __device__ int taps() const { return rows * columns; }
};

// A number's three digits, the two lower ones in these bases, and those of the number DEPTH further on, without a division.
struct Digits {
    int low, mid, high, low_base, mid_base, low_step, mid_step, high_step;

    __device__ Digits(int number, int low_base, int mid_base) : low_base(low_base), mid_base(mid_base) {
        low = number % low_base, mid = number / low_base % mid_base, high = number / low_base / mid_base;
        low_step = DEPTH % low_base, mid_step = DEPTH / low_base % mid_base, high_step = DEPTH / low_base / mid_base;
    }
    __device__ void advance() {
        low += low_step;
        const bool carry = low >= low_base;
        low -= carry ? low_base : 0;
        mid += mid_step + carry;
        const bool second = mid >= mid_base;
        mid -= second ? mid_base : 0;
        high += high_step + second;
    }
};

// Where the kernel stands over an image: its first element there, perhaps outside of the image, and two coordinates. A tap
// is an offset from there in elements and coordinates. Together they are in the image where the sums of the coordinates, as
// unsigned numbers, are below its height and width. What does not exist is NOWHERE: a spot by its y, a tap by its x.
struct alignas(16) Spot {
    long long first;
    unsigned y, x;
};
struct alignas(16) Tap {
    int offset;
    unsigned y, x;
    int weight;  // for the input gradient: the tap's first weight
};

__device__ inline long long first(const Spot& spot) { return spot.first; }
__device__ inline long long first(const Tap& tap) { return tap.offset; }

// What a row or a column of the kernel adds to a coordinate, and how many pixels that is.
struct Shift {
    unsigned place;
    int pixels;
};

// Patches of x: rows are places of y, columns (tap, channel).
template <class T>
struct Patches {
    const T* image;
    Shape s;
    int group;

    __device__ int height() const { return s.height; }
    __device__ int width() const { return s.width; }
    __device__ Digits place(int m) const { return {m, s.out_width, s.out_height}; }
    __device__ Digits term(int k) const { return {k, s.inner(), s.columns}; }
    __device__ Spot spot(const Digits& m, bool there) const {
        const int y = m.mid * s.down - s.top, x = m.low * s.right - s.left;
        const long long row = (long long)m.high * s.height + y;
        return {(row * s.width + x) * s.channels, there ? (unsigned)y : NOWHERE, (unsigned)x};
    }
    __device__ Shift down(int row) const { return {(unsigned)(row * s.apart_y), row * s.apart_y}; }
    __device__ Shift across(int column) const { return {(unsigned)(column * s.apart_x), column * s.apart_x}; }
    __device__ Tap tap(const Digits& k, Shift down, Shift across) const {
        const int offset = (down.pixels * s.width + across.pixels) * s.channels + group * s.inner() + k.low;
        return {offset, down.place, across.place, 0};
    }
};

// What dy gives back: rows are places of x, columns (tap, output channel). Tap t saw x's row v from row (v + top - t) / down
// of y, if that is a whole number: v + top and t leave the same remainder. So that this is no question of its own,
// coordinates are quotient + remainder * apart, with remainders so far apart that their difference leads out of the image.
template <class T>
struct Returns {
    const T* image;
    Shape s;
    int group;

    __device__ int height() const { return s.out_height; }
    __device__ int width() const { return s.out_width; }
    __device__ Digits place(int m) const { return {m, s.width, s.height}; }
    __device__ Digits term(int k) const { return {k, s.outer(), s.columns}; }
    __device__ static int apart(int length, int before, int step, int count, int distance, int out) {
        return (length + before + count * distance) / step + out + 2;
    }
    __device__ int apart_y() const { return apart(s.height, s.top, s.down, s.rows, s.apart_y, s.out_height); }
    __device__ int apart_x() const { return apart(s.width, s.left, s.right, s.columns, s.apart_x, s.out_width); }
    __device__ Spot spot(const Digits& m, bool there) const {
        const int v = m.mid + s.top, u = m.low + s.left, y = v / s.down, x = u / s.right;
        const long long row = (long long)m.high * s.out_height + y;
        const unsigned down = y + v % s.down * apart_y(), across = x + u % s.right * apart_x();
        return {(row * s.out_width + x) * s.outputs, there ? down : NOWHERE, across};
    }
    __device__ Shift down(int row) const {
        const int t = row * s.apart_y;
        return {0u - (t / s.down + t % s.down * apart_y()), -(t / s.down)};
    }
    __device__ Shift across(int column) const {
        const int t = column * s.apart_x;
        return {0u - (t / s.right + t % s.right * apart_x()), -(t / s.right)};
    }
    __device__ Tap tap(const Digits& k, Shift down, Shift across) const {
        const int o = group * s.outer() + k.low;
        const int offset = (down.pixels * s.out_width + across.pixels) * s.outputs + o;
        return {offset, down.place, across.place, (o * s.taps() + k.high * s.columns + k.mid) * s.inner()};
    }
};

// The terms of a round: taps, whose Shifts lie in a table, or spots.
template <class Left>
struct Taps {
    using Entry = Tap;
    const Left& left;
    const Shift* shifts;  // of the kernel's rows, then of its columns
    Digits digits;

    __device__ Taps(const Left& left, const Shift* shifts, int k) : left(left), shifts(shifts), digits(left.term(k)) {}
    __device__ Tap entry(bool there) const {
        if (!there) return {0, 0, NOWHERE, 0};
        return left.tap(digits, shifts[digits.high], shifts[left.s.rows + digits.mid]);
    }
};
template <class Left>
struct Spots {
    using Entry = Spot;
    const Left& left;
    Digits digits;

    __device__ Spots(const Left& left, const Shift*, int m) : left(left), digits(left.place(m)) {}
    __device__ Spot entry(bool there) const { return left.spot(digits, there); }
};
template <class Left, bool turned> struct Terms { using type = Taps<Left>; };
template <class Left> struct Terms<Left, true> { using type = Spots<Left>; };

// One tile (BM, BN) of left times right, of rows [m0, end), summed over [from, to); `turned` takes left's transpose, so that
// its rows are taps. N of left's channels are read at once. right(k, n, entry) and store(m, n, values) see to their own bounds;
// `across` says that right lies along n.
template <class T, int BM, int BN, int TM, int TN, int N, bool turned, bool across, class Left, class Right, class Store>
__device__ void tile_product(Left left, Right right, Store store, int m0, int end, int from, int to, T* shared) {
    static_assert(BM / TM * (BN / TN) == THREADS, "a thread for each piece");
    using Round = typename Terms<Left, turned>::type;
    using Entry = typename Round::Entry;
    constexpr int pitch = BM + 4, wide = BN + 4;
    // Of a row of the tile (a term where turned), so many threads read what follows one another.
    constexpr int side = (turned ? BM : DEPTH) / N, passes = BM * DEPTH / N / THREADS;
    __shared__ Entry entries[2][DEPTH];
    T* a = shared;                   // (DEPTH, BM), padded against bank conflicts
    T* b = shared + DEPTH * pitch;  // (DEPTH, BN)
    Shift* shifts = reinterpret_cast<Shift*>(b + DEPTH * wide);
    const int tid = threadIdx.x, n0 = blockIdx.y * BN;
    const unsigned height = left.height(), width = left.width();

    if (!turned) {
        for (int i = tid; i < left.s.rows + left.s.columns; i += THREADS) {
            shifts[i] = i < left.s.rows ? left.down(i) : left.across(i - left.s.rows);
        }
        __syncthreads();
    }
    Round round(left, shifts, from + tid % DEPTH);
    if (tid < DEPTH) entries[0][tid] = round.entry(from + tid < to);

    // What a thread reads with each term: its own tap of every spot, or the terms' taps of its own spots.
    Spot own[turned ? 1 : passes];
    if (turned) {
        const int m = m0 + tid % side * N;
        const Digits k = left.term(m);
        const Tap tap = left.tap(k, left.down(k.high), left.across(k.mid));
        own[0] = {tap.offset, tap.y, m < end ? tap.x : NOWHERE};
    } else {
#pragma unroll
        for (int r = 0; r < passes; ++r) {
            const int m = m0 + tid / side + THREADS / side * r;
            own[r] = left.spot(left.place(m), m < end);
        }
    }
    T sums[TM][TN];
    for (int i = 0; i < TM; ++i)
        for (int j = 0; j < TN; ++j) sums[i][j] = 0;
    const int row = tid / (BN / TN) * TM, column = tid % (BN / TN) * TN;
    __syncthreads();

    int now = 0;
    for (int k0 = from; k0 < to; k0 += DEPTH, now ^= 1) {
        Pack<T, N> read[passes];
        T other[BN * DEPTH / THREADS];
#pragma unroll
        for (int r = 0; r < passes; ++r) {
            const int k = turned ? tid / side + THREADS / side * r : tid % side * N;
            const Entry entry = entries[now][k];
            const Spot mine = own[turned ? 0 : r];
            const bool inside = mine.y + entry.y < height && mine.x + entry.x < width;
            for (int e = 0; e < N; ++e) read[r].at[e] = 0;
            if (inside) read[r] = *reinterpret_cast<const Pack<T, N>*>(left.image + mine.first + first(entry));
        }
#pragma unroll
        for (int i = 0; i < BN * DEPTH / THREADS; ++i) {
            const int at = tid + i * THREADS, k = across ? at / BN : at % DEPTH, n = across ? at % BN : at / DEPTH;
            other[i] = k0 + k < to ? right(k0 + k, n0 + n, entries[now][k]) : (T)0;
        }
#pragma unroll
        for (int r = 0; r < passes; ++r) {
            const int along = tid % side * N, over = tid / side + THREADS / side * r;
            if (turned) {
                *reinterpret_cast<Pack<T, N>*>(a + over * pitch + along) = read[r];
            } else {
                for (int e = 0; e < N; ++e) a[(along + e) * pitch + over] = read[r].at[e];
            }
        }
#pragma unroll
        for (int i = 0; i < BN * DEPTH / THREADS; ++i) {
            const int at = tid + i * THREADS, k = across ? at / BN : at % DEPTH, n = across ? at % BN : at / DEPTH;
            b[k * wide + n] = other[i];
        }
        if (tid < DEPTH) {  // the other half was last read before the barrier of the round before
            round.digits.advance();
            entries[now ^ 1][tid] = round.entry(k0 + DEPTH + tid < to);
        }
        __syncthreads();
#pragma unroll
        for (int k = 0; k < DEPTH && (!turned || m0 + row < end); ++k) {  // few taps leave whole warps without a row
            T x[TM], y[TN];
            for (int i = 0; i < TM; ++i) x[i] = a[k * pitch + row + i];
            for (int j = 0; j < TN; ++j) y[j] = b[k * wide + column + j];
            for (int i = 0; i < TM; ++i)
                for (int j = 0; j < TN; ++j) sums[i][j] += x[i] * y[j];
        }
        __syncthreads();
    }
    for (int i = 0; i < TM; ++i) store(m0 + row + i, n0 + column, sums[i]);
}

// Values of channels n, n + 1, ... of a group of `count` to its row, at once where groups are multiples of so many.
template <class T, int TN>
__device__ void put_channels(T* group, int n, int count, const T (&values)[TN]) {
    if (count % TN == 0) {
        Pack<T, TN> pack;
        for (int j = 0; j < TN; ++j) pack.at[j] = values[j];
        if (n < count) *reinterpret_cast<Pack<T, TN>*>(group + n) = pack;
    } else {
        for (int j = 0; j < TN; ++j) {
            if (n + j < count) group[n + j] = values[j];
        }
    }
}

template <class T, int BM, int BN, int TM, int TN, int N>
__device__ void conv_forward(const T* x, const T* weight, const T* bias, T* y, Shape s, int relu) {
    SHARED(T, shared);
    const int group = blockIdx.z, depth = s.taps() * s.inner(), outer = s.outer();
    const int total = s.images * s.out_height * s.out_width;
    auto right = [=](int k, int n, const Tap&) { return n < outer ? weight[(group * outer + n) * depth + k] : (T)0; };
    auto store = [=](int m, int n, T (&values)[TN]) {
        if (m >= total) return;
        for (int j = 0; j < TN; ++j) {
            if (bias && n + j < outer) values[j] += bias[group * outer + n + j];
            if (relu) values[j] = rectified(values[j]);
        }
        put_channels(y + (long long)m * s.outputs + group * outer, n, outer, values);
    };
    const int m0 = blockIdx.x * BM;
    tile_product<T, BM, BN, TM, TN, N, false, false>(Patches<T>{x, s, group}, right, store, m0, total, 0, depth, shared);
}

template <class T, int BM, int BN, int TM, int TN, int N>
__device__ void conv_input_grad(const T* dout, const T* weight, T* dx, Shape s) {
    SHARED(T, shared);
    const int group = blockIdx.z, inner = s.inner(), depth = s.taps() * s.outer();
    const int total = s.images * s.height * s.width;
    // k = (tap, o), n = c
    auto right = [=](int, int n, const Tap& tap) { return n < inner ? weight[tap.weight + n] : (T)0; };
    auto store = [=](int m, int n, T (&values)[TN]) {
        if (m < total) put_channels(dx + (long long)m * s.channels + group * inner, n, inner, values);
    };
    const int m0 = blockIdx.x * BM;
    tile_product<T, BM, BN, TM, TN, N, false, true>(Returns<T>{dout, s, group}, right, store, m0, total, 0, depth, shared);
}

// A tile (BM, BN) of the weight's gradient (outputs, depth) from the parts that other blocks left, added in order.
template <class T, int BM, int BN>
__device__ void add_parts(
    const T* partial, T* dweight, int parts, int first, int outer, int outputs, int depth, int m0, int end
) {
    static_assert(THREADS % BM == 0, "a thread's elements are all of one row of the tile");
    constexpr int EACH = BM * BN / THREADS, SOME = EACH < 8 ? EACH : 8, AHEAD = 32 / SOME;  // some 32 loads in flight
    const long long apart = (long long)outputs * depth;
    const int m = m0 + threadIdx.x % BM;
    if (m >= end) return;
    for (int i0 = 0; i0 < EACH; i0 += SOME) {
        const int start = blockIdx.y * BN + threadIdx.x / BM + i0 * (THREADS / BM);
        T sums[SOME];
        long long place[SOME];
#pragma unroll
        for (int i = 0; i < SOME; ++i) {
            const int n = start + i * (THREADS / BM);
            place[i] = (long long)(first + (n < outer ? n : 0)) * depth + m;
            sums[i] = 0;
        }
#pragma unroll AHEAD
        for (int part = 0; part < parts; ++part) {
#pragma unroll
            for (int i = 0; i < SOME; ++i) sums[i] += partial[part * apart + place[i]];
        }
#pragma unroll
        for (int i = 0; i < SOME; ++i) {
            if (start + i * (THREADS / BM) < outer) dweight[place[i]] = sums[i];
        }
    }
}

// The rows are cut into parts; the last block of a tile to have done its own adds them all. With one part neither partial
// nor arrived (a counter for each tile) is used.
template <class T, int BM, int BN, int TM, int TN, int N>
__device__ void conv_weight_grad(
    const T* dout, const T* x, T* partial, int* arrived, T* dweight, Shape s, int parts, int each
) {
    SHARED(T, shared);
    const int group = blockIdx.z / parts, part = blockIdx.z % parts, outer = s.outer(), depth = s.taps() * s.inner();
    const int total = s.images * s.out_height * s.out_width, from = part * each;
    const int to = total - from < each ? total : from + each;
    T* target = parts == 1 ? dweight : partial;
    // The tiles share the taps evenly, by the 16 that a warp has.
    const int rows = ((depth + gridDim.x - 1) / gridDim.x + 15) / 16 * 16, m0 = blockIdx.x * rows;
    const int end = min(depth, m0 + rows);
    auto right = [=](int k, int n, const Spot&) {
        return n < outer ? dout[(long long)k * s.outputs + group * outer + n] : (T)0;
    };
    auto store = [=](int m, int n, T (&values)[TN]) {
        for (int j = 0; j < TN; ++j) {
            const long long row = (long long)part * s.outputs + group * outer + n + j;
            if (m < end && n + j < outer) target[row * depth + m] = values[j];
        }
    };
    tile_product<T, BM, BN, TM, TN, N, true, true>(Patches<T>{x, s, group}, right, store, m0, end, from, to, shared);
    if (parts == 1) return;
    const int tile = (group * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    if (!last_to_arrive(arrived + tile, parts)) return;
    add_parts<T, BM, BN>(partial, dweight, parts, group * outer, outer, s.outputs, depth, m0, end);
}

#define SHAPE \
    int images, int height, int width, int channels, int out_height, int out_width, int outputs, int rows, \
    int columns, int down, int right, int top, int left, int apart_y, int apart_x, int groups
#define GIVEN \
    Shape{images, height, width, channels, out_height, out_width, outputs, rows, columns, \
          down, right, top, left, apart_y, apart_x, groups}

// Blocks on a multiprocessor, so that one computes while the others wait: 3 of up to 80 registers a thread, 2 of 128, or 1.
// Tiles of 64, 32 and 16 output channels, reading N elements at once; each width and type has a source of its own.
#define TILES(T, NAME, N, BLOCKS, BM, BN, TM, TN) \
    extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) conv_forward_##NAME##_##T( \
        const T* __restrict__ x, const T* __restrict__ weight, const T* __restrict__ bias, T* __restrict__ y, \
        SHAPE, int relu \
    ) { \
        conv_forward<T, BM, BN, TM, TN, N>(x, weight, bias, y, GIVEN, relu); \
    } \
    extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) conv_input_grad_##NAME##_##T( \
        const T* __restrict__ dout, const T* __restrict__ weight, T* __restrict__ dx, SHAPE \
    ) { \
        conv_input_grad<T, BM, BN, TM, TN, N>(dout, weight, dx, GIVEN); \
    } \
    extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) conv_weight_grad_##NAME##_##T( \
        const T* __restrict__ dout, const T* __restrict__ x, T* partial, int* arrived, T* dweight, \
        SHAPE, int parts, int each \
    ) { \
        conv_weight_grad<T, BM, BN, TM, TN, N>(dout, x, partial, arrived, dweight, GIVEN, parts, each); \
    }
