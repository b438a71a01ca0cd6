// Batch and layer normalization of a matrix, forward and backward (backend/kernels/norm.py has the equations).
//
// Batch norm is two kernels each way: sums down the columns, whose last block makes of them what is one number a column, then
// the elementwise part. Layer norm gives each row a warp, which holds it in registers where it is not too wide, or a block.
#include "activation.cuh"
#include "columns.cuh"

// x less the first row, in double: squares of numbers far from 0 would drown their own variance, and in float also those of
// numbers far from a first row that is no usual one. The running averages, where there are any, move towards the statistics.
template <int V, class T>
__device__ void batch_norm_statistics(
    const T* __restrict__ x, double* partial, int* arrived, real<T>* __restrict__ mean, real<T>* __restrict__ inverse,
    real<T>* __restrict__ running_mean, real<T>* __restrict__ running_var, long long rows, int columns, int width,
    double eps, double momentum, double correction
) {
    using R = real<T>;
    SHARED(double, shared);
    const Spot<V> spot(width);
    double first[V] = {}, second[V] = {};
    if (spot.column < columns) {
        const T* from = x + spot.column;
        const auto shift = pack_at<V>(from, 0);
        for (long long row = spot.first; row < rows; row += AHEAD<T> * spot.step) {
            Pack<T, V> values[AHEAD<T>];
#pragma unroll
            for (int a = 0; a < AHEAD<T>; ++a) {
                const long long next = row + a * spot.step;
                values[a] = pack_at<V>(from + (next < rows ? next : row) * columns, 0);
            }
#pragma unroll
            for (int a = 0; a < AHEAD<T>; ++a) {
#pragma unroll
                for (int v = 0; v < V; ++v) {
                    const double value = (double)(R)values[a].at[v] - (double)(R)shift.at[v];
                    if (row + a * spot.step < rows) {
                        first[v] += value;
                        second[v] += value * value;
                    }
                }
            }
        }
    }
    leave_sums(first, second, partial, columns, width, shared);
    __shared__ double totals[64];
    if (!column_totals(partial, arrived, columns, width, totals)) return;
    const int column = blockIdx.x * width + threadIdx.x;
    if (threadIdx.x >= width || column >= columns) return;
    const double shifted = totals[threadIdx.x] / rows;
    double variance = totals[width + threadIdx.x] / rows - shifted * shifted;
    variance = variance > 0 ? variance : (variance == variance ? 0 : variance);  // a NaN stays one
    const R center = (R)(shifted + (double)(R)x[column]), scale = (R)(1 / sqrt(variance + eps));
    mean[column] = center;
    inverse[column] = scale;
    if (!running_mean) return;
    const double follow = (1 / ((double)scale * scale) - eps) * correction;
    running_mean[column] = (R)((1 - momentum) * running_mean[column] + momentum * center);
    running_var[column] = (R)((1 - momentum) * running_var[column] + momentum * follow);
}

