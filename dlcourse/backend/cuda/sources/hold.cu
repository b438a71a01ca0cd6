// Keeps the stream busy while the host queues what is to be timed behind it.

// One thread that waits for so many ticks of its multiprocessor's clock.
extern "C" __global__ void hold(long long ticks) {
    const long long start = clock64();
    while (clock64() - start < ticks) {}
}
