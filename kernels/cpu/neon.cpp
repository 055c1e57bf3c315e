// NEON with the dot products of Armv8.2: Graviton 2, Apple's M1, Cortex-A76 and later.
#if defined(__aarch64__)
#include <arm_neon.h>
#include <sys/auxv.h>

#include "level.h"
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("arch=armv8.2-a+dotprod"))), apply_to = function)
#else
#pragma GCC target("arch=armv8.2-a+dotprod")
#endif
#include "rows.inc"
#define WIDE 4
#define AT_ONCE 2
#include "prompt.inc"

static inline Lanes lanes_of(const uint16_t* x) { return (Lanes)vshll_n_u16(vld1_u16(x), 16); }

static inline Lanes lanes_of(const int8_t* x) {
    uint32_t four;
    __builtin_memcpy(&four, x, 4);
    return (Lanes)vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vcreate_s8(four)))));
}

static inline void four_sums(const Lanes* x, float* y) {
    float32x4_t first = vpaddq_f32((float32x4_t)x[0], (float32x4_t)x[1]);
    vst1q_f32(y, vpaddq_f32(first, vpaddq_f32((float32x4_t)x[2], (float32x4_t)x[3])));
}
#define HEADS 4
#include "attend.inc"

static inline float32x4_t four_halves(const uint8_t* at) {
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(at)));
}

// One tile for T tokens, its rows in four registers: the nibbles are unpacked once.
template <int T, bool S>
static void one_tile(const uint8_t* w, size_t groups, const int8_t* q, size_t columns, const float* xs, float* y,
                     size_t stride, bool add) {
    const uint8x16_t low = vdupq_n_u8(15);
    float32x4_t sums[T][4];
    for (int t = 0; t < T; t++)
        for (int r = 0; r < 4; r++) sums[t][r] = vdupq_n_f32(0);
    for (size_t g = 0; g < groups; g++, w += group_bytes(S)) {
        int32x4_t found[T][4];
        for (int t = 0; t < T; t++)
            for (int r = 0; r < 4; r++) found[t][r] = vdupq_n_s32(0);
        for (int i = 0; i < 4; i++)
            for (int r = 0; r < 4; r++) {
                uint8x16_t both = vld1q_u8(w + 64 * i + 16 * r);
                int8x16_t first = vreinterpretq_s8_u8(vandq_u8(both, low));
                int8x16_t second = vreinterpretq_s8_u8(vshrq_n_u8(both, 4));
                for (int t = 0; t < T; t++) {
                    int32_t four, later;
                    __builtin_memcpy(&four, q + t * columns + g * GROUP + 4 * i, 4);
                    __builtin_memcpy(&later, q + t * columns + g * GROUP + 4 * i + 16, 4);
                    found[t][r] = vdotq_s32(found[t][r], first, vreinterpretq_s8_s32(vdupq_n_s32(four)));
                    found[t][r] = vdotq_s32(found[t][r], second, vreinterpretq_s8_s32(vdupq_n_s32(later)));
                }
            }
        for (int r = 0; r < 4; r++) {
            float32x4_t scale = four_halves(w + LINES + 8 * r);
            float32x4_t minimum = S ? vmulq_n_f32(scale, -8.0f) : four_halves(w + LINES + (S ? 0 : 32) + 8 * r);
            for (int t = 0; t < T; t++) {
                const float* s = xs + 2 * (t * groups + g);
                sums[t][r] = vfmaq_f32(sums[t][r], vcvtq_f32_s32(found[t][r]), vmulq_n_f32(scale, s[0]));
                sums[t][r] = vfmaq_n_f32(sums[t][r], minimum, s[1]);
            }
        }
    }
    for (int t = 0; t < T; t++)
        for (int r = 0; r < 4; r++) {
            float* out = y + t * stride + 4 * r;
            vst1q_f32(out, add ? vaddq_f32(vld1q_f32(out), sums[t][r]) : sums[t][r]);
        }
}

template <bool S>
static void tiles_product(const uint8_t* tiles, size_t first, size_t last, Digits x, size_t tokens, float* y,
                          size_t stride, bool add) {
    size_t groups = x.columns / GROUP;
    for (size_t tile = first; tile < last; tile++) {
        const uint8_t* w = tiles + tile * groups * group_bytes(S);
        for (size_t t = 0; t < tokens; t += 2) {
            const int8_t* q = x.q + t * x.columns;
            const float* xs = x.scales + 2 * t * groups;
            float* out = y + t * stride + tile * TILE;
            if (t + 1 < tokens)
                one_tile<2, S>(w, groups, q, x.columns, xs, out, stride, add);
            else
                one_tile<1, S>(w, groups, q, x.columns, xs, out, stride, add);
        }
    }
}

static void product(const uint8_t* tiles, bool symmetric, size_t first, size_t last, Digits x, size_t tokens, float* y,
                    size_t stride, bool add) {
    (symmetric ? tiles_product<true> : tiles_product<false>)(tiles, first, last, x, tokens, y, stride, add);
}

static void rows8(const int8_t* w, const float* scales, size_t first, size_t last, size_t columns, const int16_t* x,
                  const float* xs, size_t tokens, float* y, size_t stride) {
    size_t whole = columns / 16 * 16;
    for (size_t r = first; r < last; r++) {
        const int8_t* row = w + r * columns;
        for (size_t t = 0; t < tokens; t++) {
            const int16_t* digits = x + t * columns;
            int32x4_t a = vdupq_n_s32(0), b = a;
            for (size_t c = 0; c < whole; c += 16) {
                int8x16_t values = vld1q_s8(row + c);
                int16x8_t one = vmovl_s8(vget_low_s8(values)), other = vmovl_high_s8(values);
                int16x8_t given = vld1q_s16(digits + c), later = vld1q_s16(digits + c + 8);
                a = vmlal_high_s16(vmlal_s16(a, vget_low_s16(one), vget_low_s16(given)), one, given);
                b = vmlal_high_s16(vmlal_s16(b, vget_low_s16(other), vget_low_s16(later)), other, later);
            }
            int32_t sum = vaddvq_s32(vaddq_s32(a, b));
            for (size_t c = whole; c < columns; c++) sum += row[c] * digits[c];
            y[t * stride + r] = (float)sum * scales[r] * xs[t];
        }
    }
}

// The kernel's HWCAP_ASIMDDP.
static bool runs() { return getauxval(AT_HWCAP) & (1 << 20); }

#if defined(__clang__)
#pragma clang attribute pop
#endif

const Level neon_level = {"neon", runs, product, rows8, quantise, quantise16, quantise8, norm, turn,
                          swiglu, gated, narrow, widen, attend, join, attend_block, scores};
#endif