// With a residual: what is added before the ReLU. With bits: where y > 0, a bit an element, eight to a byte, of columns that are
// a multiple of eight.
template <int V, class T>
__device__ void batch_norm_apply(
    const T* __restrict__ x, const T* __restrict__ weight, const T* __restrict__ bias, const real<T>* __restrict__ mean,
    const real<T>* __restrict__ inverse, const T* __restrict__ residual, T* __restrict__ y,
    unsigned char* __restrict__ bits, long long rows, int columns, int width, int relu
) {
    using R = real<T>;
    const Spot<V> spot(width);
    const bool inside = spot.column < columns;
    R center[V], factor[V], shift[V];
#pragma unroll
    for (int v = 0; v < V; ++v) {
        const int column = inside ? spot.column + v : 0;
        center[v] = mean[column];
        factor[v] = inverse[column] * (R)weight[column];
        shift[v] = bias[column];
    }
    // All threads of a block go round together: the lanes of a warp make bytes of their bits together.
    long long row = spot.first;
    for (long long base = spot.base; base < rows; base += AHEAD<T> * spot.step, row += AHEAD<T> * spot.step) {
        Pack<T, V> values[AHEAD<T>], added[AHEAD<T>];
#pragma unroll
        for (int a = 0; a < AHEAD<T>; ++a) {
            const long long next = row + a * spot.step, i = next * columns + spot.column;
            if (inside && next < rows) {
                values[a] = pack_at<V>(x + i, 0);
                if (residual) added[a] = pack_at<V>(residual + i, 0);
            }
        }
#pragma unroll
        for (int a = 0; a < AHEAD<T>; ++a) {
            const long long next = row + a * spot.step, i = next * columns + spot.column;
            const bool there = inside && next < rows;
            unsigned positive = 0;
            if (there) {
#pragma unroll
                for (int v = 0; v < V; ++v) {
                    R value = ((R)values[a].at[v] - center[v]) * factor[v] + shift[v];
                    if (residual) value += (R)added[a].at[v];
                    if (relu) value = rectified(value);
                    positive |= (unsigned)(value > 0) << v;
                    values[a].at[v] = value;
                }
                put_pack<V>(y + i, 0, values[a]);
            }
            if (bits) {
#pragma unroll
                for (int have = V, apart = 1; have < 8; have *= 2, apart *= 2) {
                    positive |= __shfl_down_sync(FULL_WARP, positive, apart) << have;
                }
                if (there && i % 8 == 0) bits[i / 8] = (unsigned char)positive;
            }
        }
    }
}

// Where y > 0, for columns that are no multiple of eight: a thread makes a byte.
template <class T>
__device__ void pack_positive(const T* __restrict__ y, unsigned char* __restrict__ bits, long long count) {
    for (long long i = first_element(); i < (count + 7) / 8; i += element_stride()) {
        unsigned byte = 0;
        for (int k = 0; k < 8 && 8 * i + k < count; ++k) byte |= (unsigned)(y[8 * i + k] > 0) << k;
        bits[i] = (unsigned char)byte;
    }
}

// V bits of elements i, i + 1, ...; with V = 4 i is a multiple of four.
template <int V>
__device__ unsigned open_bits(const unsigned char* bits, long long i) { return bits[i / 8] >> (i % 8) & ((1 << V) - 1); }

// The sums of dz and of dz xhat over the rows, and with them dbias, dweight and `means` (2, columns), both over the rows. dz is dy,
// or dy and `more` added, where a ReLU behind the norm let y through: where bits are set, or y > 0; everywhere without either.
// It is written where there is a place for it.
template <int V, class T>
__device__ void batch_norm_grad_sums(
    const T* __restrict__ dout, const T* __restrict__ more, const unsigned char* __restrict__ bits, const T* __restrict__ y,
    const T* __restrict__ x, const real<T>* __restrict__ mean, const real<T>* __restrict__ inverse, T* __restrict__ dz,
    real<T>* partial, int* arrived, real<T>* __restrict__ means, T* __restrict__ dweight, T* __restrict__ dbias,
    long long rows, int columns, int width
) {
    using R = real<T>;
    SHARED(R, shared);
    const Spot<V> spot(width);
    R first[V] = {}, second[V] = {};
    if (spot.column < columns) {
        R center[V], scale[V];
#pragma unroll
        for (int v = 0; v < V; ++v) {
            center[v] = mean[spot.column + v];
            scale[v] = inverse[spot.column + v];
        }
        for (long long row = spot.first; row < rows; row += AHEAD<T> * spot.step) {
            Pack<T, V> gradients[AHEAD<T>], others[AHEAD<T>], inputs[AHEAD<T>];
            unsigned open[AHEAD<T>];
#pragma unroll
            for (int a = 0; a < AHEAD<T>; ++a) {
                const long long next = row + a * spot.step, i = next * columns + spot.column;
                if (next >= rows) continue;
                gradients[a] = pack_at<V>(dout + i, 0);
                if (more) others[a] = pack_at<V>(more + i, 0);
                inputs[a] = pack_at<V>(x + i, 0);
                open[a] = bits ? open_bits<V>(bits, i) : ~0u;
                if (y) {
                    const auto result = pack_at<V>(y + i, 0);
                    open[a] = 0;
#pragma unroll
                    for (int v = 0; v < V; ++v) open[a] |= (unsigned)((R)result.at[v] > 0) << v;
                }
            }
#pragma unroll
            for (int a = 0; a < AHEAD<T>; ++a) {
                const long long next = row + a * spot.step;
                if (next >= rows) continue;
#pragma unroll
                for (int v = 0; v < V; ++v) {
                    R gradient = gradients[a].at[v];
                    if (more) gradient += (R)others[a].at[v];
                    if (!(open[a] >> v & 1)) gradient = 0;
                    first[v] += gradient;
                    second[v] += gradient * (((R)inputs[a].at[v] - center[v]) * scale[v]);
                    gradients[a].at[v] = gradient;
                }
                if (dz) put_pack<V>(dz + next * columns + spot.column, 0, gradients[a]);
            }
        }
    }
    leave_sums(first, second, partial, columns, width, shared);
    __shared__ double totals[64];
    if (!column_totals(partial, arrived, columns, width, totals)) return;
    const int column = blockIdx.x * width + threadIdx.x;
    if (threadIdx.x >= width || column >= columns) return;
    const double sum = totals[threadIdx.x], product = totals[width + threadIdx.x];
    dbias[column] = (T)(R)sum;
    dweight[column] = (T)(R)product;
    means[column] = (R)(sum / rows);
    means[columns + column] = (R)(product / rows);
}

