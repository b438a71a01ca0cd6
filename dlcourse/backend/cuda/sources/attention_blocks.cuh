// Attention block by block (backend/kernels/attention.py is the specification; Dao et al. 2022): the scores of 64 queries
// and 64 keys are made in registers, used and forgotten, so nothing of size T x S is written down. Forward keeps a running
// maximum and sum of each row, corrects what it has added up so far when the maximum grows, and leaves the logarithm of the
// sum, from which the gradients make the weights again: P = exp(S - log sum).
//
//   forward            a block owns 64 queries and goes over the keys       y, log sums
//   gradient, queries  a block owns 64 queries and goes over the keys       dQ, and rowsum(dY Y) = rowsum(dP P)
//   gradient, keys     a block owns 64 keys and goes over the queries       dK and dV
//
// Each result is added up by one thread in a fixed order. 256 threads, 16 x 16: of a product each has 4 rows that lie
// together, and every 16th column of scores; of a result of width W, W / 16 columns.
#pragma once
#include "common.cuh"

constexpr int SIDE = 64, THREADS = 256, ACROSS = 16, EACH = SIDE / ACROSS;

// An array that does not lie without gaps: its strides come with it.
template <class T> using strided = T;

// Neighbors that are read or written at once.
template <class T, int N>
struct alignas(N * sizeof(T) < 16 ? N * sizeof(T) : 16) Pack { T at[N]; };

// Shared memory of a kernel that computes in R, within the 48 KiB that need no permission: the weights of a block of scores,
// and terms of two products. Rows are 16 bytes longer than their contents, so that neighbors lie in different banks.
template <class R>
struct Room {
    static constexpr int depth = sizeof(R) == 8 ? 8 : 32, pad = 16 / sizeof(R);
    static constexpr int pitch = depth + pad, wide = SIDE + pad;
    static constexpr int left = SIDE * wide, right = left + SIDE * pitch;
};

// Where the first elements of batch n and head h lie, and how far its rows are apart.
struct Lie {
    long long batch, head, row;
};

// The rows of one head, whose width and addresses are multiples of four elements.
template <class T>
struct Rows {
    const T* first;
    long long apart;
    int count, width;
};

struct Sizes {
    int heads, steps, keys, width, causal;

    // The first key that query t does not see for the causal mask, and the first query that sees key s.
    __device__ int end(int t) const { return causal ? max(0, min(keys, t + keys - steps + 1)) : keys; }
    __device__ int start(int s) const { return causal ? max(0, s + steps - keys) : 0; }
};

// Of the grid: which head of which batch a block works at, and where the rows that it owns begin. Those that have most to do
// under a causal mask start first: the last queries, the first keys.
struct Work {
    int batch, head, first;

    __device__ Work(int count, int heads, bool last_first) {
        const int tiles = (count + SIDE - 1) / SIDE, both = blockIdx.x / tiles;
        batch = both / heads;
        head = both % heads;
        const int place = blockIdx.x % tiles;
        first = (last_first ? tiles - 1 - place : place) * SIDE;
    }
    template <class T>
    __device__ Rows<T> rows(const T* array, Lie lie, int count, const Sizes& sizes) const {
        return {array + batch * lie.batch + head * lie.head, lie.row, count, sizes.width};
    }
};

// What hides or drops a weight.
template <class R>
struct Weights {
    const unsigned char* mask;
    const R* kept;
    long long down, right;
    Sizes sizes;

    __device__ Weights(
        const unsigned char* mask, Lie lie, long long right, const R* kept, const Work& work, const Sizes& sizes
    ) : mask(mask ? mask + work.batch * lie.batch + work.head * lie.head : mask),
        kept(kept ? kept + ((long long)work.batch * sizes.heads + work.head) * sizes.steps * sizes.keys : kept),
        down(lie.row), right(right), sizes(sizes) {}

    __device__ bool seen(int t, int s) const {
        return t < sizes.steps && s < sizes.end(t) && (!mask || mask[t * down + s * right]);
    }
    __device__ R factor(int t, int s) const { return kept ? kept[(long long)t * sizes.keys + s] : (R)1; }
};

__device__ inline int mine() { return threadIdx.x / ACROSS * EACH; }  // this thread's first row
__device__ inline int warp_start() { return threadIdx.x / 32 * 32 / ACROSS * EACH; }  // the first of its warp's eight
__device__ inline int lane() { return threadIdx.x % ACROSS; }

