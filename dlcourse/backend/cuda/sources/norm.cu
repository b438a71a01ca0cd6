// Batch and layer normalization of a matrix, forward and backward (backend/kernels/norm.py has the equations).
//
// Batch norm is two kernels each way: sums down the columns, then the elementwise part, whose blocks add up the parts of
// their columns by themselves. Layer norm gives each row `blockDim.x` threads: a warp, or all of the block.
#include "columns.cuh"
#include "last_block.cuh"

// x less the first row, in double: squares of numbers far from 0 would drown their own variance, and in float also those of
// numbers far from a first row that is no usual one.
template <class T>
__device__ void batch_norm_sums(const T* x, double* partial, long long rows, int columns, int width) {
    SHARED(double, shared);
    auto pairs = [=](long long row, int column, double& first, double& second) {
        const double value = (double)(real<T>)x[row * columns + column] - (double)(real<T>)x[column];
        first += value;
        second += value * value;
    };
    column_partials<double>(pairs, partial, rows, columns, width, shared);
}

template <class T>
__device__ void batch_norm_apply(
    const T* x, const T* weight, const T* bias, const double* partial, T* y, real<T>* mean, real<T>* inverse,
    long long rows, int columns, int width, int parts, double eps, int relu
) {
    SHARED(double, totals);
    column_totals<double>(partial, parts, columns, width, totals);
    const int lane = threadIdx.x % width, group = threadIdx.x / width, groups = COLUMN_THREADS / width;
    const int column = blockIdx.x * width + lane;
    if (column >= columns) return;
    const double shifted = totals[lane] / rows;
    double variance = totals[32 + lane] / rows - shifted * shifted;
    variance = variance > 0 ? variance : (variance == variance ? 0 : variance);  // a NaN stays one
    using R = real<T>;
    const R center = (R)(shifted + (double)(R)x[column]);
    const R scale = (R)(1 / sqrt(variance + eps));
    if (blockIdx.y == 0 && group == 0) {
        mean[column] = center;
        inverse[column] = scale;
    }
    const R factor = scale * weight[column], shift = bias[column];
    const long long step = (long long)gridDim.y * groups;
    for (long long row = (long long)blockIdx.y * groups + group; row < rows; row += step) {
        const R value = (x[row * columns + column] - center) * factor + shift;
        y[row * columns + column] = relu && value < 0 ? (R)0 : value;
    }
}

// Where y > 0, a bit an element, eight to a byte: a thread makes a byte.
template <class T>
__device__ void pack_positive(const T* y, unsigned char* bits, long long count) {
    for (long long i = first_element(); i < (count + 7) / 8; i += element_stride()) {
        unsigned byte = 0;
        for (int k = 0; k < 8 && 8 * i + k < count; ++k) byte |= (unsigned)(y[8 * i + k] > 0) << k;
        bits[i] = (unsigned char)byte;
    }
}

// dy where a ReLU behind the norm let y through; everywhere without one (no bits).
template <class T>
__device__ real<T> passed(const T* dout, const unsigned char* bits, long long i) {
    return bits && !(bits[i / 8] >> (i % 8) & 1) ? (real<T>)0 : (real<T>)dout[i];
}

template <class T>
__device__ void batch_norm_grad_sums(
    const T* dout, const unsigned char* bits, const T* x, const real<T>* mean, const real<T>* inverse, real<T>* partial,
    long long rows, int columns, int width
) {
    SHARED(real<T>, shared);
    auto pairs = [=](long long row, int column, real<T>& first, real<T>& second) {
        const real<T> gradient = passed(dout, bits, row * columns + column);
        first += gradient;
        second += gradient * ((x[row * columns + column] - mean[column]) * inverse[column]);
    };
    column_partials<real<T>>(pairs, partial, rows, columns, width, shared);
}

