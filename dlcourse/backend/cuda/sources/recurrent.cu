// What one step of RNN, LSTM and GRU does after its matrix product: a thread for each sequence n and hidden unit j
// (backend/kernels/recurrent.py has the equations). The product a = h W^T (or dh = da W) comes in a buffer of its own.
//
// Arrays over time are (N, T, .) and the kernels are given the whole of them and t; what goes into the next product is
// also written to a dense buffer (N, .).
#include "common.cuh"

template <class T>
__device__ T sigmoid(T x) {
    const T tail = exp(-fabs(x)), smaller = tail / (1 + tail);  // which keeps its digits where it is near 0
    return x < 0 ? smaller : 1 - smaller;
}

// The block's sequence n, the thread's unit j, and the place of (n, t, j) in (N, T, H); the rest of the block has nothing to do.
#define UNIT \
    const int n = blockIdx.x, j = blockIdx.y * blockDim.x + threadIdx.x; \
    if (j >= size) return; \
    const long long index = (long long)n * size + j, row = (long long)n * steps + t, at = row * size + j;

template <class T>
__device__ void rnn_step(const T* projected, const T* a, T* hidden, T* h, int steps, int size, int t, int relu) {
    UNIT
    const T sum = projected[at] + a[index];
    const T value = relu ? (sum > 0 || sum != sum ? sum : (T)0) : tanh(sum);
    hidden[at] = value;
    h[index] = value;
}

template <class T>
__device__ void rnn_grad_step(
    const T* dhidden, const T* hidden, const T* dh, T* da, T* d, int steps, int size, int t, int relu
) {
    UNIT
    const T h = hidden[at];
    const T arriving = dhidden[at] + dh[index];
    const T value = relu ? (h > 0 ? arriving : (T)0) : arriving * (1 - h * h);
    da[at] = value;
    d[index] = value;
}

// The last step's cells are also written apart, to `last` (N, H).
template <class T>
__device__ void lstm_step(
    const T* projected, const T* a, const T* c0, T* hidden, T* cells, T* last, T* gates, T* h,
    int steps, int size, int t
) {
    UNIT
    const long long base = row * 4 * size + j, from = (long long)n * 4 * size + j;
    const T i = sigmoid(projected[base] + a[from]);
    const T f = sigmoid(projected[base + size] + a[from + size]);
    const T g = tanh(projected[base + 2 * size] + a[from + 2 * size]);
    const T o = sigmoid(projected[base + 3 * size] + a[from + 3 * size]);
    const T before = t ? cells[at - size] : c0[index];
    const T c = f * before + i * g, value = o * tanh(c);
    gates[base] = i;
    gates[base + size] = f;
    gates[base + 2 * size] = g;
    gates[base + 3 * size] = o;
    cells[at] = c;
    if (t == steps - 1) last[index] = c;
    hidden[at] = value;
    h[index] = value;
}

// dh and dc are what the step after has left: behind the last one dh is 0, and dc is `dcell`, 0 where there is none. `earlier`
// (N, T, H) gets h_(t-1), for the gradient of the weights.
template <class T>
__device__ void lstm_grad_step(
    const T* dhidden, const T* dcell, const T* hidden, const T* cells, const T* gates, const T* h0, const T* c0,
    const T* dh, T* dc, T* da, T* d, T* earlier, int steps, int size, int t
) {
    UNIT
    const bool behind = t == steps - 1;
    earlier[at] = t ? hidden[at - size] : h0[index];
    const long long base = row * 4 * size + j, to = (long long)n * 4 * size + j;
    const T i = gates[base], f = gates[base + size], g = gates[base + 2 * size], o = gates[base + 3 * size];
    const T before = t ? cells[at - size] : c0[index];
    const T squashed = tanh(cells[at]);
    const T gradient = behind ? dhidden[at] : dhidden[at] + dh[index];
    const T later = !behind ? dc[index] : dcell ? dcell[index] : (T)0;
    const T dnow = later + gradient * o * (1 - squashed * squashed);
    const T di = dnow * g * i * (1 - i), df = dnow * before * f * (1 - f);
    const T dg = dnow * i * (1 - g * g), dgate = gradient * squashed * o * (1 - o);
    da[base] = d[to] = di;
    da[base + size] = d[to + size] = df;
    da[base + 2 * size] = d[to + 2 * size] = dg;
    da[base + 3 * size] = d[to + 3 * size] = dgate;
    dc[index] = dnow * f;
}

