// AVX-512 with VNNI: Ice Lake, Zen 4 and later.
#if defined(__x86_64__)
#include <immintrin.h>

#include "level.h"
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"))), \
                             apply_to = function)
#else
#pragma GCC diagnostic ignored "-Wuninitialized"  // what gcc 12's own headers leave open on purpose
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,prefer-vector-width=512")
#endif
#include "rows.inc"
#define WIDE 16
#define AT_ONCE 3
#define HEADS 4
#include "prompt.inc"

static inline Lanes lanes_of(const uint16_t* x) {
    return (Lanes)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)x)), 16);
}

static inline Lanes lanes_of(const int8_t* x) {
    return (Lanes)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)x)));
}

static inline void four_sums(const Lanes* x, float* y) {
    __m512 a = (__m512)x[0], b = (__m512)x[1], c = (__m512)x[2], d = (__m512)x[3];
    __m512d first = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));
    __m512d second = _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d)));
    __m512 all = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(first, second)),
                               _mm512_castpd_ps(_mm512_unpackhi_pd(first, second)));
    __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
    _mm_storeu_ps(y, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}
#include "attend.inc"

// Products of one group with the digits of T tokens, the tokens' sums side by side so that they do not wait for each other.
template <int T>
static inline void group_sums(const __m512i* planes, const int8_t* q, size_t columns, __m512i* sums) {
    for (int t = 0; t < T; t++) sums[t] = _mm512_setzero_si512();
    for (int i = 0; i < 8; i++)
        for (int t = 0; t < T; t++) {
            int32_t four;
            __builtin_memcpy(&four, q + t * columns + 4 * i, 4);
            sums[t] = _mm512_dpbusd_epi32(sums[t], planes[i], _mm512_set1_epi32(four));
        }
}

// One tile for T tokens, worked through in runs of R: the nibbles are unpacked once.
template <int T, int R, bool S>
static void one_tile(const uint8_t* w, size_t groups, const int8_t* q, size_t columns, const float* xs, float* y,
                     size_t stride, bool add) {
    const __m512i low = _mm512_set1_epi8(15);
    __m512 sums[T];
    for (int t = 0; t < T; t++) sums[t] = _mm512_setzero_ps();
    for (size_t g = 0; g < groups; g++, w += group_bytes(S)) {
        ahead(w, group_bytes(S));
        __m512i planes[8];
        for (int i = 0; i < 4; i++) {
            __m512i both = _mm512_loadu_si512(w + 64 * i);
            planes[i] = _mm512_and_si512(both, low);
            planes[i + 4] = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
        }
        __m512 scale = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)(w + LINES)));
        __m512 minimum = S ? _mm512_mul_ps(scale, _mm512_set1_ps(-8.0f))
                           : _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)(w + LINES + (S ? 0 : 32))));
#pragma GCC unroll 16
        for (int t = 0; t < T; t += R) {
            __m512i found[R];
            group_sums<R>(planes, q + t * columns + g * GROUP, columns, found);
            for (int i = 0; i < R; i++) {
                const float* s = xs + 2 * ((t + i) * groups + g);
                __m512 sum = _mm512_cvtepi32_ps(found[i]);
                sums[t + i] = _mm512_fmadd_ps(sum, _mm512_mul_ps(scale, _mm512_set1_ps(s[0])), sums[t + i]);
                sums[t + i] = _mm512_fmadd_ps(minimum, _mm512_set1_ps(s[1]), sums[t + i]);
            }
        }
    }
    for (int t = 0; t < T; t++) {
        float* out = y + t * stride;
        _mm512_storeu_ps(out, add ? _mm512_add_ps(_mm512_loadu_ps(out), sums[t]) : sums[t]);
    }
}