// Of the 16 threads that have the same rows.
template <class R>
__device__ R row_sum(R value) {
    for (int offset = ACROSS / 2; offset > 0; offset /= 2) value += __shfl_xor_sync(FULL_WARP, value, offset);
    return value;
}
template <class R>
__device__ R row_max(R value) {
    for (int offset = ACROSS / 2; offset > 0; offset /= 2) {
        value = larger(value, __shfl_xor_sync(FULL_WARP, value, offset));
    }
    return value;
}

// tile (HEIGHT, WIDTH) <- rows and columns from (row, column) on; zeros beyond the last.
template <int HEIGHT, int WIDTH, class T>
__device__ void load(real<T>* tile, const Rows<T>& rows, int row, int column) {
    using R = real<T>;
    constexpr int pitch = WIDTH + Room<R>::pad, units = WIDTH / 4;
#pragma unroll
    for (int i = threadIdx.x; i < HEIGHT * units; i += THREADS) {
        const int r = i / units, c = i % units * 4;
        Pack<R, 4> values{};
        if (row + r < rows.count && column + c < rows.width) {
            const T* from = rows.first + (row + r) * rows.apart + column + c;
            const auto read = *reinterpret_cast<const Pack<T, 4>*>(from);
            for (int e = 0; e < 4; ++e) values.at[e] = read.at[e];
        }
        *reinterpret_cast<Pack<R, 4>*>(tile + r * pitch + c) = values;
    }
}

// sums <- left right^T: of 64 rows of each, over their width.
template <class T, class R>
__device__ void scores(R (&sums)[EACH][EACH], const Rows<T>& left, int row, const Rows<T>& right, int column, R* shared) {
    using In = Room<R>;
    R *a = shared + In::left, *b = shared + In::right;
    for (int i = 0; i < EACH; ++i)
        for (int j = 0; j < EACH; ++j) sums[i][j] = 0;
    for (int k0 = 0; k0 < left.width; k0 += In::depth) {
        __syncthreads();
        load<SIDE, In::depth>(a, left, row, k0);
        load<SIDE, In::depth>(b, right, column, k0);
        __syncthreads();
#pragma unroll 1
        for (int k = 0; k < In::depth; k += 4) {
            Pack<R, 4> x[EACH];
            for (int i = 0; i < EACH; ++i) {
                x[i] = *reinterpret_cast<const Pack<R, 4>*>(a + (mine() + i) * In::pitch + k);
            }
            for (int j = 0; j < EACH; ++j) {
                const auto y = *reinterpret_cast<const Pack<R, 4>*>(b + (lane() + ACROSS * j) * In::pitch + k);
                for (int i = 0; i < EACH; ++i)
                    for (int e = 0; e < 4; ++e) sums[i][j] += x[i].at[e] * y.at[e];
            }
        }
    }
}

// The columns of a result of width W that a thread has: groups of neighbors.
template <int W>
struct Columns {
    static constexpr int count = W / ACROSS, together = count < 4 ? count : 4, groups = count / together;

    __device__ static int at(int group) { return (group * ACROSS + lane()) * together; }
};

// sums += weights right: of the weights (64, 64) that lie in shared memory, and 64 rows. Outside columns [from, to) the
// weights of this warp's rows are zeros: with a causal mask half of a block on the diagonal.
template <int W, class T, class R>
__device__ void add_weighted(
    R (&sums)[EACH][W / ACROSS], const Rows<T>& right, int row, int from, int to, R* shared
) {
    using In = Room<R>;
    using Own = Columns<W>;
    R* b = shared + In::left;  // (depth, W), where the terms of the scores were
    static_assert(In::depth * (W + In::pad) <= 2 * SIDE * In::pitch, "the rows fit there");
    for (int k0 = 0; k0 < SIDE && row + k0 < right.count; k0 += In::depth) {
        __syncthreads();  // the weights are written, and no thread reads the old values any more
        load<In::depth, W>(b, right, row + k0, 0);
        __syncthreads();
#pragma unroll 1
        for (int k = max(0, from - k0) / 4 * 4; k < min(In::depth, to - k0); k += 4) {
            Pack<R, 4> x[EACH];
            for (int i = 0; i < EACH; ++i) {
                x[i] = *reinterpret_cast<const Pack<R, 4>*>(shared + (mine() + i) * In::wide + k0 + k);
            }
            for (int e = 0; e < 4; ++e) {
                for (int g = 0; g < Own::groups; ++g) {
                    using Read = Pack<R, Own::together>;
                    const Read y = *reinterpret_cast<const Read*>(b + (k + e) * (W + In::pad) + Own::at(g));
                    for (int i = 0; i < EACH; ++i)
                        for (int c = 0; c < Own::together; ++c) sums[i][g * Own::together + c] += x[i].at[e] * y.at[c];
                }
            }
        }
    }
}

