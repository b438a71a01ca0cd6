// One step of the LSTM, forward and backward, after its matrix product (backend/kernels/recurrent.py has the equations). A
// thread does one cell of one sequence. Arrays that hold all steps are given at the step's place, with the distance from one
// sequence to the next.
#include "common.cuh"

template <class T>
__device__ T sigmoid(T x) { return (T)0.5 * tanh((T)0.5 * x) + (T)0.5; }

// a (N, 4H) holds the sums, and then the gates.
template <class T>
__device__ void lstm_step(
    T* a, const T* before, T* cell, T* hidden, long long n, int size, long long of_a, long long of_before, long long of_cell
) {
    for (long long i = first_element(); i < n; i += element_stride()) {
        const long long row = i / size;
        const int j = (int)(i % size);
        T* gate = a + row * of_a + j;
        const T in = sigmoid(gate[0]), forget = sigmoid(gate[size]), out = sigmoid(gate[3 * size]);
        const T fresh = tanh(gate[2 * size]);
        const T c = forget * before[row * of_before + j] + in * fresh;
        gate[0] = in;
        gate[size] = forget;
        gate[2 * size] = fresh;
        gate[3 * size] = out;
        cell[row * of_cell + j] = c;
        hidden[row * of_cell + j] = out * tanh(c);
    }
}

// dh (N, H) comes from the step after, dc (N, H) is carried; da (N, 4H) is written.
template <class T>
__device__ void lstm_step_grad(
    const T* dhidden, const T* dh, T* dc, const T* gates, const T* cell, const T* before, T* da,
    long long n, int size, long long of_a, long long of_hidden, long long of_dhidden, long long of_before
) {
    for (long long i = first_element(); i < n; i += element_stride()) {
        const long long row = i / size;
        const int j = (int)(i % size);
        const T* gate = gates + row * of_a + j;
        const T in = gate[0], forget = gate[size], fresh = gate[2 * size], out = gate[3 * size];
        const T squashed = tanh(cell[row * of_hidden + j]);
        const T g = dhidden[row * of_dhidden + j] + dh[i];
        const T d = dc[i] + g * out * (1 - squashed * squashed);
        T* target = da + row * of_a + j;
        target[0] = d * fresh * in * (1 - in);
        target[size] = d * before[row * of_before + j] * forget * (1 - forget);
        target[2 * size] = d * in * (1 - fresh * fresh);
        target[3 * size] = g * squashed * out * (1 - out);
        dc[i] = d * forget;
    }
}

FOR_TYPES(lstm_step,
    (T* a, const T* before, T* cell, T* hidden, long long n, int size, long long of_a, long long of_before,
     long long of_cell),
    (a, before, cell, hidden, n, size, of_a, of_before, of_cell))
FOR_TYPES(lstm_step_grad,
    (const T* dhidden, const T* dh, T* dc, const T* gates, const T* cell, const T* before, T* da,
     long long n, int size, long long of_a, long long of_hidden, long long of_dhidden, long long of_before),
    (dhidden, dh, dc, gates, cell, before, da, n, size, of_a, of_hidden, of_dhidden, of_before))