// dx of dz: of dy, only where bits are set if there are any.
template <int V, class T>
__device__ void batch_norm_grad_apply(
    const T* __restrict__ dout, const unsigned char* __restrict__ bits, const T* __restrict__ x,
    const T* __restrict__ weight, const real<T>* __restrict__ mean, const real<T>* __restrict__ inverse,
    const real<T>* __restrict__ means, T* __restrict__ dx, long long rows, int columns, int width
) {
    using R = real<T>;
    const Spot<V> spot(width);
    if (spot.column >= columns) return;
    R center[V], scale[V], factor[V], share[V], slope[V];
#pragma unroll
    for (int v = 0; v < V; ++v) {
        const int column = spot.column + v;
        center[v] = mean[column];
        scale[v] = inverse[column];
        factor[v] = scale[v] * (R)weight[column];
        share[v] = means[column];
        slope[v] = means[columns + column];
    }
    for (long long row = spot.first; row < rows; row += AHEAD<T> * spot.step) {
        Pack<T, V> gradients[AHEAD<T>], inputs[AHEAD<T>];
        unsigned open[AHEAD<T>];
#pragma unroll
        for (int a = 0; a < AHEAD<T>; ++a) {
            const long long next = row + a * spot.step, i = next * columns + spot.column;
            if (next >= rows) continue;
            gradients[a] = pack_at<V>(dout + i, 0);
            inputs[a] = pack_at<V>(x + i, 0);
            open[a] = bits ? open_bits<V>(bits, i) : ~0u;
        }
#pragma unroll
        for (int a = 0; a < AHEAD<T>; ++a) {
            const long long next = row + a * spot.step;
            if (next >= rows) continue;
#pragma unroll
            for (int v = 0; v < V; ++v) {
                const R gradient = open[a] >> v & 1 ? (R)gradients[a].at[v] : (R)0;
                inputs[a].at[v] = factor[v] * (gradient - share[v] - ((R)inputs[a].at[v] - center[v]) * scale[v] * slope[v]);
            }
            put_pack<V>(dx + next * columns + spot.column, 0, inputs[a]);
        }
    }
}

// The sum over the blockDim.x threads of a row (whole warps), for each of them. With more than a warp, blockDim.y is 1.
template <class T>
__device__ T row_sum(T value, T* shared) {
    for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(0xffffffffu, value, offset);
    if (blockDim.x > 32) {
        __syncthreads();  // a thread may still read the sum before
        if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = value;
        __syncthreads();
        value = 0;
        for (int warp = 0; warp < (int)blockDim.x / 32; ++warp) value += shared[warp];
    }
    return value;
}