template <class T>
__device__ void gru_step(
    const T* projected, const T* b, const T* bias, const T* h0, T* hidden, T* gates, T* inner, T* h,
    int steps, int size, int t
) {
    UNIT
    const long long base = row * 3 * size + j, from = (long long)n * 3 * size + j;
    const T last = b[from + 2 * size] + bias[j + 2 * size];
    const T reset = sigmoid(projected[base] + (b[from] + bias[j]));
    const T update = sigmoid(projected[base + size] + (b[from + size] + bias[j + size]));
    const T fresh = tanh(projected[base + 2 * size] + reset * last);
    const T before = t ? hidden[at - size] : h0[index];
    const T value = (1 - update) * fresh + update * before;
    gates[base] = reset;
    gates[base + size] = update;
    gates[base + 2 * size] = fresh;
    inner[at] = last;
    hidden[at] = value;
    h[index] = value;
}

// dh comes as the whole gradient from later steps, and leaves as the share that passes by the gates.
template <class T>
__device__ void gru_grad_step(
    const T* dhidden, const T* hidden, const T* gates, const T* inner, const T* h0, T* dh, T* da, T* db, T* d,
    int steps, int size, int t
) {
    UNIT
    const long long base = row * 3 * size + j, to = (long long)n * 3 * size + j;
    const T reset = gates[base], update = gates[base + size], fresh = gates[base + 2 * size];
    const T before = t ? hidden[at - size] : h0[index];
    const T gradient = dhidden[at] + dh[index];
    const T dnew = gradient * (1 - update) * (1 - fresh * fresh);
    const T dupdate = gradient * (before - fresh) * update * (1 - update);
    const T dreset = dnew * inner[at] * reset * (1 - reset);
    da[base] = db[base] = d[to] = dreset;
    da[base + size] = db[base + size] = d[to + size] = dupdate;
    da[base + 2 * size] = dnew;
    db[base + 2 * size] = d[to + 2 * size] = dnew * reset;
    dh[index] = gradient * update;
}

#define SIZES int steps, int size, int t
#define GIVEN steps, size, t

#define KERNELS(T) \
    extern "C" __global__ void rnn_step_##T(const T* projected, const T* a, T* hidden, T* h, SIZES, int relu) { \
        rnn_step<T>(projected, a, hidden, h, GIVEN, relu); \
    } \
    extern "C" __global__ void rnn_grad_step_##T( \
        const T* dhidden, const T* hidden, const T* dh, T* da, T* d, SIZES, int relu \
    ) { \
        rnn_grad_step<T>(dhidden, hidden, dh, da, d, GIVEN, relu); \
    } \
    extern "C" __global__ void lstm_step_##T( \
        const T* projected, const T* a, const T* c0, T* hidden, T* cells, T* last, T* gates, T* h, SIZES \
    ) { \
        lstm_step<T>(projected, a, c0, hidden, cells, last, gates, h, GIVEN); \
    } \
    extern "C" __global__ void lstm_grad_step_##T( \
        const T* dhidden, const T* dcell, const T* hidden, const T* cells, const T* gates, const T* h0, const T* c0, \
        const T* dh, T* dc, T* da, T* d, T* earlier, SIZES \
    ) { \
        lstm_grad_step<T>(dhidden, dcell, hidden, cells, gates, h0, c0, dh, dc, da, d, earlier, GIVEN); \
    } \
    extern "C" __global__ void gru_step_##T( \
        const T* projected, const T* b, const T* bias, const T* h0, T* hidden, T* gates, T* inner, T* h, SIZES \
    ) { \
        gru_step<T>(projected, b, bias, h0, hidden, gates, inner, h, GIVEN); \
    } \
    extern "C" __global__ void gru_grad_step_##T( \
        const T* dhidden, const T* hidden, const T* gates, const T* inner, const T* h0, T* dh, T* da, T* db, T* d, SIZES \
    ) { \
        gru_grad_step<T>(dhidden, hidden, gates, inner, h0, dh, da, db, d, GIVEN); \
    }

KERNELS(float)
KERNELS(double)
