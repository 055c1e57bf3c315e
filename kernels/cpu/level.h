// What one instruction level offers; every level computes the same from the same layout.
//
// Weights lie in tiles of 16 rows. For every group of 32 columns a tile has 320 bytes: four lines of 64 bytes, of which
// line i holds for each row the columns 4i..4i+3 in the low and 16+4i..16+4i+3 in the high nibbles, then the 16 scales
// and the 16 minimums in f16: w = q * scale + minimum. Activations are int8 with a scale per group (as in ggml's Q8_1),
// so a group's products are summed in integers, and its minimum counts scale * (sum of the digits).
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { TILE = 16, GROUP = 32, TILE_GROUP_BYTES = 320, LINES = 256 };

// Quantised activations [tokens]: digits [columns] int8, and per group (scale, scale * sum of its digits).
struct Digits {
    int8_t* q;
    float* scales;
    size_t columns;
};

struct Level {
    const char* name;
    bool (*runs)();
    // y [tokens, stride] f32: tiles [first, last) of 16 rows; added to what is there if `add`.
    void (*product)(const uint8_t* tiles, size_t first, size_t last, Digits x, size_t tokens, float* y, size_t stride,
                    bool add);
    // y [tokens, stride] f32: rows [first, last) of int8 [rows, columns], activations in 16 bits with a scale each.
    void (*rows8)(const int8_t* w, const float* scales, size_t first, size_t last, size_t columns, const int16_t* x,
                  const float* xs, size_t tokens, float* y, size_t stride);
    // One row to int8 digits by groups.
    void (*quantise)(const float* x, size_t columns, int8_t* q, float* scales);
    // One row to 16-bit digits of at most `largest`; the scale is returned.
    float (*quantise16)(const float* x, size_t columns, float largest, int16_t* q);
    // One row: x / rms(x) * w.
    void (*norm)(const float* x, const float* w, size_t columns, float eps, float* y);
    // One head: y = x * cos + rotate_half(x) * sin, with the signed sin of rope.py.
    void (*turn)(const float* x, const float* cos, const float* sin, size_t dim, float* y);
    // y = silu(gate) * up.
    void (*swiglu)(const float* gate, const float* up, size_t n, float* y);
    // f32 to bf16, to the nearest even.
    void (*narrow)(const float* x, size_t n, uint16_t* y);
    void (*widen)(const uint16_t* x, size_t n, float* y);
    // A run of `n` keys and values for the `group` query heads that share them; see Partial.
    void (*attend)(const float* q, size_t group, size_t dim, const uint16_t* keys, const uint16_t* values,
                   const int64_t* slots, size_t n, float scale, float* partial);
    // Partials of one head, `apart` floats from one to the next, and a further logit without a value (or null).
    void (*join)(const float* partials, size_t count, size_t apart, size_t dim, const float* sink, float* y);
};

// What `attend` leaves of each query head: [largest score, sum of weights, weighted values [dim]].
inline size_t partial_size(size_t dim) { return dim + 2; }

extern const Level portable_level;
#if defined(__x86_64__)
extern const Level avx2_level, avxvnni_level, avx512_level;
#endif