template <class T>
__device__ void layer_norm(
    const T* __restrict__ x, const T* __restrict__ weight, const T* __restrict__ bias, T* __restrict__ y,
    real<T>* __restrict__ mean, real<T>* __restrict__ inverse, long long rows, int columns, real<T> eps
) {
    SHARED(real<T>, shared);
    // All threads of a warp, and of a block that shares a row, have the same row: they leave together.
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const bool there = row < rows;
    const T* from = x + (there ? row : 0) * columns;
    real<T> sum = 0;
    for (int c = threadIdx.x; c < columns; c += blockDim.x) sum += from[c];
    const real<T> center = row_sum(sum, shared) / columns;
    real<T> squares = 0;
    for (int c = threadIdx.x; c < columns; c += blockDim.x) squares += (from[c] - center) * (from[c] - center);
    const real<T> scale = 1 / sqrt(row_sum(squares, shared) / columns + eps);
    if (!there) return;
    if (threadIdx.x == 0) {
        mean[row] = center;
        inverse[row] = scale;
    }
    for (int c = threadIdx.x; c < columns; c += blockDim.x) {
        y[row * columns + c] = (from[c] - center) * scale * weight[c] + bias[c];
    }
}

// A row of up to 128 K columns, a multiple of four, that a warp holds in registers: a lane has K packs of four.
template <int K, class T>
struct HeldRow {
    Pack<T, 4> at[K];

    __device__ static int column(int k) { return (k * 32 + threadIdx.x) * 4; }
    __device__ void read(const T* from, int columns) {
#pragma unroll
        for (int k = 0; k < K; ++k) {
            if (column(k) < columns) at[k] = pack_at<4>(from + column(k), 0);
        }
    }
    // f(k, e, column) for all of the lane's columns.
    template <class F>
    __device__ static void each(int columns, F f) {
#pragma unroll
        for (int k = 0; k < K; ++k) {
            if (column(k) >= columns) continue;
#pragma unroll
            for (int e = 0; e < 4; ++e) f(k, e, column(k) + e);
        }
    }
    __device__ void write(T* to, int columns) const {
#pragma unroll
        for (int k = 0; k < K; ++k) {
            if (column(k) < columns) put_pack<4>(to + column(k), 0, at[k]);
        }
    }
};

template <int K, class T>
__device__ void layer_norm_held(
    const T* __restrict__ x, const T* __restrict__ weight, const T* __restrict__ bias, T* __restrict__ y,
    real<T>* __restrict__ mean, real<T>* __restrict__ inverse, long long rows, int columns, real<T> eps
) {
    using R = real<T>;
    using Held = HeldRow<K, T>;
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    if (row >= rows) return;
    Held held;
    held.read(x + row * columns, columns);
    R sum = 0, squares = 0;
    Held::each(columns, [&](int k, int e, int) { sum += (R)held.at[k].at[e]; });
    const R center = warp_sum(sum) / columns;
    Held::each(columns, [&](int k, int e, int) {
        const R off = (R)held.at[k].at[e] - center;
        squares += off * off;
    });
    const R scale = 1 / sqrt(warp_sum(squares) / columns + eps);
    if (threadIdx.x == 0) {
        mean[row] = center;
        inverse[row] = scale;
    }
    Held::each(columns, [&](int k, int e, int c) {
        held.at[k].at[e] = ((R)held.at[k].at[e] - center) * scale * (R)weight[c] + (R)bias[c];
    });
    held.write(y + row * columns, columns);
}

// The three gradients in one pass; `more`, if given, is added to dx. A block of (32, 8) has every gridDim.x-th eight rows, and
// leaves its sums over them in partial (gridDim.x, 2, columns). The last of sixteen blocks adds theirs in `grouped`, the last of
// these sums all.
constexpr int NORM_GROUP = 16;

