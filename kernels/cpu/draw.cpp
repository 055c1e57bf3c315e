// The next token from one row of logits. Nothing is put in order but what can still be chosen: a histogram of the
// distances to the largest logit tells how far that reaches.
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

namespace {

struct Candidate {
    float distance;  // to the largest logit, in units of the temperature
    int32_t id;
};

// The likeliest first; of equal ones the lower id.
int in_order(const void* a_, const void* b_) {
    const Candidate &a = *(const Candidate*)a_, &b = *(const Candidate*)b_;
    if (a.distance != b.distance) return a.distance < b.distance ? -1 : 1;
    return a.id < b.id ? -1 : 1;
}

// Weights from e^-FAR on count as none.
enum { FAR = 40, STEPS = 16, BUCKETS = FAR * STEPS + 1 };

struct Row {
    const float* logits;
    int64_t n;
    float temperature, most, farthest;

    // Whether token `i` can be chosen at all; its distance.
    bool near(int64_t i, float* distance) const {
        *distance = (most - logits[i]) / temperature;
        return *distance <= farthest;
    }
};

uint32_t mixed(uint32_t x) {
    x = (x ^ x >> 16) * 0x7FEB352Du;
    x = (x ^ x >> 15) * 0x846CA68Bu;
    return x ^ x >> 16;
}

// See famulus.kernels.sample.noise.
float noise(uint64_t key, int64_t id) {
    uint32_t h = mixed(mixed((uint32_t)id ^ (uint32_t)key) ^ (uint32_t)(key >> 32));
    return -log1pf(-fminf(((float)h + 0.5f) * 0x1p-32f, 1 - 0x1p-24f));
}

}  // namespace

// See famulus.kernels.sample.Choice; `scratch` n * 8 bytes. -1 where no token can be chosen.
extern "C" int64_t famulus_draw(const float* logits, int64_t n, float temperature, int64_t top_k, float top_p, float min_p,
                                uint64_t key, void* scratch) {
    Row row = {logits, n, temperature, logits[0], min_p > 0 ? fminf(-logf(min_p), (float)FAR) : (float)FAR};
    for (int64_t i = 1; i < n; i++) row.most = logits[i] > row.most ? logits[i] : row.most;
    bool cut = top_p < 1 || (top_k > 0 && top_k < n);
    int64_t counts[BUCKETS] = {0}, best = -1;
    double masses[BUCKETS] = {0}, highest = -1, whole = 0;
    for (int64_t i = 0; i < n; i++) {
        float distance;
        bool near = row.near(i, &distance);
        if (distance != distance) return -1;  // a NaN, or the largest is infinite
        if (!near) continue;
        float weight = expf(-distance);
        if (!cut) {
            float chance = weight / noise(key, i);
            if (chance > highest) highest = chance, best = i;
            continue;
        }
        counts[(int)(distance * STEPS)]++;
        masses[(int)(distance * STEPS)] += weight;
        whole += weight;
    }
    if (!cut) return best;

    int64_t wanted = top_k > 0 && top_k < n ? top_k : n, found = 0;
    int reach = 0;
    double mass = 0;
    for (; reach < BUCKETS && found < wanted; reach++) {
        found += counts[reach], mass += masses[reach];
        if (wanted == n && mass > top_p * whole) break;
    }
    row.farthest = fminf(row.farthest, (float)(reach + 1) / STEPS);
    Candidate* each = (Candidate*)scratch;
    int64_t kept = 0;
    for (int64_t i = 0; i < n; i++) {
        float distance;
        if (row.near(i, &distance)) each[kept++] = {distance, (int32_t)i};
    }
    qsort(each, (size_t)kept, sizeof(Candidate), in_order);
    if (wanted < n) {
        kept = kept < wanted ? kept : wanted;
        whole = 0;
        for (int64_t i = 0; i < kept; i++) whole += expf(-each[i].distance);
    }
    double before = 0;
    for (int64_t i = 0; i < kept && (i == 0 || before < top_p * whole); i++) {
        double weight = expf(-each[i].distance);
        before += weight;
        double chance = weight / noise(key, each[i].id);
        if (chance > highest) highest = chance, best = each[i].id;
    }
    return best;
}