template <class T>
__device__ void batch_norm_grad_apply(
    const T* dout, const unsigned char* bits, const T* x, const T* weight, const real<T>* mean, const real<T>* inverse, const real<T>* partial,
    T* dx, T* dweight, T* dbias, long long rows, int columns, int width, int parts
) {
    SHARED(double, totals);
    column_totals<real<T>>(partial, parts, columns, width, totals);
    const int lane = threadIdx.x % width, group = threadIdx.x / width, groups = COLUMN_THREADS / width;
    const int column = blockIdx.x * width + lane;
    if (column >= columns) return;
    const double sum = totals[lane], product = totals[32 + lane];
    if (blockIdx.y == 0 && group == 0) {
        dbias[column] = (T)sum;
        dweight[column] = (T)product;
    }
    using R = real<T>;
    const R center = mean[column], scale = inverse[column], factor = scale * weight[column];
    const R share = (R)(sum / rows), slope = (R)(product / rows);
    const long long step = (long long)gridDim.y * groups;
    for (long long row = (long long)blockIdx.y * groups + group; row < rows; row += step) {
        const long long i = row * columns + column;
        dx[i] = factor * (passed(dout, bits, i) - share - (x[i] - center) * scale * slope);
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
    const T* x, const T* weight, const T* bias, T* y, real<T>* mean, real<T>* inverse, long long rows, int columns, real<T> eps
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

template <class T>
__device__ void layer_norm_grad_input(
    const T* dout, const T* x, const T* weight, const real<T>* mean, const real<T>* inverse, T* dx, long long rows, int columns
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
        dx[start + c] = scale * (dout[start + c] * weight[c] - sum - xhat * product);
    }
}

template <class T>
__device__ void layer_norm_grad_sums(
    const T* dout, const T* x, const real<T>* mean, const real<T>* inverse, real<T>* partial, int* arrived,
    T* dweight, T* dbias, long long rows, int columns, int width
) {
    SHARED(real<T>, shared);
    auto pairs = [=](long long row, int column, real<T>& first, real<T>& second) {
        const real<T> gradient = dout[row * columns + column];
        first += gradient;
        second += gradient * ((x[row * columns + column] - mean[row]) * inverse[row]);
    };
    column_partials<real<T>>(pairs, partial, rows, columns, width, shared);
    if (gridDim.y == 1) __syncthreads();  // very wide rows: more columns than counters, a block for all rows of each
    else if (!last_to_arrive(arrived + blockIdx.x, gridDim.y)) return;
    __shared__ double totals[64];
    column_totals<real<T>>(partial, gridDim.y, columns, width, totals);
    const int column = blockIdx.x * width + threadIdx.x;
    if (threadIdx.x < (unsigned)width && column < columns) {
        dbias[column] = (T)totals[threadIdx.x];
        dweight[column] = (T)totals[32 + threadIdx.x];
    }
}

// Running averages of the statistics, moved towards a batch's.
template <class T>
__device__ void update_running_stats(
    T* running_mean, T* running_var, const T* mean, const T* inverse, int columns, double eps, double momentum,
    double correction
) {
    const int column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= columns) return;
    const double variance = (1 / ((double)inverse[column] * inverse[column]) - eps) * correction;
    running_mean[column] = (T)((1 - momentum) * running_mean[column] + momentum * mean[column]);
    running_var[column] = (T)((1 - momentum) * running_var[column] + momentum * variance);
}

FOR_ALL_TYPES(batch_norm_sums,
    (const T* x, double* partial, long long rows, int columns, int width), (x, partial, rows, columns, width))
FOR_ALL_TYPES(batch_norm_apply,
    (const T* x, const T* weight, const T* bias, const double* partial, T* y, real<T>* mean, real<T>* inverse,
     long long rows, int columns, int width, int parts, double eps, int relu),
    (x, weight, bias, partial, y, mean, inverse, rows, columns, width, parts, eps, relu))
FOR_ALL_TYPES(pack_positive, (const T* y, unsigned char* bits, long long count), (y, bits, count))
FOR_ALL_TYPES(batch_norm_grad_sums,
    (const T* dout, const unsigned char* bits, const T* x, const real<T>* mean, const real<T>* inverse, real<T>* partial,
     long long rows, int columns, int width),
    (dout, bits, x, mean, inverse, partial, rows, columns, width))
FOR_ALL_TYPES(batch_norm_grad_apply,
    (const T* dout, const unsigned char* bits, const T* x, const T* weight, const real<T>* mean, const real<T>* inverse,
     const real<T>* partial, T* dx, T* dweight, T* dbias, long long rows, int columns, int width, int parts),
    (dout, bits, x, weight, mean, inverse, partial, dx, dweight, dbias, rows, columns, width, parts))
FOR_ALL_TYPES(layer_norm,
    (const T* x, const T* weight, const T* bias, T* y, real<T>* mean, real<T>* inverse, long long rows, int columns,
     real<T> eps),
    (x, weight, bias, y, mean, inverse, rows, columns, eps))
FOR_ALL_TYPES(layer_norm_grad_input,
    (const T* dout, const T* x, const T* weight, const real<T>* mean, const real<T>* inverse, T* dx, long long rows,
     int columns),
    (dout, x, weight, mean, inverse, dx, rows, columns))
FOR_ALL_TYPES(layer_norm_grad_sums,
    (const T* dout, const T* x, const real<T>* mean, const real<T>* inverse, real<T>* partial, int* arrived, T* dweight,
     T* dbias, long long rows, int columns, int width),
    (dout, x, mean, inverse, partial, arrived, dweight, dbias, rows, columns, width))
FOR_TYPES(update_running_stats,
    (T* running_mean, T* running_var, const T* mean, const T* inverse, int columns, double eps, double momentum,
     double correction),
    (running_mean, running_var, mean, inverse, columns, eps, momentum, correction))
