// AVX2 with the 256-bit form of VNNI: laptops since Alder Lake.
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

#include "level.h"
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avxvnni"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c,avxvnni")
#endif
#include "rows.inc"
#define WIDE 8
#define AT_ONCE 2
#include "prompt.inc"

#define DOT(sum, bytes, digits) _mm256_dpbusd_avx_epi32(sum, bytes, digits)
#define FINISH(sum) (sum)
#include "narrow256.inc"

// Older compilers know the instruction and not its name in __builtin_cpu_supports: leaf 7.1, EAX bit 4.
static bool runs() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c") &&
           __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 16);
}

#if defined(__clang__)
#pragma clang attribute pop
#endif

const Level avxvnni_level = {"avxvnni", runs, product, rows8, quantise, quantise16, quantise8, norm, turn,
                          swiglu, gated, narrow, widen, attend, join, attend_block, scores};
#endif