// Rows of this thread, `factor` times, to a head's rows that lie `apart`.
template <int W, class T, class R>
__device__ void store(
    const R (&sums)[EACH][W / ACROSS], const R (&factor)[EACH], T* to, long long apart, int row, int rows, int width
) {
    using Own = Columns<W>;
#pragma unroll
    for (int i = 0; i < EACH; ++i) {
        const int own = row + mine() + i;
        for (int g = 0; g < Own::groups; ++g) {
            for (int c = 0; c < Own::together; ++c) {
                const int column = Own::at(g) + c;
                if (own < rows && column < width) to[own * apart + column] = sums[i][g * Own::together + c] * factor[i];
            }
        }
    }
}

template <int N, class R>
__device__ void fill(R (&sums)[EACH][N]) {
    for (int i = 0; i < EACH; ++i)
        for (int c = 0; c < N; ++c) sums[i][c] = 0;
}

template <class R>
__device__ void keep(R* shared, const R (&weights)[EACH][EACH]) {
    for (int i = 0; i < EACH; ++i)
        for (int j = 0; j < EACH; ++j) shared[(mine() + i) * Room<R>::wide + lane() + ACROSS * j] = weights[i][j];
}

// Results lie as (N, T, heads, d), their rows `apart`: the first element of a block's head.
template <class T>
__device__ T* result(T* array, const Work& work, int count, int width, long long apart) {
    return array + (long long)work.batch * count * apart + work.head * width;
}

template <class T, int W>
__device__ void attention_forward(
    const T* q, const T* k, const T* v, const unsigned char* mask, const real<T>* kept, T* y, real<T>* log_sums,
    Lie q_lie, Lie k_lie, Lie v_lie, Lie mask_lie, long long mask_right, Sizes sizes, real<T> scale
) {
    using R = real<T>;
    SHARED(R, shared);
    const Work work(sizes.steps, sizes.heads, true);
    const Weights<R> weights(mask, mask_lie, mask_right, kept, work, sizes);
    const auto queries = work.rows(q, q_lie, sizes.steps, sizes);
    const auto keys = work.rows(k, k_lie, sizes.keys, sizes), values = work.rows(v, v_lie, sizes.keys, sizes);
    const R lowest = -(R)(1e300 * 1e300);
    R sums[EACH][W / ACROSS], top[EACH], total[EACH];
    fill(sums);
#pragma unroll
    for (int i = 0; i < EACH; ++i) {
        top[i] = lowest;
        total[i] = 0;
    }
    const int last = min(work.first + SIDE, sizes.steps) - 1;
    for (int column = 0; column < sizes.end(last); column += SIDE) {
        R s[EACH][EACH];
        scores(s, queries, work.first, keys, column, shared);
#pragma unroll
        for (int i = 0; i < EACH; ++i) {
            const int t = work.first + mine() + i;
            R highest = top[i];
#pragma unroll
            for (int j = 0; j < EACH; ++j) {
                s[i][j] = weights.seen(t, column + lane() + ACROSS * j) ? s[i][j] * scale : lowest;
                highest = larger(highest, s[i][j]);
            }
            highest = row_max(highest);
            const R shift = highest == lowest ? (R)0 : highest, before = exp(top[i] - shift);
            top[i] = highest;
            R here = 0;
#pragma unroll
            for (int j = 0; j < EACH; ++j) {
                const int key = column + lane() + ACROSS * j;
                const R e = exp(s[i][j] - shift);
                here += e;
                s[i][j] = kept && t < sizes.steps && key < sizes.keys ? e * weights.factor(t, key) : e;
            }
            total[i] = total[i] * before + here;  // of this thread's keys
            for (int c = 0; c < W / ACROSS; ++c) sums[i][c] *= before;
        }
        keep(shared, s);
        add_weighted<W>(sums, values, column, 0, sizes.end(work.first + warp_start() + 7) - column, shared);
    }
    R factor[EACH];
#pragma unroll
    for (int i = 0; i < EACH; ++i) {
        const int t = work.first + mine() + i;
        total[i] = row_sum(total[i]);
        factor[i] = total[i] == 0 ? (R)1 : 1 / total[i];
        if (lane() == 0 && t < sizes.steps) {
            const long long row = ((long long)work.batch * sizes.heads + work.head) * sizes.steps + t;
            log_sums[row] = total[i] == 0 ? (R)0 : top[i] + log(total[i]);
        }
    }
    const long long apart = (long long)sizes.heads * sizes.width;
    store<W>(sums, factor, result(y, work, sizes.steps, sizes.width, apart), apart, work.first, sizes.steps, sizes.width);
}

