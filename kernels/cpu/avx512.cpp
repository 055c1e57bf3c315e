// AVX-512 with VNNI: Ice Lake, Zen 4 and later.
#if defined(__x86_64__)
#include <immintrin.h>

#include "level.h"
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"))), \
                             apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,prefer-vector-width=512")
#endif
#include "rows.inc"

// One tile for T tokens: the nibbles are unpacked once.
template <int T>
static void one_tile(const uint8_t* w, size_t groups, const int8_t* q, size_t columns, const float* xs, float* y,
                     size_t stride, bool add) {
    const __m512i low = _mm512_set1_epi8(15);
    __m512 sums[T];
    for (int t = 0; t < T; t++) sums[t] = _mm512_setzero_ps();
    for (size_t g = 0; g < groups; g++, w += TILE_GROUP_BYTES) {
        __m512i planes[8];
        for (int i = 0; i < 4; i++) {
            __m512i both = _mm512_loadu_si512(w + 64 * i);
            planes[i] = _mm512_and_si512(both, low);
            planes[i + 4] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
        }
        __m512 scale = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)(w + LINES)));
        __m512 minimum = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)(w + LINES + 32)));
        for (int t = 0; t < T; t++) {
            const int8_t* digits = q + t * columns + g * GROUP;
            __m512i even = _mm512_setzero_si512(), odd = _mm512_setzero_si512();
            for (int i = 0; i < 8; i += 2) {
                int32_t four, next;
                __builtin_memcpy(&four, digits + 4 * i, 4);
                __builtin_memcpy(&next, digits + 4 * i + 4, 4);
                even = _mm512_dpbusd_epi32(even, planes[i], _mm512_set1_epi32(four));
                odd = _mm512_dpbusd_epi32(odd, planes[i + 1], _mm512_set1_epi32(next));
            }
            const float* s = xs + 2 * (t * groups + g);
            __m512 sum = _mm512_cvtepi32_ps(_mm512_add_epi32(even, odd));
            sums[t] = _mm512_fmadd_ps(sum, _mm512_mul_ps(scale, _mm512_set1_ps(s[0])), sums[t]);
            sums[t] = _mm512_fmadd_ps(minimum, _mm512_set1_ps(s[1]), sums[t]);
        }
    }
    for (int t = 0; t < T; t++) {
        float* out = y + t * stride;
        _mm512_storeu_ps(out, add ? _mm512_add_ps(_mm512_loadu_ps(out), sums[t]) : sums[t]);
    }
}

static void product(const uint8_t* tiles, size_t first, size_t last, Digits x, size_t tokens, float* y, size_t stride,
                    bool add) {
    size_t groups = x.columns / GROUP;
    for (size_t tile = first; tile < last; tile++) {
        const uint8_t* w = tiles + tile * groups * TILE_GROUP_BYTES;
        float* out = y + tile * TILE;
        size_t t = 0;
        for (; t + 8 <= tokens; t += 8)
            one_tile<8>(w, groups, x.q + t * x.columns, x.columns, x.scales + 2 * t * groups, out + t * stride, stride, add);
        const int8_t* q = x.q + t * x.columns;
        const float* xs = x.scales + 2 * t * groups;
        out += t * stride;
        switch (tokens - t) {
            case 1: one_tile<1>(w, groups, q, x.columns, xs, out, stride, add); break;
            case 2: one_tile<2>(w, groups, q, x.columns, xs, out, stride, add); break;
            case 3: one_tile<3>(w, groups, q, x.columns, xs, out, stride, add); break;
            case 4: one_tile<4>(w, groups, q, x.columns, xs, out, stride, add); break;
            case 5: one_tile<5>(w, groups, q, x.columns, xs, out, stride, add); break;
            case 6: one_tile<6>(w, groups, q, x.columns, xs, out, stride, add); break;
            case 7: one_tile<7>(w, groups, q, x.columns, xs, out, stride, add); break;
            default: break;
        }
    }
}

// One row for T tokens: its values are widened once.
template <int T>
static void one_row(const int8_t* row, float scale, size_t columns, const int16_t* x, const float* xs, float* y,
                    size_t stride) {
    __m512i sums[T];
    for (int t = 0; t < T; t++) sums[t] = _mm512_setzero_si512();
    size_t c = 0;
    for (; c + 32 <= columns; c += 32) {
        __m512i values = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i*)(row + c)));
        for (int t = 0; t < T; t++)
            sums[t] = _mm512_dpwssd_epi32(sums[t], values, _mm512_loadu_si512(x + t * columns + c));
    }
    if (c < columns) {
        __mmask32 rest = (__mmask32)((1ull << (columns - c)) - 1);
        __m512i values = _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(rest, row + c));
        for (int t = 0; t < T; t++)
            sums[t] = _mm512_dpwssd_epi32(sums[t], values, _mm512_maskz_loadu_epi16(rest, x + t * columns + c));
    }
    for (int t = 0; t < T; t++) y[t * stride] = (float)_mm512_reduce_add_epi32(sums[t]) * scale * xs[t];
}

static void rows8(const int8_t* w, const float* scales, size_t first, size_t last, size_t columns, const int16_t* x,
                  const float* xs, size_t tokens, float* y, size_t stride) {
    for (size_t r = first; r < last; r++) {
        const int8_t* row = w + r * columns;
        size_t t = 0;
        for (; t + 4 <= tokens; t += 4)
            one_row<4>(row, scales[r], columns, x + t * columns, xs + t, y + t * stride + r, stride);
        if (t + 2 <= tokens) {
            one_row<2>(row, scales[r], columns, x + t * columns, xs + t, y + t * stride + r, stride);
            t += 2;
        }
        if (t < tokens) one_row<1>(row, scales[r], columns, x + t * columns, xs + t, y + t * stride + r, stride);
    }
}

static bool runs() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("fma");
}

#if defined(__clang__)
#pragma clang attribute pop
#endif

const Level avx512_level = {"avx512", runs,   product, rows8, quantise, quantise16,
                            norm,     turn, swiglu,  narrow, widen,   attend, join};
#endif
