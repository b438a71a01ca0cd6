// Pooling of images (N, H, W, C) (backend/kernels/pool.py). The gradients gather: each input element asks the windows that
// saw it, so nothing is added by two threads. Windows of 2 x 2 that lie side by side have kernels of their own, whose
// gradients go the other way: each window writes its four elements, and no other window does.
//
// A thread has EACH channels of one place where all arrays lie so that packs may be read (`packs`), else one. Elements of an
// array are fewer than 2^31: more images come in several launches.
#include "division.cuh"
#include "packs.cuh"

constexpr int EACH = 4;

// Sizes, and divisors (division.cuh) by those that places are taken apart with: a thread's channels, and the columns and rows
// of what its thread numbers count.
#define PLACES                                                                                     \
    int h, int w, int c, int oh, int ow, unsigned long long by_channels, unsigned long long by_columns, \
    unsigned long long by_rows
#define PLACES_GIVEN h, w, c, oh, ow, by_channels, by_columns, by_rows
#define WINDOW int kh, int kw, int sy, int sx, int py, int px, unsigned long long by_sy, unsigned long long by_sx
#define WINDOW_GIVEN kh, kw, sy, sx, py, px, by_sy, by_sx

// body(number of the first element, image, row, column, channel) for each of n elements, W at a time.
template <int W, class Body>
__device__ void places(
    int n, int rows, int columns, int c, Divisor by_channels, Divisor by_columns, Divisor by_rows, Body body
) {
    const unsigned stride = (unsigned)element_stride();
    for (unsigned i = (unsigned)first_element(); i < n / W; i += stride) {
        unsigned rest = i;
        const int channel = taken(rest, c / W, by_channels) * W;
        const int column = taken(rest, columns, by_columns), row = taken(rest, rows, by_rows);
        body((int)i * W, (int)rest, row, column, channel);
    }
}

// The largest so far and where it was.
template <class T, int W>
struct Largest {
    Pack<T, W> value;
    int at[W];

    __device__ void meet(const Pack<T, W>& other, int place, bool first) {
        for (int k = 0; k < W; ++k) {
            const real<T> v = other.at[k];
            if (first || v > (real<T>)value.at[k] || v != v) {
                value.at[k] = other.at[k];
                at[k] = place;
            }
        }
    }

    __device__ void put(T* y, unsigned char* place, int i) const {
        Pack<unsigned char, W> bytes;
        for (int k = 0; k < W; ++k) bytes.at[k] = (unsigned char)at[k];
        put_pack_to(y + i, value);
        put_pack_to(place + i, bytes);
    }
};

template <int W, class T>
__device__ void max_pool(const T* x, T* y, unsigned char* place, int n, PLACES, WINDOW) {
    places<W>(n, oh, ow, c, by_channels, by_columns, by_rows, [=](int i, int image, int row, int column, int channel) {
        Largest<T, W> largest{};
        bool first = true;
        for (int a = 0; a < kh; ++a) {
            const int v = row * sy + a - py;
            if (v < 0 || v >= h) continue;
            for (int b = 0; b < kw; ++b) {
                const int u = column * sx + b - px;
                if (u < 0 || u >= w) continue;
                largest.meet(pack_from<W>(x + ((image * h + v) * w + u) * c + channel), a * kw + b, first);
                first = false;
            }
        }
        largest.put(y, place, i);
    });
}

template <int W, class T>
__device__ void max_pool_2x2(const T* x, T* y, unsigned char* place, int n, PLACES) {
    places<W>(n, oh, ow, c, by_channels, by_columns, by_rows, [=](int i, int image, int row, int column, int channel) {
        const T* at = x + ((image * h + 2 * row) * w + 2 * column) * c + channel;
        Pack<T, W> seen[4];
        for (int k = 0; k < 4; ++k) seen[k] = pack_from<W>(at + (k / 2 * w + k % 2) * c);
        Largest<T, W> largest{};
        for (int k = 0; k < 4; ++k) largest.meet(seen[k], k, k == 0);
        largest.put(y, place, i);
    });
}

template <int W, class T>
__device__ void avg_pool(const T* x, T* y, int n, PLACES, WINDOW) {
    const real<T> part = (real<T>)1 / (kh * kw);
    places<W>(n, oh, ow, c, by_channels, by_columns, by_rows, [=](int i, int image, int row, int column, int channel) {
        Pack<real<T>, W> sum{};
        for (int a = 0; a < kh; ++a) {
            const int v = row * sy + a - py;
            if (v < 0 || v >= h) continue;
            for (int b = 0; b < kw; ++b) {
                const int u = column * sx + b - px;
                if (u < 0 || u >= w) continue;
                const auto seen = pack_from<W>(x + ((image * h + v) * w + u) * c + channel);
                for (int k = 0; k < W; ++k) sum.at[k] += seen.at[k];
            }
        }
        put_pack_to(y + i, mapped<T>([=](real<T> s) { return s * part; }, sum));
    });
}

