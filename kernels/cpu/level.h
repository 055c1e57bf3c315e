// What one instruction level offers; every level computes the same from the same layout.
//
// Weights lie in tiles of 16 rows. For every group of 32 columns a tile has 320 bytes: four lines of 64 bytes, of which
// line i holds for each row the columns 4i..4i+3 in the low and 16+4i..16+4i+3 in the high nibbles, then the 16 scales
// and the 16 minimums in f16: w = q * scale + minimum. Symmetric tiles have 288, no minimums: w = (q - 8) * scale. Activations are int8 with a scale per group (as in ggml's Q8_1),
// so a group's products are summed in integers, and its minimum counts scale * (sum of the digits).
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { TILE = 16, GROUP = 32, LINES = 256 };

// Bytes of a tile's group.
static constexpr size_t group_bytes(bool symmetric) { return symmetric ? 288 : 320; }

// Quantised activations [tokens]: digits [columns] int8, and per group (scale, scale * sum of its digits).
struct Digits {
    int8_t* q;
    float* scales;
    size_t columns;
};

// Rows of one KV head's store [slots, dim]: int8 with a scale each, or bf16 without.
struct Rows {
    const void* values;
    const float* scales;

    Rows from(size_t slot, size_t dim) const {
        return {(const char*)values + slot * dim * (scales ? 1 : 2), scales ? scales + slot : nullptr};
    }
};

// Query rows of neighbouring tokens that share keys: `tokens` rows of `group` heads, `apart` floats from token to token.
// The first stands at `position` of its context; with a `window` a row sees the last tokens up to itself only.
struct Queries {
    const float* q;
    size_t apart, tokens, group, dim, position, window;
    float scale;
    const float* sinks;  // [group] or null
};

// Query rows (tokens times heads) that one call of `attend_block` may have.
enum { BLOCK_ROWS = 48 };

// Asks for the lines of `bytes` bytes a page further on: the processor's own prefetching stops at the end of a page.
static inline void ahead(const uint8_t* weights, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch((const void*)((uintptr_t)weights + 4096 + i));
}

struct Level {
    const char* name;
    bool (*runs)();
    // y [tokens, stride] f32: tiles [first, last) of 16 rows; added to what is there if `add`.
    void (*product)(const uint8_t* tiles, bool symmetric, size_t first, size_t last, Digits x, size_t tokens, float* y,
                    size_t stride, bool add);
    // y [tokens, stride] f32: rows [first, last) of int8 [rows, columns], activations in 16 bits with a scale each.
    void (*rows8)(const int8_t* w, const float* scales, size_t first, size_t last, size_t columns, const int16_t* x,
                  const float* xs, size_t tokens, float* y, size_t stride);
    // One row to int8 digits by groups.
    void (*quantise)(const float* x, size_t columns, int8_t* q, float* scales);
    // One row to 16-bit digits of at most `largest`; the scale is returned.
    float (*quantise16)(const float* x, size_t columns, float largest, int16_t* q);
    // One row to int8 digits; the scale is returned.
    float (*quantise8)(const float* x, size_t n, int8_t* q);
    // One row: x / rms(x) * w.
    void (*norm)(const float* x, const float* w, size_t columns, float eps, float* y);
    // One head: y = x * cos + rotate_half(x) * sin, with the signed sin of rope.py.
    void (*turn)(const float* x, const float* cos, const float* sin, size_t dim, float* y);
    // y = silu(gate) * up.
    void (*swiglu)(const float* gate, const float* up, size_t n, float* y);
    // The same for whole groups, to int8 digits.
    void (*gated)(const float* gate, const float* up, size_t n, int8_t* q, float* scales);
    // f32 to bf16, to the nearest even.
    void (*narrow)(const float* x, size_t n, uint16_t* y);
    void (*widen)(const uint16_t* x, size_t n, float* y);
    // A run of `n` keys and values for the `group` query heads that share them; see Partial.
    void (*attend)(const float* q, size_t group, size_t dim, Rows keys, Rows values, const int64_t* slots, size_t n,
                   float scale, float* partial);
    // Partials of one head, `apart` floats from one to the next, and a further logit without a value (or null).
    void (*join)(const float* partials, size_t count, size_t apart, size_t dim, const float* sink, float* y);
    // What many rows see of the store, y [tokens, group, dim] with `apart` floats from token to token.
    void (*attend_block)(const Queries& q, Rows keys, Rows values, const int64_t* slots, float* y, size_t apart);
    // y [rows]: the row x times f32 [rows, columns].
    void (*scores)(const float* w, size_t rows, size_t columns, const float* x, float* y);
};

// What `attend` leaves of each query head: [largest score, sum of weights, weighted values [dim]].
inline size_t partial_size(size_t dim) { return dim + 2; }

extern const Level portable_level;
#if defined(__x86_64__)
extern const Level avx2_level, avxvnni_level, avx512_level;
#elif defined(__aarch64__)
extern const Level neon_level;
#endif