template <int K, class T>
__device__ void layer_norm_grad_held(
    const T* __restrict__ dout, const T* __restrict__ more, const T* __restrict__ x, const T* __restrict__ weight,
    const real<T>* __restrict__ mean, const real<T>* __restrict__ inverse, T* __restrict__ dx, real<T>* partial, double* grouped, int* arrived,
    T* __restrict__ dweight, T* __restrict__ dbias, long long rows, int columns
) {
    using R = real<T>;
    using Held = HeldRow<K, T>;
    SHARED(R, sums);  // (2, columns)
    R gain[K][4], first[K][4], second[K][4];
#pragma unroll
    for (int k = 0; k < K; ++k) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
            gain[k][e] = Held::column(k) < columns ? (R)weight[Held::column(k) + e] : (R)0;
            first[k][e] = second[k][e] = 0;
        }
    }
    const R share = (R)1 / columns;
    const long long step = (long long)gridDim.x * blockDim.y;
    for (long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y; row < rows; row += step) {
        Held gradient, input, added;
        gradient.read(dout + row * columns, columns);
        if (more) added.read(more + row * columns, columns);
        input.read(x + row * columns, columns);
        const R center = mean[row], scale = inverse[row];
        R sum = 0, product = 0;
        Held::each(columns, [&](int k, int e, int) {
            const R dy = gradient.at[k].at[e], xhat = ((R)input.at[k].at[e] - center) * scale;
            sum += dy * gain[k][e];
            product += dy * gain[k][e] * xhat;
            first[k][e] += dy;
            second[k][e] += dy * xhat;
        });
        sum = warp_sum(sum) * share;
        product = warp_sum(product) * share;
        Held::each(columns, [&](int k, int e, int) {
            const R xhat = ((R)input.at[k].at[e] - center) * scale;
            R din = scale * ((R)gradient.at[k].at[e] * gain[k][e] - sum - xhat * product);
            if (more) din += (R)added.at[k].at[e];
            input.at[k].at[e] = din;
        });
        input.write(dx + row * columns, columns);
    }
    for (int warp = 0; warp < (int)blockDim.y; ++warp) {
        if (warp == (int)threadIdx.y) {
            Held::each(columns, [&](int k, int e, int c) {
                sums[c] = warp ? sums[c] + first[k][e] : first[k][e];
                sums[columns + c] = warp ? sums[columns + c] + second[k][e] : second[k][e];
            });
        }
        __syncthreads();
    }
    const int all = 2 * columns, thread = threadIdx.y * 32 + threadIdx.x, threads = 32 * blockDim.y;
    for (int i = thread; i < all; i += threads) partial[(long long)blockIdx.x * all + i] = sums[i];
    const int group = blockIdx.x / NORM_GROUP, groups = (gridDim.x + NORM_GROUP - 1) / NORM_GROUP;
    const int start = group * NORM_GROUP, members = min(NORM_GROUP, (int)gridDim.x - start);
    if (!last_to_arrive(arrived + 1 + group, members)) return;
    for (int i = thread; i < all; i += threads) {
        double total = 0;
#pragma unroll 8
        for (int member = 0; member < members; ++member) total += (double)partial[(long long)(start + member) * all + i];
        grouped[(long long)group * all + i] = total;
    }
    if (!last_to_arrive(arrived, groups)) return;
    for (int i = thread; i < all; i += threads) {
        double total = 0;
#pragma unroll 8
        for (int other = 0; other < groups; ++other) total += grouped[(long long)other * all + i];
        (i < columns ? dbias[i] : dweight[i - columns]) = (T)(R)total;
    }
}