template <int W, class T>
__device__ void avg_pool_2x2(const T* x, T* y, int n, PLACES) {
    places<W>(n, oh, ow, c, by_channels, by_columns, by_rows, [=](int i, int image, int row, int column, int channel) {
        const T* at = x + ((image * h + 2 * row) * w + 2 * column) * c + channel;
        Pack<T, W> seen[4];
        for (int k = 0; k < 4; ++k) seen[k] = pack_from<W>(at + (k / 2 * w + k % 2) * c);
        Pack<real<T>, W> sum{};
        for (int k = 0; k < 4 * W; ++k) sum.at[k % W] += seen[k / W].at[k % W];
        put_pack_to(y + i, mapped<T>([](real<T> s) { return s * (real<T>)0.25; }, sum));
    });
}

// What input element i gets: for each window that sees it, share(output element, place in the window). The windows are
// those from the first that ends behind the element to the last that starts before it; their last comes first, in which the
// element has the lowest place.
template <int W, class T, class Share>
__device__ void gather(T* dx, int n, Share share, PLACES, WINDOW) {
    places<W>(n, h, w, c, by_channels, by_columns, by_rows, [=](int i, int image, int v, int u, int channel) {
        Pack<real<T>, W> sum{};
        const int top = v + py - kh, left = u + px - kw;  // the last place before the element from which no window sees it
        const int first_row = top < 0 ? 0 : (int)quotient(top, by_sy) + 1;
        const int first_column = left < 0 ? 0 : (int)quotient(left, by_sx) + 1;
        const int last_column = min(ow - 1, (int)quotient(u + px, by_sx));
        for (int row = min(oh - 1, (int)quotient(v + py, by_sy)); row >= first_row; --row) {
            const int a = v + py - row * sy;
            for (int column = last_column; column >= first_column; --column) {
                share(sum, ((image * oh + row) * ow + column) * c + channel, a * kw + u + px - column * sx);
            }
        }
        put_pack_to(dx + i, mapped<T>([](real<T> s) { return s; }, sum));
    });
}

// Windows of 2 x 2 side by side, also those that reach over the edge, which have no output: their elements get 0. share(out
// element, k) is what the element at place k of the window gets.
template <int W, class T, class Load, class Share>
__device__ void spread(T* dx, int n, Load load, Share share, PLACES) {
    const int rows = (h + 1) / 2, columns = (w + 1) / 2;
    places<W>(n, rows, columns, c, by_channels, by_columns, by_rows, [=](int, int image, int row, int column, int channel) {
        decltype(load(0)) held{};
        const bool there = row < oh && column < ow;
        if (there) held = load(((image * oh + row) * ow + column) * c + channel);
        T* at = dx + ((image * h + 2 * row) * w + 2 * column) * c + channel;
        for (int k = 0; k < 4; ++k) {
            if (2 * row + k / 2 < h && 2 * column + k % 2 < w) {
                put_pack_to(at + (k / 2 * w + k % 2) * c, there ? share(held, k) : Pack<T, W>{});
            }
        }
    });
}

template <class T, int W> struct Won { Pack<T, W> value; Pack<unsigned char, W> place; };

template <int W, class T>
__device__ void max_pool_grad(const T* dout, const unsigned char* place, T* dx, int n, PLACES, WINDOW) {
    const auto share = [=](auto& sum, int at, int which) {
        const auto d = pack_from<W>(dout + at);
        const auto won = pack_from<W>(place + at);
        for (int k = 0; k < W; ++k) sum.at[k] += won.at[k] == which ? (real<T>)d.at[k] : 0;
    };
    gather<W>(dx, n, share, PLACES_GIVEN, WINDOW_GIVEN);
}

template <int W, class T>
__device__ void max_pool_grad_2x2(const T* dout, const unsigned char* place, T* dx, int n, PLACES) {
    const auto load = [=](int at) { return Won<T, W>{pack_from<W>(dout + at), pack_from<W>(place + at)}; };
    const auto share = [](const Won<T, W>& held, int which) {
        Pack<T, W> out;
        for (int k = 0; k < W; ++k) out.at[k] = held.place.at[k] == which ? held.value.at[k] : (T)0;
        return out;
    };
    spread<W>(dx, n, load, share, PLACES_GIVEN);
}

template <int W, class T>
__device__ void avg_pool_grad(const T* dout, T* dx, int n, PLACES, WINDOW) {
    const real<T> part = (real<T>)1 / (kh * kw);
    const auto share = [=](auto& sum, int at, int) {
        const auto d = pack_from<W>(dout + at);
        for (int k = 0; k < W; ++k) sum.at[k] += d.at[k] * part;
    };
    gather<W>(dx, n, share, PLACES_GIVEN, WINDOW_GIVEN);
}