template <bool S>
static void tiles_product(const uint8_t* tiles, size_t first, size_t last, Digits x, size_t tokens, float* y,
                          size_t stride, bool add) {
    size_t groups = x.columns / GROUP;
    for (size_t tile = first; tile < last; tile++) {
        const uint8_t* w = tiles + tile * groups * group_bytes(S);
        for (size_t t = 0; t < tokens;) {
            const int8_t* q = x.q + t * x.columns;
            const float* xs = x.scales + 2 * t * groups;
            float* out = y + t * stride + tile * TILE;
            size_t count = tokens - t >= 16 ? 16 : tokens - t >= 8 ? 8 : tokens - t;
            switch (count) {
                case 16: one_tile<16, 4, S>(w, groups, q, x.columns, xs, out, stride, add); break;
                case 8: one_tile<8, 4, S>(w, groups, q, x.columns, xs, out, stride, add); break;
                case 7: one_tile<7, 7, S>(w, groups, q, x.columns, xs, out, stride, add); break;
                case 6: one_tile<6, 6, S>(w, groups, q, x.columns, xs, out, stride, add); break;
                case 5: one_tile<5, 5, S>(w, groups, q, x.columns, xs, out, stride, add); break;
                case 4: one_tile<4, 4, S>(w, groups, q, x.columns, xs, out, stride, add); break;
                case 3: one_tile<3, 3, S>(w, groups, q, x.columns, xs, out, stride, add); break;
                case 2: one_tile<2, 2, S>(w, groups, q, x.columns, xs, out, stride, add); break;
                default: one_tile<1, 1, S>(w, groups, q, x.columns, xs, out, stride, add); break;
            }
            t += count;
        }
    }
}

static void product(const uint8_t* tiles, bool symmetric, size_t first, size_t last, Digits x, size_t tokens, float* y,
                    size_t stride, bool add) {
    (symmetric ? tiles_product<true> : tiles_product<false>)(tiles, first, last, x, tokens, y, stride, add);
}

// Digits of one group of 32 from its values in two registers; as `quantise` of rows.inc.
static inline void quantise_group(__m512 a, __m512 b, int8_t* q, float* scales) {
    float most = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(a), _mm512_abs_ps(b)));
    __m512 inverse = _mm512_set1_ps(most > 1e-30f ? 127.0f / most : 0.0f);
    __m512i first = _mm512_cvtps_epi32(_mm512_mul_ps(a, inverse)), second = _mm512_cvtps_epi32(_mm512_mul_ps(b, inverse));
    _mm_storeu_si128((__m128i*)q, _mm512_cvtepi32_epi8(first));
    _mm_storeu_si128((__m128i*)(q + 16), _mm512_cvtepi32_epi8(second));
    scales[0] = most / 127.0f;
    scales[1] = most / 127.0f * (float)_mm512_reduce_add_epi32(_mm512_add_epi32(first, second));
}

static void quantise_wide(const float* x, size_t columns, int8_t* q, float* scales) {
    for (size_t g = 0; g < columns / GROUP; g++, x += GROUP)
        quantise_group(_mm512_loadu_ps(x), _mm512_loadu_ps(x + 16), q + g * GROUP, scales + 2 * g);
}

static inline __m512 silu(__m512 x) {
    __m512 over = _mm512_add_ps(_mm512_set1_ps(1.0f), (__m512)exponentials(-(Lanes)x));
    // The reciprocal's 14 bits become 24 in two steps; 1 + e^-x is at most 1e38, of which it is still a normal number.
    __m512 r = _mm512_rcp14_ps(over), two = _mm512_set1_ps(2.0f);
    r = _mm512_mul_ps(r, _mm512_fnmadd_ps(over, r, two));
    r = _mm512_mul_ps(r, _mm512_fnmadd_ps(over, r, two));
    return _mm512_mul_ps(x, r);
}

static void gated_wide(const float* gate, const float* up, size_t n, int8_t* q, float* scales) {
    for (size_t g = 0; g < n / GROUP; g++, gate += GROUP, up += GROUP) {
        __m512 a = _mm512_mul_ps(silu(_mm512_loadu_ps(gate)), _mm512_loadu_ps(up));
        __m512 b = _mm512_mul_ps(silu(_mm512_loadu_ps(gate + 16)), _mm512_loadu_ps(up + 16));
        quantise_group(a, b, q + g * GROUP, scales + 2 * g);
    }
}