template <class T>
__device__ void layer_norm_grad_input(
    const T* __restrict__ dout, const T* __restrict__ more, const T* __restrict__ x, const T* __restrict__ weight,
    const real<T>* __restrict__ mean, const real<T>* __restrict__ inverse, T* __restrict__ dx, long long rows, int columns
) {
    SHARED(real<T>, shared);
    const long long row = (long long)blockIdx.x * blockDim.y + threadIdx.y;
    const bool there = row < rows;
    const long long start = (there ? row : 0) * columns;
    const real<T> center = mean[there ? row : 0], scale = inverse[there ? row : 0];
    real<T> sum = 0, product = 0;
    for (int c = threadIdx.x; c < columns; c += blockDim.x) {
        const real<T> g = dout[start + c] * weight[c];
        sum += g;
        product += g * ((x[start + c] - center) * scale);
    }
    sum = row_sum(sum, shared) / columns;
    product = row_sum(product, shared) / columns;
    if (!there) return;
    for (int c = threadIdx.x; c < columns; c += blockDim.x) {
        const real<T> xhat = (x[start + c] - center) * scale;
        const real<T> din = scale * (dout[start + c] * weight[c] - sum - xhat * product);
        dx[start + c] = more ? din + (real<T>)more[start + c] : din;
    }
}

template <class T>
__device__ void layer_norm_grad_sums(
    const T* __restrict__ dout, const T* __restrict__ x, const real<T>* __restrict__ mean, const real<T>* __restrict__ inverse,
    real<T>* partial, int* arrived, T* __restrict__ dweight, T* __restrict__ dbias, long long rows, int columns, int width
) {
    using R = real<T>;
    SHARED(R, shared);
    const Spot<1> spot(width);
    R first[1] = {}, second[1] = {};
    if (spot.column < columns) {
#pragma unroll 4
        for (long long row = spot.first; row < rows; row += spot.step) {
            const R gradient = dout[row * columns + spot.column];
            first[0] += gradient;
            second[0] += gradient * (((R)x[row * columns + spot.column] - mean[row]) * inverse[row]);
        }
    }
    leave_sums(first, second, partial, columns, width, shared);
    __shared__ double totals[64];
    if (!column_totals(partial, arrived, columns, width, totals)) return;
    const int column = blockIdx.x * width + threadIdx.x;
    if (threadIdx.x >= width || column >= columns) return;
    dbias[column] = (T)(R)totals[threadIdx.x];
    dweight[column] = (T)(R)totals[width + threadIdx.x];
}

// An entry point for each type, whose threads have four neighbors at once where `wide` says so.
#define WIDE_OR_NOT(name, suffix, type, parameters, arguments)  \
    namespace entry_##name##_##suffix {                         \
    using T = type;                                             \
    extern "C" __global__ void name##_##suffix parameters {     \
        if (wide) name<4, T> arguments;                         \
        else name<1, T> arguments;                              \
    }                                                           \
    }
#define FOR_ALL_TYPES_AND_WIDTHS(name, parameters, arguments)     \
    WIDE_OR_NOT(name, float, float, parameters, arguments)        \
    WIDE_OR_NOT(name, double, double, parameters, arguments)      \
    WIDE_OR_NOT(name, half, half, parameters, arguments)          \
    WIDE_OR_NOT(name, bfloat16, bfloat16, parameters, arguments)

FOR_ALL_TYPES_AND_WIDTHS(batch_norm_statistics,
    (const T* __restrict__ x, double* partial, int* arrived, real<T>* __restrict__ mean, real<T>* __restrict__ inverse,
     real<T>* __restrict__ running_mean, real<T>* __restrict__ running_var, long long rows, int columns, int width,
     double eps, double momentum, double correction, int wide),
    (x, partial, arrived, mean, inverse, running_mean, running_var, rows, columns, width, eps, momentum, correction))
FOR_ALL_TYPES_AND_WIDTHS(batch_norm_apply,
    (const T* __restrict__ x, const T* __restrict__ weight, const T* __restrict__ bias, const real<T>* __restrict__ mean,
     const real<T>* __restrict__ inverse, const T* __restrict__ residual, T* __restrict__ y,
     unsigned char* __restrict__ bits, long long rows, int columns, int width, int relu, int wide),
    (x, weight, bias, mean, inverse, residual, y, bits, rows, columns, width, relu))
