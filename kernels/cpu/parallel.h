// Work shared by the threads of torch's own pool (both use the process's one libgomp).
#pragma once
#include "blocks.h"
#if defined(_OPENMP)
#include <omp.h>
#else
static inline int omp_get_thread_num() { return 0; }
static inline int omp_get_num_threads() { return 1; }
static inline int omp_get_max_threads() { return 1; }
#endif

static inline size_t padded(size_t rows) { return (rows + TILE - 1) / TILE * TILE; }

// Pieces of the caller's scratch memory, each on its own cache lines; without memory it only counts.
struct Pool {
    char* memory;
    size_t used;

    template <typename T>
    T* take(size_t count) {
        size_t at = used;
        used += (count * sizeof(T) + 63) / 64 * 64;
        return memory ? (T*)(memory + at) : nullptr;
    }

    Digits digits(size_t tokens, size_t columns) {
        int8_t* q = take<int8_t>(tokens * columns);
        return {q, take<float>(tokens * columns / GROUP * 2), columns};
    }
};

// This thread's share of [0, n).
struct Share {
    size_t first, last;
    explicit Share(size_t n) {
        size_t me = (size_t)omp_get_thread_num(), all = (size_t)omp_get_num_threads();
        first = n * me / all;
        last = n * (me + 1) / all;
    }
};

// Multiplications from which on it is worth to wake another thread: on a busy machine every waiting costs milliseconds.
static inline bool large(size_t tokens, const Linear& w) {
    return tokens * (size_t)w.rows * (size_t)w.columns > (1 << 17);
}

// Tokens whose digits stay in the cache while the weights pass.
enum { BLOCK = 128 };

static inline Digits from(Digits x, size_t token) {
    return {x.q + token * x.columns, x.scales + token * (x.columns / GROUP) * 2, x.columns};
}

static inline void share_product(const Level& l, const Linear& w, Digits x, size_t tokens, float* y, size_t stride,
                                 bool add) {
    Share mine(padded((size_t)w.rows) / TILE);
    for (size_t t = 0; t < tokens; t += BLOCK)
        l.product(w.tiles, mine.first, mine.last, from(x, t), tokens - t < BLOCK ? tokens - t : (size_t)BLOCK,
                  y + t * stride, stride, add);
}
