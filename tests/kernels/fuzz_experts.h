// Mixtures of experts: routers of all kinds, experts that nobody chose, a shared one or none.
#pragma once
#include "experts.h"
#include "fuzz_layers.h"

static const Linear* stacked(const vector<Tiled>& each, vector<uint8_t>& tiles, vector<float>& bias, Linear* made) {
    for (const Tiled& w : each) {
        tiles.insert(tiles.end(), w.tiles.begin(), w.tiles.end());
        bias.insert(bias.end(), w.bias.begin(), w.bias.end());
    }
    *made = each[0].linear;
    made->tiles = tiles.data();
    made->bias = bias.empty() ? nullptr : bias.data();
    return made;
}

// What a token's expert answers, in float64.
static vector<double> answer(const Tiled& gate_up, const Tiled& down, const vector<double>& x, double alpha, double limit,
                             double* squares) {
    double between = 0;
    vector<double> both = times(gate_up, x.data(), &between);
    size_t inner = down.columns;
    for (size_t i = 0; i < inner; i++) {
        double a = both[i], b = both[inner + i];
        if (limit > 0) a = fmin(a, limit), b = fmax(fmin(b, limit), -limit);
        both[i] = limit > 0 ? a / (1 + exp(-alpha * a)) * (b + 1) : a / (1 + exp(-a)) * b;
    }
    return times(down, both.data(), squares);
}

static void fuzz_mixture() {
    size_t tokens = one_in(20) ? from_to(100, 150) : from_to(1, 12), hidden = GROUP * from_to(1, 3), inner = GROUP * from_to(1, 3);
    size_t groups = one_in(3) ? from_to(2, 3) : 1, count = groups * from_to(1, 4), kept = from_to(1, groups);
    size_t k = from_to(1, count / groups * kept);
    bool biased = one_in(4), common = one_in(2), sigmoid = one_in(2), corrected = one_in(2), renormalise = one_in(2);
    float alpha = 1.7f, limit = one_in(4) ? 3.0f : 0.0f, top_p = one_in(3) ? 0.5f : 1.0f, residual = one_in(2) ? 1.0f : 0.3f;
    vector<Tiled> ups, downs;
    bool symmetric = one_in(3);
    for (size_t e = 0; e < count; e++) {
        ups.emplace_back(2 * inner, hidden, biased, 0.1f, symmetric);
        downs.emplace_back(hidden, inner, biased, 0.1f, !symmetric);
    }
    Tiled shared_up(2 * GROUP, hidden, false, 0.1f, false), shared_down(hidden, GROUP, false, 0.1f, symmetric);
    vector<float> norm = near_one(hidden), h = values(tokens * hidden, true), before = h;
    vector<float> gate = values(count * hidden, true), bias = values(count, true), correction = values(count, true);
    Mixture m = {};
    m.router = {gate.data(), biased ? bias.data() : nullptr, corrected ? correction.data() : nullptr, (int64_t)count,
                (int64_t)hidden, (int64_t)k, (int64_t)groups, (int64_t)kept, sigmoid, renormalise, 1.5f, top_p};
    vector<uint8_t> up_tiles, down_tiles;
    vector<float> up_bias, down_bias;
    stacked(ups, up_tiles, up_bias, &m.experts.gate_up);
    stacked(downs, down_tiles, down_bias, &m.experts.down);
    m.experts.count = (int64_t)count;
    m.experts.alpha = alpha, m.experts.limit = limit;
    if (common) m.shared_gate_up = shared_up.linear, m.shared_down = shared_down.linear;
    m.norm = norm.data(), m.eps = 1e-5f, m.residual = residual;
    snprintf(about, sizeof about, "mixture %zux%zux%zu, %zu of %zu in %zu of %zu groups%s%s%s", tokens, hidden, inner, k, count,
             kept, groups, biased ? ", biased" : "", common ? ", shared" : "", limit > 0 ? ", clamped" : "");
    vector<char> memory = room(famulus_mixture_scratch(&m, (int64_t)tokens));
    famulus_mixture(&m, h.data(), (int64_t)tokens, aligned(memory));

    // Who was chosen is asked once more, and judged by itself: among equals a rounding may decide.
    vector<float> x(tokens * hidden), weights(tokens * k);
    vector<int64_t> chosen(tokens * k), order(tokens * k);
    for (size_t t = 0; t < tokens; t++) level().norm(&before[t * hidden], norm.data(), hidden, 1e-5f, &x[t * hidden]);
    vector<char> more = room(famulus_route_scratch(&m.router, (int64_t)tokens));
    famulus_route(&m.router, x.data(), (int64_t)tokens, weights.data(), chosen.data(), order.data(), aligned(more));
    vector<double> wanted;
    double squares = 0;
    for (size_t t = 0; t < tokens; t++) {
        vector<double> row(before.begin() + (long)(t * hidden), before.begin() + (long)((t + 1) * hidden));
        vector<double> given = normed(row.data(), norm, 1e-5), sum(hidden), scores(count);
        double most = -1e300, all = 0, taken = 0, used = 0;
        for (size_t e = 0; e < count; e++) {
            scores[e] = biased ? bias[e] : 0;
            for (size_t c = 0; c < hidden; c++) scores[e] += gate[e * hidden + c] * given[c];
            most = fmax(most, scores[e]);
        }
        for (double& s : scores) all += s = sigmoid ? 1 / (1 + exp(-s)) : exp(s - most);
        for (double& s : scores) s /= sigmoid ? 1 : all;
        if (!sigmoid) all = 1;
        for (size_t p = 0; p < k; p++) {
            int64_t e = chosen[t * k + p];
            check(e < 0 ? -1 : (double)e, -1, (double)count);
            if (e >= 0) used += scores[(size_t)e];
            for (size_t other = 0; other < p; other++)
                check(e >= 0 && e == chosen[t * k + other], 0, 0);
        }
        for (size_t p = 0; p < k; p++) {
            int64_t e = chosen[t * k + p];
            if (e < 0) {
                check(top_p < 1 && taken >= top_p * all * 0.999, 1, 0);
                check(weights[t * k + p], 0, 0);
                continue;
            }
            check(taken < top_p * all * 1.001 + 1e-6, 1, 0);
            taken += scores[(size_t)e];
            double weight = scores[(size_t)e] * 1.5 / (renormalise ? used + 1e-20 : 1);
            check(weights[t * k + p], weight, weight * 1e-3 + 1e-6);
            double own = 0;
            vector<double> found = answer(ups[(size_t)e], downs[(size_t)e], given, alpha, limit, &own);
            for (size_t c = 0; c < hidden; c++) sum[c] += weight * found[c];
            squares += weight * weight * own;
        }
        if (common) {
            vector<double> found = answer(shared_up, shared_down, given, 0, 0, &squares);
            for (size_t c = 0; c < hidden; c++) sum[c] += found[c];
        }
        for (double v : sum) wanted.push_back(residual * v);
    }
    size_t pairs = tokens * k;
    for (size_t i = 0; i + 1 < pairs; i++) {
        uint64_t one = (uint64_t)chosen[(size_t)order[i]], next = (uint64_t)chosen[(size_t)order[i + 1]];  // -1 is the last
        check(one < next || (one == next && order[i] < order[i + 1]), 1, 0);
    }
    check_added(h, before, wanted, residual * residual * squares);
}