FOR_ALL_TYPES_AND_WIDTHS(batch_norm_grad_sums,
    (const T* __restrict__ dout, const T* __restrict__ more, const unsigned char* __restrict__ bits,
     const T* __restrict__ y, const T* __restrict__ x, const real<T>* __restrict__ mean,
     const real<T>* __restrict__ inverse, T* __restrict__ dz, real<T>* partial, int* arrived, real<T>* __restrict__ means,
     T* __restrict__ dweight, T* __restrict__ dbias, long long rows, int columns, int width, int wide),
    (dout, more, bits, y, x, mean, inverse, dz, partial, arrived, means, dweight, dbias, rows, columns, width))
FOR_ALL_TYPES_AND_WIDTHS(batch_norm_grad_apply,
    (const T* __restrict__ dout, const unsigned char* __restrict__ bits, const T* __restrict__ x,
     const T* __restrict__ weight, const real<T>* __restrict__ mean, const real<T>* __restrict__ inverse,
     const real<T>* __restrict__ means, T* __restrict__ dx, long long rows, int columns, int width, int wide),
    (dout, bits, x, weight, mean, inverse, means, dx, rows, columns, width))
FOR_ALL_TYPES(pack_positive, (const T* __restrict__ y, unsigned char* __restrict__ bits, long long count), (y, bits, count))
// `held`: the packs of a lane where a warp holds its row in registers, 0 where rows are too wide or lie otherwise.
#define LAYER_NORM(suffix, type) \
    namespace entry_layer_norm_##suffix { \
    using T = type; \
    extern "C" __global__ void layer_norm_##suffix( \
        const T* __restrict__ x, const T* __restrict__ weight, const T* __restrict__ bias, T* __restrict__ y, \
        real<T>* __restrict__ mean, real<T>* __restrict__ inverse, long long rows, int columns, real<T> eps, int held \
    ) { \
        if (held == 1) layer_norm_held<1, T>(x, weight, bias, y, mean, inverse, rows, columns, eps); \
        else if (held) layer_norm_held<4, T>(x, weight, bias, y, mean, inverse, rows, columns, eps); \
        else layer_norm<T>(x, weight, bias, y, mean, inverse, rows, columns, eps); \
    } \
    extern "C" __global__ void layer_norm_grad_##suffix( \
        const T* __restrict__ dout, const T* __restrict__ more, const T* __restrict__ x, const T* __restrict__ weight, \
        const real<T>* __restrict__ mean, const real<T>* __restrict__ inverse, T* __restrict__ dx, real<T>* partial, \
        double* grouped, int* arrived, T* __restrict__ dweight, T* __restrict__ dbias, long long rows, int columns, \
        int held \
    ) { \
        if (held == 1) { \
            layer_norm_grad_held<1, T>( \
                dout, more, x, weight, mean, inverse, dx, partial, grouped, arrived, dweight, dbias, rows, columns); \
        } else { \
            layer_norm_grad_held<4, T>( \
                dout, more, x, weight, mean, inverse, dx, partial, grouped, arrived, dweight, dbias, rows, columns); \
        } \
    } \
    }
LAYER_NORM(float, float)
LAYER_NORM(double, double)
LAYER_NORM(half, half)
LAYER_NORM(bfloat16, bfloat16)
FOR_ALL_TYPES(layer_norm_grad_input,
    (const T* __restrict__ dout, const T* __restrict__ more, const T* __restrict__ x, const T* __restrict__ weight,
     const real<T>* __restrict__ mean, const real<T>* __restrict__ inverse, T* __restrict__ dx, long long rows, int columns),
    (dout, more, x, weight, mean, inverse, dx, rows, columns))
FOR_ALL_TYPES(layer_norm_grad_sums,
    (const T* __restrict__ dout, const T* __restrict__ x, const real<T>* __restrict__ mean,
     const real<T>* __restrict__ inverse, real<T>* partial, int* arrived, T* __restrict__ dweight,
     T* __restrict__ dbias, long long rows, int columns, int width),
    (dout, x, mean, inverse, partial, arrived, dweight, dbias, rows, columns, width))