// dQ = dS K, dS = P (dP - rowsum(dP P)) / sqrt(d), dP = dY V^T times the factors of dropout; rowsum(dP P) = rowsum(dY Y).
template <class T, int W>
__device__ void attention_queries_grad(
    const T* q, const T* k, const T* v, const unsigned char* mask, const real<T>* kept, const T* dout, const T* y,
    const real<T>* log_sums, real<T>* row_sums, T* dq, long long apart,
    Lie q_lie, Lie k_lie, Lie v_lie, Lie dout_lie, Lie mask_lie, long long mask_right, Sizes sizes, real<T> scale
) {
    using R = real<T>;
    SHARED(R, shared);
    const Work work(sizes.steps, sizes.heads, true);
    const Weights<R> weights(mask, mask_lie, mask_right, kept, work, sizes);
    const auto queries = work.rows(q, q_lie, sizes.steps, sizes), dy = work.rows(dout, dout_lie, sizes.steps, sizes);
    const auto keys = work.rows(k, k_lie, sizes.keys, sizes), values = work.rows(v, v_lie, sizes.keys, sizes);
    R sums[EACH][W / ACROSS], log_sum[EACH], both[EACH];
    fill(sums);
    const long long row0 = ((long long)work.batch * sizes.heads + work.head) * sizes.steps;
#pragma unroll
    for (int i = 0; i < EACH; ++i) {
        const int t = work.first + mine() + i;
        const bool there = t < sizes.steps;
        log_sum[i] = there ? log_sums[row0 + t] : (R)0;
        const long long between = (long long)sizes.heads * sizes.width;
        const T* out = result(y, work, sizes.steps, sizes.width, between) + t * between;
        R sum = 0;
        for (int c = lane(); there && c < sizes.width; c += ACROSS) sum += (R)dy.first[t * dy.apart + c] * (R)out[c];
        both[i] = row_sum(sum);
        if (there && lane() == 0) row_sums[row0 + t] = both[i];
    }
    const int last = min(work.first + SIDE, sizes.steps) - 1;
    for (int column = 0; column < sizes.end(last); column += SIDE) {
        R s[EACH][EACH], dp[EACH][EACH];
        scores(s, queries, work.first, keys, column, shared);
        scores(dp, dy, work.first, values, column, shared);
#pragma unroll
        for (int i = 0; i < EACH; ++i) {
            const int t = work.first + mine() + i;
#pragma unroll
            for (int j = 0; j < EACH; ++j) {
                const int key = column + lane() + ACROSS * j;
                s[i][j] = weights.seen(t, key)
                    ? exp(s[i][j] * scale - log_sum[i]) * (dp[i][j] * weights.factor(t, key) - both[i]) * scale : (R)0;
            }
        }
        keep(shared, s);
        add_weighted<W>(sums, keys, column, 0, sizes.end(work.first + warp_start() + 7) - column, shared);
    }
    const R one[EACH] = {1, 1, 1, 1};
    store<W>(sums, one, result(dq, work, sizes.steps, sizes.width, apart), apart, work.first, sizes.steps, sizes.width);
}