template <int W, class T>
__device__ void avg_pool_grad_2x2(const T* dout, T* dx, int n, PLACES) {
    const auto load = [=](int at) { return pack_from<W>(dout + at); };
    const auto share = [](const Pack<T, W>& held, int) {
        return mapped<T>([](real<T> d) { return d * (real<T>)0.25; }, held);
    };
    spread<W>(dx, n, load, share, PLACES_GIVEN);
}

#define BOTH(name, ...)                         \
    {                                           \
        if (packs) name<EACH, T>(__VA_ARGS__);  \
        else name<1, T>(__VA_ARGS__);           \
    }

template <class T>
__device__ void max_pool(const T* x, T* y, unsigned char* place, int n, int packs, PLACES, WINDOW)
    BOTH(max_pool, x, y, place, n, PLACES_GIVEN, WINDOW_GIVEN)
FOR_ALL_TYPES(max_pool,
    (const T* __restrict__ x, T* __restrict__ y, unsigned char* __restrict__ place, int n, int packs, PLACES, WINDOW),
    (x, y, place, n, packs, PLACES_GIVEN, WINDOW_GIVEN))

template <class T>
__device__ void max_pool_2x2(const T* x, T* y, unsigned char* place, int n, int packs, PLACES)
    BOTH(max_pool_2x2, x, y, place, n, PLACES_GIVEN)
FOR_ALL_TYPES(max_pool_2x2,
    (const T* __restrict__ x, T* __restrict__ y, unsigned char* __restrict__ place, int n, int packs, PLACES),
    (x, y, place, n, packs, PLACES_GIVEN))

template <class T>
__device__ void max_pool_grad(const T* dout, const unsigned char* place, T* dx, int n, int packs, PLACES, WINDOW)
    BOTH(max_pool_grad, dout, place, dx, n, PLACES_GIVEN, WINDOW_GIVEN)
FOR_ALL_TYPES(max_pool_grad,
    (const T* __restrict__ dout, const unsigned char* __restrict__ place, T* __restrict__ dx, int n, int packs, PLACES, WINDOW),
    (dout, place, dx, n, packs, PLACES_GIVEN, WINDOW_GIVEN))

template <class T>
__device__ void max_pool_grad_2x2(const T* dout, const unsigned char* place, T* dx, int n, int packs, PLACES)
    BOTH(max_pool_grad_2x2, dout, place, dx, n, PLACES_GIVEN)
FOR_ALL_TYPES(max_pool_grad_2x2,
    (const T* __restrict__ dout, const unsigned char* __restrict__ place, T* __restrict__ dx, int n, int packs, PLACES),
    (dout, place, dx, n, packs, PLACES_GIVEN))

template <class T>
__device__ void avg_pool(const T* x, T* y, int n, int packs, PLACES, WINDOW)
    BOTH(avg_pool, x, y, n, PLACES_GIVEN, WINDOW_GIVEN)
FOR_ALL_TYPES(avg_pool,
    (const T* __restrict__ x, T* __restrict__ y, int n, int packs, PLACES, WINDOW),
    (x, y, n, packs, PLACES_GIVEN, WINDOW_GIVEN))

template <class T>
__device__ void avg_pool_2x2(const T* x, T* y, int n, int packs, PLACES)
    BOTH(avg_pool_2x2, x, y, n, PLACES_GIVEN)
FOR_ALL_TYPES(avg_pool_2x2,
    (const T* __restrict__ x, T* __restrict__ y, int n, int packs, PLACES),
    (x, y, n, packs, PLACES_GIVEN))

template <class T>
__device__ void avg_pool_grad(const T* dout, T* dx, int n, int packs, PLACES, WINDOW)
    BOTH(avg_pool_grad, dout, dx, n, PLACES_GIVEN, WINDOW_GIVEN)
FOR_ALL_TYPES(avg_pool_grad,
    (const T* __restrict__ dout, T* __restrict__ dx, int n, int packs, PLACES, WINDOW),
    (dout, dx, n, packs, PLACES_GIVEN, WINDOW_GIVEN))

template <class T>
__device__ void avg_pool_grad_2x2(const T* dout, T* dx, int n, int packs, PLACES)
    BOTH(avg_pool_grad_2x2, dout, dx, n, PLACES_GIVEN)
FOR_ALL_TYPES(avg_pool_grad_2x2,
    (const T* __restrict__ dout, T* __restrict__ dx, int n, int packs, PLACES),
    (dout, dx, n, packs, PLACES_GIVEN))
