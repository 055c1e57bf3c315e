// Scratch memory, and products shared by the team's threads.
#pragma once
#include "blocks.h"
#include "team.h"

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

// Multiplications from which on it is worth to wake another thread: on a busy machine every waiting costs milliseconds.
static inline bool large(size_t tokens, const Linear& w) {
    return tokens * (size_t)w.rows * (size_t)w.columns > (1 << 17);
}

// Tokens from which on it is worth to share what is done row by row.
enum { MANY = 4 };

// Tokens whose digits stay in the cache while the weights pass.
enum { BLOCK = 128 };

static inline Digits from(Digits x, size_t token) {
    return {x.q + token * x.columns, x.scales + token * (x.columns / GROUP) * 2, x.columns};
}

static inline void product(const Level& l, const Linear& w, size_t first, size_t last, Digits x, size_t tokens, float* y,
                           size_t stride, bool add) {
    for (size_t t = 0; t < tokens; t += BLOCK)
        l.product(w.tiles, w.symmetric, first, last, from(x, t), tokens - t < BLOCK ? tokens - t : (size_t)BLOCK,
                  y + t * stride, stride, add);
}

static inline void share_product(const Level& l, const Linear& w, Digits x, size_t tokens, float* y, size_t stride) {
    shared(large(tokens, w), padded((size_t)w.rows) / TILE,
           [&](size_t first, size_t last) { product(l, w, first, last, x, tokens, y, stride, false); });
}

// Group `g` of 32 inner columns of a gated MLP: two tiles of the gate, two of `up`, and what they make is quantised in
// the cache. `change(a, b)` may alter the two [32] of a token first.
template <typename Change>
static inline void gated_group(const Level& l, const Linear& gate_up, Digits x, Digits gated, size_t tokens, size_t g,
                               const Change& change) {
    bool symmetric = gate_up.symmetric;
    size_t tile = x.columns / GROUP * group_bytes(symmetric), inner = gated.columns;
    const uint8_t *gates = gate_up.tiles + 2 * g * tile, *ups = gates + inner / TILE * tile;
    const float* bias = gate_up.bias;
    alignas(64) float both[BLOCK][2 * GROUP];
    for (size_t start = 0; start < tokens; start += BLOCK) {
        size_t count = tokens - start < BLOCK ? tokens - start : (size_t)BLOCK;
        l.product(gates, symmetric, 0, 2, from(x, start), count, both[0], 2 * GROUP, false);
        l.product(ups, symmetric, 0, 2, from(x, start), count, both[0] + GROUP, 2 * GROUP, false);
        for (size_t t = 0; t < count; t++) {
            float *a = both[t], *b = both[t] + GROUP;
            for (size_t i = 0; bias && i < GROUP; i++) {
                a[i] += bias[g * GROUP + i];
                b[i] += bias[inner + g * GROUP + i];
            }
            change(a, b);
            Digits out = from(gated, start + t);
            l.gated(a, b, GROUP, out.q + g * GROUP, out.scales + 2 * g);
        }
    }
}
