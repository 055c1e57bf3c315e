// What the fuzzed cases have in common: random values, and weights and stores with what they stand for in float64.
#pragma once
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vector>

#include "blocks.h"
#include "parallel.h"
#include "team.h"

using std::vector;

static uint64_t state;

static uint64_t bits() {
    uint64_t z = state += 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

static size_t from_to(size_t low, size_t high) { return low + bits() % (high - low + 1); }
static bool one_in(size_t n) { return bits() % n == 0; }
static double unit() { return (double)(bits() >> 11) * 0x1p-53; }
static float normal() { return (float)((unit() + unit() + unit() + unit() - 2) * 1.7); }

// Of ordinary size, or tiny, or huge, or with few large ones, or nearly all zero.
static vector<float> values(size_t n, bool tame = false) {
    vector<float> x(n);
    size_t kind = tame ? 0 : from_to(0, 7);
    float size = kind == 1 ? 1e-20f : kind == 2 ? 1e15f : 1.0f;
    for (float& v : x) v = normal() * size * (kind == 3 && one_in(20) ? 300.0f : kind == 4 && !one_in(20) ? 0.0f : 1.0f);
    return x;
}

static float bf16(float x, uint16_t* kept = nullptr) {
    uint32_t b;
    memcpy(&b, &x, 4);
    b = (b + 0x7FFF + ((b >> 16) & 1)) & 0xFFFF0000u;
    if (kept) *kept = (uint16_t)(b >> 16);
    memcpy(&x, &b, 4);
    return x;
}

#if defined(__aarch64__)
typedef __fp16 Half;  // C++ has no _Float16 there
#else
typedef _Float16 Half;
#endif

static uint16_t half(float x, double* exact) {
    Half h = (Half)x;
    uint16_t kept;
    memcpy(&kept, &h, 2);
    *exact = (double)h;
    return kept;
}

static vector<char> room(int64_t size) { return vector<char>((size_t)size + 64); }
static void* aligned(vector<char>& memory) { return (void*)(((uintptr_t)memory.data() + 63) / 64 * 64); }

static char about[200];
static const char* told = "";

static void check(double found, double wanted, double allowed) {
    if (fabs(found - wanted) <= allowed) return;  // a NaN is not
    printf("%s: %s: found %.9g, wanted %.9g, allowed %.3g\n", told, about, found, wanted, allowed);
    exit(1);
}

// A weight in tiles with what it stands for, and the size of the two terms of each value.
struct Tiled {
    size_t rows, columns;
    vector<uint8_t> tiles;
    vector<double> w, terms;
    vector<float> bias;
    Linear linear;

    Tiled(size_t rows, size_t columns, bool biased, float size, bool symmetric) : rows(rows), columns(columns) {
        size_t bytes = group_bytes(symmetric), groups = columns / GROUP, all = padded(rows) / TILE;
        tiles.resize(all * groups * bytes);
        w.resize(rows * columns);
        terms.resize(rows * columns);
        for (size_t tile = 0; tile < all; tile++)
            for (size_t g = 0; g < groups; g++) {
                uint8_t* at = &tiles[(tile * groups + g) * bytes];
                for (int i = 0; i < LINES; i++) at[i] = (uint8_t)bits();
                for (size_t r = 0; r < TILE; r++) {
                    double scale, minimum;
                    uint16_t halves[2] = {half(one_in(30) ? 0 : size * normal() / 8, &scale),
                                          half(one_in(30) ? 0 : size * normal(), &minimum)};
                    memcpy(at + LINES + 2 * r, halves, 2);
                    if (symmetric)
                        minimum = -8 * scale;
                    else
                        memcpy(at + LINES + 32 + 2 * r, halves + 1, 2);
                    if (tile * TILE + r >= rows) continue;
                    for (size_t c = 0; c < GROUP; c++) {
                        uint8_t both = at[c % 16 / 4 * 64 + r * 4 + c % 4];
                        double q = c < 16 ? both & 15 : both >> 4;
                        size_t i = (tile * TILE + r) * columns + g * GROUP + c;
                        w[i] = q * scale + minimum;
                        terms[i] = fabs(q * scale) + fabs(minimum);
                    }
                }
            }
        if (biased) bias = values(rows, true);
        linear = {tiles.data(), biased ? bias.data() : nullptr, (int64_t)rows, (int64_t)columns, symmetric};
    }

    // Row `r` times x, with what may be wrong because x has 8 bits per group and sums are f32.
    double row(size_t r, const double* x, double* allowed) const {
        double sum = bias.empty() ? 0 : bias[r];
        *allowed = fabs(sum) * 1e-6;
        for (size_t g = 0; g < columns; g += GROUP) {
            double most = 0, weights = 0, sizes = 0;
            for (size_t c = g; c < g + GROUP; c++) {
                sum += w[r * columns + c] * x[c];
                most = fmax(most, fabs(x[c]));
                weights += fabs(w[r * columns + c]);
                sizes += terms[r * columns + c];
            }
            *allowed += most * (weights / 254 * 1.001 + 4e-6 * sizes);
        }
        return sum;
    }
};

// One KV head's store, in bf16 or in int8 with a scale for each row, and as it is.
struct Store {
    size_t slots, dim;
    vector<char> kept;
    vector<float> scales;
    vector<double> exact;
    Store(size_t slots, size_t dim, bool eight)
        : slots(slots), dim(dim), kept(slots * dim * (eight ? 1 : 2)), exact(slots * dim) {
        for (size_t i = 0; eight && i < slots; i++) scales.push_back(one_in(30) ? 1e-30f : (float)unit() / 50);
        for (size_t i = 0; i < exact.size(); i++) {
            int8_t digit = (int8_t)((int)from_to(0, 254) - 127);
            uint16_t half;
            exact[i] = eight ? (double)digit * scales[i / dim] : bf16(normal(), &half);
            memcpy(&kept[i * (eight ? 1 : 2)], eight ? (void*)&digit : &half, eight ? 1 : 2);
        }
    }
    Rows rows() const { return {kept.data(), scales.empty() ? nullptr : scales.data()}; }
};

// What one query sees: softmax over `places` of the store, a sink taking its share.
static vector<double> seen(const float* q, double scale, const Store& keys, const Store& values, const vector<size_t>& places,
                           const float* sink) {
    vector<double> y(keys.dim), scores;
    double most = sink ? *sink : -1e300, sum = 0;
    for (size_t place : places) {
        double score = 0;
        for (size_t d = 0; d < keys.dim; d++) score += q[d] * keys.exact[place * keys.dim + d];
        scores.push_back(score * scale);
        most = fmax(most, score * scale);
    }
    if (sink) sum = exp(*sink - most);
    for (size_t i = 0; i < places.size(); i++) {
        double weight = exp(scores[i] - most);
        sum += weight;
        for (size_t d = 0; d < keys.dim; d++) y[d] += weight * values.exact[places[i] * keys.dim + d];
    }
    for (double& v : y) v /= sum;
    return y;
}
