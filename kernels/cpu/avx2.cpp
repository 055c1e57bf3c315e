// AVX2 without VNNI: Haswell, Zen and later.
#if defined(__x86_64__)
#include <immintrin.h>

#include "level.h"
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c")
#endif
#include "rows.inc"
#define WIDE 8
#define AT_ONCE 2
#include "prompt.inc"

// Sums of two products in 16 bits; a group's eight of them stay within 8 * 2 * 15 * 127 = 30,480.
#define DOT(sum, bytes, digits) _mm256_add_epi16(sum, _mm256_maddubs_epi16(bytes, digits))
#define FINISH(sum) _mm256_madd_epi16(sum, _mm256_set1_epi16(1))
#include "narrow256.inc"

static bool runs() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

#if defined(__clang__)
#pragma clang attribute pop
#endif

const Level avx2_level = {"avx2", runs, product, rows8, quantise, quantise16, quantise8, norm, turn,
                          swiglu, gated, narrow, widen, attend, join, attend_block, scores};
#endif
