// The router: scores, groups, the best experts and as many of them as are wanted, the pairs sorted by expert.
#include <math.h>

#include "experts.h"
#include "parallel.h"

static void to_scores(const Router& r, float* logits) {
    size_t n = (size_t)r.experts;
    float most = -INFINITY, sum = 0;
    for (size_t e = 0; e < n; e++) {
        if (r.bias) logits[e] += r.bias[e];
        if (r.sigmoid) logits[e] = 1.0f / (1.0f + expf(-logits[e]));
        most = logits[e] > most ? logits[e] : most;
    }
    if (r.sigmoid) return;
    for (size_t e = 0; e < n; e++) sum += logits[e] = expf(logits[e] - most);
    for (size_t e = 0; e < n; e++) logits[e] /= sum;
}

// Index of the largest of those that are not `taken`, the lower one of equals; always one of them, even among NaN.
static size_t best_of(const float* values, const uint8_t* taken, size_t n) {
    size_t best = n;
    for (size_t i = 0; i < n; i++)
        if (!taken[i] && (best == n || values[i] > values[best])) best = i;
    return best;
}

// Takes all experts outside the best groups: what is left can be chosen.
static void keep_groups(const Router& r, const float* merit, uint8_t* taken) {
    size_t groups = (size_t)r.groups, size = (size_t)r.experts / groups;
    float worth[256];
    uint8_t kept[256] = {0};
    for (size_t g = 0; g < groups; g++) {
        const float* of = merit + g * size;
        size_t first = best_of(of, taken + g * size, size);
        worth[g] = of[first];
        if (!r.correction || size < 2) continue;
        taken[g * size + first] = 1;
        worth[g] += of[best_of(of, taken + g * size, size)];
        taken[g * size + first] = 0;
    }
    for (int64_t i = 0; i < r.kept_groups; i++) kept[best_of(worth, kept, groups)] = 1;
    for (size_t e = 0; e < (size_t)r.experts; e++) taken[e] = !kept[e / size];
}

// One token's places; `scores` are its logits, `room` holds as many floats and as many bytes.
static void choose(const Router& r, float* scores, float* room, float* weights, int64_t* experts) {
    size_t n = (size_t)r.experts;
    uint8_t* taken = (uint8_t*)(room + n);
    const float* merit = scores;
    to_scores(r, scores);
    for (size_t e = 0; e < n; e++) taken[e] = 0;
    if (r.correction) {
        for (size_t e = 0; e < n; e++) room[e] = scores[e] + r.correction[e];
        merit = room;
    }
    if (r.groups > 1) keep_groups(r, merit, taken);
    float wanted = INFINITY, reached = 0, sum = 0;
    if (r.top_p < 1) {
        wanted = 0;
        for (size_t e = 0; e < n; e++) wanted += scores[e];
        wanted *= r.top_p;
    }
    for (int64_t k = 0; k < r.top_k; k++) {
        bool is_free = reached >= wanted;
        size_t best = is_free ? n : best_of(merit, taken, n);
        if (best == n) {  // also where fewer are left than places
            weights[k] = 0;
            experts[k] = -1;
            continue;
        }
        taken[best] = 1;
        experts[k] = (int64_t)best;
        weights[k] = scores[best];
        reached += scores[best];
        sum += scores[best];
    }
    for (int64_t k = 0; k < r.top_k; k++) weights[k] *= r.scale / (r.renormalise ? sum + 1e-20f : 1.0f);
}

// Counting sort; stable, so an expert's pairs come by ascending token.
static size_t sort_pairs(const Router& r, size_t pairs, const int64_t* experts, int64_t* starts, int64_t* order) {
    size_t n = (size_t)r.experts;
    for (size_t e = 0; e <= n; e++) starts[e] = 0;
    for (size_t p = 0; p < pairs; p++) starts[experts[p] < 0 ? n : (size_t)experts[p]]++;
    int64_t at = 0, used = 0;
    for (size_t e = 0; e <= n; e++) {
        int64_t count = starts[e];
        starts[e] = at;
        at += count;
        if (e < n) used = at;
    }
    for (size_t p = 0; p < pairs; p++) order[starts[experts[p] < 0 ? n : (size_t)experts[p]]++] = (int64_t)p;
    return (size_t)used;
}

// Floats of `logits` that one token takes: scores, merits and the marks of what is taken.
static size_t room_of(const Router& r) { return 2 * (size_t)r.experts + (size_t)(r.experts + 3) / 4; }

void route_rows(const Level& l, const Router& r, const float* x, size_t first, size_t last, float* logits, float* weights,
                int64_t* experts) {
    size_t room = room_of(r), k = (size_t)r.top_k, columns = (size_t)r.columns;
    for (size_t t = first; t < last; t++) {
        float* mine = logits + t * room;
        l.scores(r.gate, (size_t)r.experts, columns, x + t * columns, mine);
        choose(r, mine, mine + r.experts, weights + t * k, experts + t * k);
    }
}

size_t routed(const Router& r, size_t tokens, float* logits, const int64_t* experts, int64_t* order) {
    auto starts = (int64_t*)(logits + (tokens * room_of(r) + 1) / 2 * 2);
    return sort_pairs(r, tokens * (size_t)r.top_k, experts, starts, order);
}

extern "C" int64_t famulus_route_scratch(const Router* r, int64_t tokens) {
    return (int64_t)(((size_t)tokens * room_of(*r) + 2) * sizeof(float) + ((size_t)r->experts + 1) * sizeof(int64_t));
}

extern "C" void famulus_route(const Router* r, const float* x, int64_t tokens, float* weights, int64_t* experts,
                              int64_t* order, void* scratch) {
    const Level& l = level();
    shared(tokens >= MANY, (size_t)tokens, [&](size_t first, size_t last) {
        route_rows(l, *r, x, first, last, (float*)scratch, weights, experts);
    });
    routed(*r, (size_t)tokens, (float*)scratch, experts, order);
}