// Adds 32 columns (or those of `rest`) of N rows, widened once, times T tokens.
template <int N, int T, bool All>
static inline void add_columns(const int8_t* w, const int16_t* x, size_t columns, __mmask32 rest, __m512i (*sums)[T]) {
    __m512i values[N];
    for (int r = 0; r < N; r++) {
        const int8_t* row = w + r * columns;
        __m256i digits = All ? _mm256_loadu_si256((const __m256i*)row) : _mm256_maskz_loadu_epi8(rest, row);
        values[r] = _mm512_cvtepi8_epi16(digits);
    }
    for (int t = 0; t < T; t++) {
        const int16_t* digits = x + t * columns;
        __m512i given = All ? _mm512_loadu_si512(digits) : _mm512_maskz_loadu_epi16(rest, digits);
        for (int r = 0; r < N; r++) sums[r][t] = _mm512_dpwssd_epi32(sums[r][t], values[r], given);
    }
}

// The sum of each of four vectors.
static inline __m128i four_totals(__m512i a, __m512i b, __m512i c, __m512i d) {
    __m512i first = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    __m512i second = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    __m512i all = _mm512_add_epi32(_mm512_unpacklo_epi64(first, second), _mm512_unpackhi_epi64(first, second));
    __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(all), _mm512_extracti64x4_epi64(all, 1));
    return _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

// N rows, four or one, for T tokens.
template <int N, int T>
static void some_rows(const int8_t* w, const float* scales, size_t columns, const int16_t* x, const float* xs, float* y,
                      size_t stride) {
    __m512i sums[N][T];
    for (int r = 0; r < N; r++)
        for (int t = 0; t < T; t++) sums[r][t] = _mm512_setzero_si512();
    size_t c = 0;
    for (; c + 32 <= columns; c += 32) {
        for (int r = 0; r < N; r++)
            if (c % 64 == 0) ahead((const uint8_t*)w + r * columns + c, 64);
        add_columns<N, T, true>(w + c, x + c, columns, 0, sums);
    }
    if (c < columns) add_columns<N, T, false>(w + c, x + c, columns, (__mmask32)((1ull << (columns - c)) - 1), sums);
    for (int t = 0; t < T; t++) {
        if (N == 4) {
            __m128 found = _mm_cvtepi32_ps(four_totals(sums[0][t], sums[N / 4][t], sums[N / 2][t], sums[N - 1][t]));
            found = _mm_mul_ps(_mm_mul_ps(found, _mm_loadu_ps(scales)), _mm_set1_ps(xs[t]));
            _mm_storeu_ps(y + t * stride, found);
        } else {
            y[t * stride] = (float)_mm512_reduce_add_epi32(sums[0][t]) * *scales * xs[t];
        }
    }
}

template <int T>
static void rows_of(const int8_t* w, const float* scales, size_t rows, size_t columns, const int16_t* x, const float* xs,
                    float* y, size_t stride) {
    size_t r = 0;
    for (; r + 4 <= rows; r += 4) some_rows<4, T>(w + r * columns, scales + r, columns, x, xs, y + r, stride);
    for (; r < rows; r++) some_rows<1, T>(w + r * columns, scales + r, columns, x, xs, y + r, stride);
}

static void rows8(const int8_t* w, const float* scales, size_t first, size_t last, size_t columns, const int16_t* x,
                  const float* xs, size_t tokens, float* y, size_t stride) {
    // A line of y is written at once: those of many tokens can be in each other's way in the cache.
    for (size_t r = first; r < last; r += TILE) {
        size_t rows = last - r < TILE ? last - r : (size_t)TILE, t = 0;
        const int8_t* at = w + r * columns;
        for (; t + 4 <= tokens; t += 4)
            rows_of<4>(at, scales + r, rows, columns, x + t * columns, xs + t, y + t * stride + r, stride);
        for (; t + 2 <= tokens; t += 2)
            rows_of<2>(at, scales + r, rows, columns, x + t * columns, xs + t, y + t * stride + r, stride);
        if (t < tokens) rows_of<1>(at, scales + r, rows, columns, x + t * columns, xs + t, y + t * stride + r, stride);
    }
}

static bool runs() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("fma");
}

#if defined(__clang__)
#pragma clang attribute pop
#endif

const Level avx512_level = {"avx512", runs, product, rows8, quantise_wide, quantise16, quantise8, norm, turn,
                            swiglu, gated_wide, narrow, widen, attend, join, attend_block, scores};
#endif
