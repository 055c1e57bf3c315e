// The level that every processor has, and that says what the others compute.
#include "level.h"
#include "rows.inc"
#define WIDE 4
#define AT_ONCE 2
#include "prompt.inc"

static inline Lanes lanes_of(const uint16_t* x) {
    Lanes found;
    widen(x, WIDE, (float*)&found);
    return found;
}

static inline Lanes lanes_of(const int8_t* x) { return (Lanes){(float)x[0], (float)x[1], (float)x[2], (float)x[3]}; }

static inline void four_sums(const Lanes* x, float* y) {
    for (int i = 0; i < 4; i++) y[i] = x[i][0] + x[i][1] + x[i][2] + x[i][3];
}
#define HEADS 2
#include "attend.inc"

static void product(const uint8_t* tiles, bool symmetric, size_t first, size_t last, Digits x, size_t tokens, float* y,
                    size_t stride, bool add) {
    size_t groups = x.columns / GROUP, bytes = group_bytes(symmetric);
    for (size_t tile = first; tile < last; tile++) {
        for (size_t t = 0; t < tokens; t++) {
            float sums[TILE] = {0};
            const uint8_t* w = tiles + tile * groups * bytes;
            const int8_t* q = x.q + t * x.columns;
            const float* xs = x.scales + t * 2 * groups;
            for (size_t g = 0; g < groups; g++, w += bytes, q += GROUP, xs += 2) {
                const uint16_t* halves = (const uint16_t*)(w + LINES);
                for (int r = 0; r < TILE; r++) {
                    int32_t sum = 0;
                    for (int c = 0; c < 16; c++) {
                        uint8_t both = w[c / 4 * 64 + r * 4 + c % 4];
                        sum += (both & 15) * q[c] + (both >> 4) * q[c + 16];
                    }
                    float scale = half_to_float(halves[r]);
                    float minimum = symmetric ? -8 * scale : half_to_float(halves[TILE + r]);
                    sums[r] += (float)sum * (scale * xs[0]) + minimum * xs[1];
                }
            }
            float* out = y + t * stride + tile * TILE;
            for (int r = 0; r < TILE; r++) out[r] = add ? out[r] + sums[r] : sums[r];
        }
    }
}

static void rows8(const int8_t* w, const float* scales, size_t first, size_t last, size_t columns, const int16_t* x,
                  const float* xs, size_t tokens, float* y, size_t stride) {
    for (size_t r = first; r < last; r++) {
        for (size_t t = 0; t < tokens; t++) {
            int32_t sum = 0;
            for (size_t c = 0; c < columns; c++) sum += w[r * columns + c] * x[t * columns + c];
            y[t * stride + r] = (float)sum * scales[r] * xs[t];
        }
    }
}

static bool runs() { return true; }

const Level portable_level = {"portable", runs, product, rows8, quantise, quantise16, quantise8, norm, turn,
                          swiglu, gated, narrow, widen, attend, join, attend_block, scores};