// dV = (P times the factors)^T dY and dK = dS^T Q: the scores are made the other way round, a row for each key.
template <class T, int W>
__device__ void attention_keys_grad(
    const T* q, const T* k, const T* v, const unsigned char* mask, const real<T>* kept, const T* dout,
    const real<T>* log_sums, const real<T>* row_sums, T* dk, T* dv, long long apart,
    Lie q_lie, Lie k_lie, Lie v_lie, Lie dout_lie, Lie mask_lie, long long mask_right, Sizes sizes, real<T> scale
) {
    using R = real<T>;
    SHARED(R, shared);
    const Work work(sizes.keys, sizes.heads, false);
    const Weights<R> weights(mask, mask_lie, mask_right, kept, work, sizes);
    const auto queries = work.rows(q, q_lie, sizes.steps, sizes), dy = work.rows(dout, dout_lie, sizes.steps, sizes);
    const auto keys = work.rows(k, k_lie, sizes.keys, sizes), values = work.rows(v, v_lie, sizes.keys, sizes);
    R key_sums[EACH][W / ACROSS], value_sums[EACH][W / ACROSS];
    fill(key_sums);
    fill(value_sums);
    const long long row0 = ((long long)work.batch * sizes.heads + work.head) * sizes.steps;
    // With a causal mask, queries before this one see none of the keys here.
    for (int column = sizes.start(work.first) / SIDE * SIDE; column < sizes.steps; column += SIDE) {
        R s[EACH][EACH], p[EACH][EACH];
        scores(s, keys, work.first, queries, column, shared);
#pragma unroll
        for (int j = 0; j < EACH; ++j) {
            const int t = column + lane() + ACROSS * j;
            const R log_sum = t < sizes.steps ? log_sums[row0 + t] : (R)0;
#pragma unroll
            for (int i = 0; i < EACH; ++i) {
                const int key = work.first + mine() + i;
                const bool seen = weights.seen(t, key);
                p[i][j] = seen ? exp(s[i][j] * scale - log_sum) : (R)0;
                s[i][j] = seen ? p[i][j] * weights.factor(t, key) : (R)0;
            }
        }
        keep(shared, s);
        add_weighted<W>(value_sums, dy, column, sizes.start(work.first + warp_start()) - column, SIDE, shared);
        scores(s, values, work.first, dy, column, shared);
#pragma unroll
        for (int j = 0; j < EACH; ++j) {
            const int t = column + lane() + ACROSS * j;
            const R both = t < sizes.steps ? row_sums[row0 + t] : (R)0;
#pragma unroll
            for (int i = 0; i < EACH; ++i) {
                const int key = work.first + mine() + i;
                const bool seen = weights.seen(t, key);
                s[i][j] = seen ? p[i][j] * (s[i][j] * weights.factor(t, key) - both) * scale : (R)0;
            }
        }
        keep(shared, s);
        add_weighted<W>(key_sums, queries, column, sizes.start(work.first + warp_start()) - column, SIDE, shared);
    }
    const R one[EACH] = {1, 1, 1, 1};
    store<W>(key_sums, one, result(dk, work, sizes.keys, sizes.width, apart), apart, work.first, sizes.keys, sizes.width);
    store<W>(value_sums, one, result(dv, work, sizes.keys, sizes.width, apart), apart, work.first, sizes.keys, sizes.width);
}

#define LIE(name) long long name##_batch, long long name##_head, long long name##_row
#define LIES LIE(q), LIE(k), LIE(v)
#define REST LIE(mask), long long mask_right, int heads, int steps, int keys, int width, int causal
#define THAT(name) Lie{name##_batch, name##_head, name##_row}
#define THOSE THAT(q), THAT(k), THAT(v)
#define GIVEN THAT(mask), mask_right, Sizes{heads, steps, keys, width, causal}, scale

// The three kernels for heads up to a width; each width and type has a source of its own. Two blocks on a
// multiprocessor, so that one computes while the other waits for its rows: 128 registers a thread, of which the last kernel
// needs more where heads are wide, and float64 always.
#define KERNELS(W, T) \
    extern "C" __global__ void __launch_bounds__(THREADS, sizeof(T) > 4 ? 1 : 2) attention_forward_##W##_##T( \
        const strided<T>* q, const strided<T>* k, const strided<T>* v, const strided<unsigned char>* mask, \
        const real<T>* kept, T* y, real<T>* log_sums, LIES, REST, real<T> scale \
    ) { \
        attention_forward<T, W>(q, k, v, mask, kept, y, log_sums, THOSE, GIVEN); \
    } \
    extern "C" __global__ void __launch_bounds__(THREADS, sizeof(T) > 4 ? 1 : 2) attention_queries_grad_##W##_##T( \
        const strided<T>* q, const strided<T>* k, const strided<T>* v, const strided<unsigned char>* mask, \
        const real<T>* kept, const strided<T>* dout, const T* y, const real<T>* log_sums, real<T>* row_sums, \
        strided<T>* dq, long long apart, LIES, LIE(dout), REST, real<T> scale \
    ) { \
        attention_queries_grad<T, W>( \
            q, k, v, mask, kept, dout, y, log_sums, row_sums, dq, apart, THOSE, THAT(dout), GIVEN \
        ); \
    } \
    extern "C" __global__ void __launch_bounds__(THREADS, sizeof(T) > 4 || W > 64 ? 1 : 2) attention_keys_grad_##W##_##T( \
        const strided<T>* q, const strided<T>* k, const strided<T>* v, const strided<unsigned char>* mask, \
        const real<T>* kept, const strided<T>* dout, const real<T>* log_sums, const real<T>* row_sums, \
        strided<T>* dk, strided<T>* dv, long long apart, LIES, LIE(dout), REST, real<T> scale \
    ) { \
        attention_keys_grad<T, W>( \
            q, k, v, mask, kept, dout, log_sums, row_sums, dk, dv, apart, THOSE, THAT(dout), GIVEN \
        ); \
    }
