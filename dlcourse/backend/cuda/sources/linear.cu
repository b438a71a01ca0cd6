// Sums down the columns of a matrix row-major, the gradient of a bias: on its own, or of a gradient that goes through an
// activation on the way, in one pass over it. Always added in one order.
#define LAUNCH_BOUNDS __launch_bounds__(256, sizeof(T) > 4 ? 1 : 4)
#include "activation.cuh"
#include "last_block.cuh"
#include "packs.cuh"

constexpr int EACH = 4;     // columns of a thread
constexpr int ROWS = 4;     // that a thread asks for before it adds the first
constexpr int THREADS = 256;

// out[c] = sum over rows of the numbers at the places of (row, c), each place visited once: number(place, load(Width<W>(),
// place)) gives the W numbers that start there, in two steps, so that all that is loaded is asked for first. A block of (width, THREADS / width), powers of two, takes width * EACH columns and every
// gridDim.y-th group of rows; its sums go to partial (gridDim.y, gridDim.x, width, EACH), which the last block of these
// columns adds up. With one block for all rows neither partial nor arrived (a counter for each blockIdx.x) is used. A thread
// has EACH columns beside each other where all rows lie so that packs may be read, else one in each of EACH groups.
template <class T, class Load, class Number>
__device__ void sum_columns(
    Load load, Number number, bool packs, real<T>* partial, int* arrived, T* out, long long rows, int columns
) {
    using R = real<T>;
    using Sums = Pack<R, EACH>;
    __shared__ Sums sums[THREADS];
    const int width = blockDim.x, groups = blockDim.y, slot = threadIdx.y * width + threadIdx.x;
    const int base = blockIdx.x * width * EACH;
    const bool alone = gridDim.y == 1;
    packs = packs && columns % EACH == 0;
    const auto column = [=](int k) { return base + (packs ? (int)threadIdx.x * EACH + k : (int)threadIdx.x + k * width); };
    const auto adds = [](Sums& total, const Sums& more) {
        for (int k = 0; k < EACH; ++k) total.at[k] += more.at[k];
    };
    const auto add_groups = [&](const Sums& mine) {
        sums[slot] = mine;
        __syncthreads();
        for (int half = groups / 2; half > 0; half /= 2) {
            if (threadIdx.y < half) adds(sums[slot], sums[slot + half * width]);
            __syncthreads();
        }
    };
    const auto write = [&] {
        if (threadIdx.y != 0) return;
        for (int k = 0; k < EACH; ++k) {
            if (column(k) < columns) out[column(k)] = sums[slot].at[k];
        }
    };

    Sums sum{};
    const long long step = (long long)gridDim.y * groups;
    long long row = (long long)blockIdx.y * groups + threadIdx.y;
    if (packs && column(0) < columns) {
        const long long apart = step * columns;
        long long place = row * columns + column(0);
        for (; row + (ROWS - 1) * step < rows; row += ROWS * step, place += ROWS * apart) {
            decltype(load(Width<EACH>(), 0)) held[ROWS];
            for (int r = 0; r < ROWS; ++r) held[r] = load(Width<EACH>(), place + r * apart);
            for (int r = 0; r < ROWS; ++r) adds(sum, number(place + r * apart, held[r]));
        }
        for (; row < rows; row += step, place += apart) adds(sum, number(place, load(Width<EACH>(), place)));
    } else if (!packs) {
#pragma unroll 1
        for (; row < rows; row += step) {
            const long long place = row * columns;
            decltype(load(Width<1>(), 0)) held[EACH];
            for (int k = 0; k < EACH; ++k) {
                if (column(k) < columns) held[k] = load(Width<1>(), place + column(k));
            }
            for (int k = 0; k < EACH; ++k) {
                if (column(k) < columns) sum.at[k] += number(place + column(k), held[k]).at[0];
            }
        }
    }
    add_groups(sum);
    if (alone) {
        write();
        return;
    }
    R* const mine = partial + ((long long)blockIdx.x * width + threadIdx.x) * EACH;
    const long long part = (long long)gridDim.x * width * EACH;
    if (threadIdx.y == 0) put_pack_to(mine + blockIdx.y * part, sums[slot]);
    if (!last_to_arrive(arrived + blockIdx.x, gridDim.y)) return;
    sum = Sums{};
    for (int i = threadIdx.y; i < gridDim.y; i += groups) adds(sum, pack_from<EACH>(mine + i * part));
    add_groups(sum);
    write();
}

template <class T>
__device__ void column_sums(const T* x, real<T>* partial, int* arrived, T* out, long long rows, int columns) {
    const auto load = [=](auto width, long long i) { return pack_from<decltype(width)::value>(x + i); };
    const auto number = [](long long, auto held) { return mapped<real<T>>([](real<T> v) { return v; }, held); };
    sum_columns(load, number, packable<EACH>(x), partial, arrived, out, rows, columns);
}

// What lies at one place of two arrays.
template <class T, int W> struct Two { Pack<T, W> first, second; };

// Of f(dout, other), which also goes to dz.
template <class T, class F>
__device__ void sum_through(
    F f, const T* dout, const T* other, T* dz, real<T>* partial, int* arrived, T* dbias, long long rows, int columns
) {
    const auto load = [=](auto width, long long i) {
        constexpr int W = decltype(width)::value;
        return Two<T, W>{pack_from<W>(dout + i), pack_from<W>(other + i)};
    };
    const auto number = [=](long long i, auto held) {
        const auto values = mapped<real<T>>(f, held.first, held.second);
        put_pack_to(dz + i, mapped<T>([](real<T> v) { return v; }, values));
        return values;
    };
    sum_columns(load, number, packable<EACH>(dout, other, dz), partial, arrived, dbias, rows, columns);
}

template <class T>
__device__ void relu_bias_grad(
    const T* dout, const T* y, T* dz, real<T>* partial, int* arrived, T* dbias, long long rows, int columns
) {
    const auto masked = [](real<T> d, real<T> v) { return v > 0 ? d : 0; };
    sum_through(masked, dout, y, dz, partial, arrived, dbias, rows, columns);
}

template <class T>
__device__ void gelu_tanh_bias_grad(
    const T* dout, const T* z, T* dz, real<T>* partial, int* arrived, T* dbias, long long rows, int columns
) {
    const auto sloped = [](real<T> d, real<T> v) { return d * gelu_tanh_slope(v); };
    sum_through(sloped, dout, z, dz, partial, arrived, dbias, rows, columns);
}

// `partial` is written by one block and read by another: no __restrict__, which would let a read move over the barrier. Nor
// have the gradients any: the compiler would move loads that ROWS asks for together back between the stores.
FOR_ALL_TYPES(
    column_sums,
    (const T* __restrict__ x, real<T>* partial, int* arrived, T* __restrict__ out, long long rows, int columns),
    (x, partial, arrived, out, rows, columns))
FOR_ALL_TYPES(
    relu_bias_grad,
    (const T* dout, const T* y, T* dz, real<T>* partial, int* arrived,
     T* __restrict__ dbias, long long rows, int columns),
    (dout, y, dz, partial, arrived, dbias, rows, columns))
FOR_ALL_TYPES(
    gelu_tanh_bias_grad,
    (const T* dout, const T* z, T* dz, real<T>* partial, int* arrived,
     T* __restrict__ dbias, long long rows, int columns),
    (dout, z, dz, partial, arrived, dbias, rows, columns))
