// The level that every processor has, and that says what the others compute.
#include "level.h"
#include "rows.inc"

static void product(const uint8_t* tiles, size_t first, size_t last, Digits x, size_t tokens, float* y, size_t stride,
                    bool add) {
    size_t groups = x.columns / GROUP;
    for (size_t tile = first; tile < last; tile++) {
        for (size_t t = 0; t < tokens; t++) {
            float sums[TILE] = {0};
            const uint8_t* w = tiles + tile * groups * TILE_GROUP_BYTES;
            const int8_t* q = x.q + t * x.columns;
            const float* xs = x.scales + t * 2 * groups;
            for (size_t g = 0; g < groups; g++, w += TILE_GROUP_BYTES, q += GROUP, xs += 2) {
                const uint16_t* halves = (const uint16_t*)(w + LINES);
                for (int r = 0; r < TILE; r++) {
                    int32_t sum = 0;
                    for (int c = 0; c < 16; c++) {
                        uint8_t both = w[c / 4 * 64 + r * 4 + c % 4];
                        sum += (both & 15) * q[c] + (both >> 4) * q[c + 16];
                    }
                    sums[r] += (float)sum * (half_to_float(halves[r]) * xs[0]) + half_to_float(halves[TILE + r]) * xs[1];
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

const Level portable_level = {"portable", runs,   product, rows8, quantise, quantise16,
                              norm,       turn, swiglu,  narrow, widen,   attend, join};
