// Whole halves of a layer: steps of several sequences, with everything that is optional there or not.
#pragma once
#include "fuzz.h"

static vector<double> normed(const double* x, const vector<float>& w, double eps) {
    double squares = 0;
    for (size_t i = 0; i < w.size(); i++) squares += x[i] * x[i];
    vector<double> y(w.size());
    for (size_t i = 0; i < w.size(); i++) y[i] = x[i] / sqrt(squares / (double)w.size() + eps) * w[i];
    return y;
}

// w x; `squares` grows by the squares of all products, of which much may cancel out.
static vector<double> times(const Tiled& w, const double* x, double* squares) {
    vector<double> y(w.rows);
    double allowed;
    for (size_t r = 0; r < w.rows; r++) {
        y[r] = w.row(r, x, &allowed);
        for (size_t c = 0; c < w.columns; c++) *squares += w.w[r * w.columns + c] * w.w[r * w.columns + c] * x[c] * x[c];
    }
    return y;
}

static vector<float> near_one(size_t n) {
    vector<float> w(n);
    for (float& v : w) v = (float)unit() + 0.5f;
    return w;
}

// What was added to `before` against what should have been, all together: twice something was rounded to 8 bits.
static void check_added(const vector<float>& after, const vector<float>& before, const vector<double>& wanted,
                        double squares) {
    double error = 0, largest = 0;
    for (size_t i = 0; i < after.size(); i++) {
        double off = (double)after[i] - before[i] - wanted[i];
        error += off * off, largest = fmax(largest, fabs(before[i]));
    }
    check(sqrt(error), 0, 0.3 * sqrt(squares) + 1e-6 * largest * sqrt((double)after.size()));
}

static void fuzz_mlp() {
    size_t tokens = one_in(40) ? from_to(120, 140) : from_to(1, 20), hidden = GROUP * from_to(1, 4), inner = GROUP * from_to(1, 4);
    bool biased = one_in(3);
    Tiled gate_up(2 * inner, hidden, biased, 0.1f, one_in(3)), down(hidden, inner, biased, 0.1f, one_in(3));
    vector<float> norm = near_one(hidden), h = values(tokens * hidden, true), before = h;
    float residual = one_in(2) ? 1.0f : 0.3f;
    Mlp m = {gate_up.linear, down.linear, norm.data(), 1e-5f, residual};
    snprintf(about, sizeof about, "mlp %zux%zux%zu%s", tokens, hidden, inner, biased ? ", biased" : "");
    vector<char> memory = room(famulus_mlp_scratch(&m, (int64_t)tokens));
    famulus_mlp(&m, h.data(), (int64_t)tokens, aligned(memory));
    vector<double> wanted;
    double squares = 0, between = 0;
    for (size_t t = 0; t < tokens; t++) {
        vector<double> row(before.begin() + (long)(t * hidden), before.begin() + (long)((t + 1) * hidden));
        vector<double> both = times(gate_up, normed(row.data(), norm, 1e-5).data(), &between);
        for (size_t i = 0; i < inner; i++) both[i] = both[i] / (1 + exp(-both[i])) * both[inner + i];
        for (double v : times(down, both.data(), &squares)) wanted.push_back(residual * v);
    }
    check_added(h, before, wanted, residual * residual * squares);
}

static void fuzz_attention() {
    size_t dim = GROUP * from_to(1, 2), kv_heads = from_to(1, 2), group = from_to(1, 3), heads = kv_heads * group;
    size_t hidden = GROUP * from_to(1, 3), width = (heads + 2 * kv_heads) * dim, room_each = 160;
    bool biased = one_in(3), normal_heads = one_in(2), together = normal_heads && one_in(2), sinks = one_in(3);
    bool eight = one_in(2);
    size_t window = one_in(3) ? from_to(1, 60) : 0, sequences = from_to(1, 3), slots = sequences * room_each, tokens = 0;
    Tiled qkv(width, hidden, biased, 0.1f, one_in(3)), out(hidden, heads * dim, biased, 0.1f, one_in(3));
    vector<float> norm = near_one(hidden), q_norm = near_one(together ? heads * dim : dim),
                  k_norm = near_one(together ? kv_heads * dim : dim), sink = values(heads, true);
    float residual = one_in(2) ? 1.0f : 0.3f;
    Attention a = {qkv.linear, out.linear, norm.data(), normal_heads ? q_norm.data() : nullptr,
                   normal_heads ? k_norm.data() : nullptr, sinks ? sink.data() : nullptr, (int64_t)heads, (int64_t)kv_heads,
                   (int64_t)dim, 1e-5f, (float)(1 / sqrt((double)dim)), residual, together};
    // A sequence's slots are its own; a window's context begins where the first of its rows begins to see.
    vector<Segment> segments;
    vector<vector<int64_t>> places(sequences);
    vector<int64_t> written;
    for (size_t s = 0; s < sequences; s++) {
        size_t count = one_in(3) ? from_to(17, 60) : from_to(1, 8), context = count + from_to(0, 90);
        if (window && context > count + window - 1) context = count + window - 1;
        for (size_t i = 0; i < context; i++) places[s].push_back((int64_t)(s * room_each + room_each - 1 - i));
        bool run = one_in(2);
        for (size_t i = 0; run && i < context; i++) places[s][i] = (int64_t)(s * room_each + i);
        written.insert(written.end(), places[s].end() - (long)count, places[s].end());
        segments.push_back({(int64_t)tokens, (int64_t)count, (int64_t)context, run ? places[s][0] : 0, (int64_t)window,
                            run ? nullptr : places[s].data()});
        tokens += count;
    }
    vector<float> cos_(tokens * dim), sin_(tokens * dim), h = values(tokens * hidden, true), before = h;
    for (size_t i = 0; i < cos_.size(); i++) {
        double angle = (double)(i / dim) / (double)(i % (dim / 2) + 1);
        cos_[i] = (float)cos(angle), sin_[i] = (float)(i % dim < dim / 2 ? -sin(angle) : sin(angle));
    }
    vector<Store> stores;
    vector<char> kv;
    vector<float> scales;
    for (size_t i = 0; i < 2 * kv_heads; i++) {
        stores.emplace_back(slots, dim, eight);
        kv.insert(kv.end(), stores[i].kept.begin(), stores[i].kept.end());
        scales.insert(scales.end(), stores[i].scales.begin(), stores[i].scales.end());
    }
    Step step = {(int64_t)tokens, (int64_t)sequences, segments.data(), cos_.data(), sin_.data(), written.data()};
    snprintf(about, sizeof about, "attention %zu tokens of %zu, %zu/%zux%zu, hidden %zu, window %zu%s%s%s%s", tokens, sequences,
             heads, kv_heads, dim, hidden, window, eight ? ", int8" : "", biased ? ", biased" : "", sinks ? ", sinks" : "",
             together ? ", heads normed together" : normal_heads ? ", normed heads" : "");
    vector<char> memory = room(famulus_attention_scratch(&a, &step));
    famulus_attention(&a, &step, h.data(), kv.data(), eight ? scales.data() : nullptr, (int64_t)slots, aligned(memory));

    vector<vector<double>> queries;
    double squares = 0, between = 0;
    for (size_t t = 0; t < tokens; t++) {
        vector<double> row(before.begin() + (long)(t * hidden), before.begin() + (long)((t + 1) * hidden));
        vector<double> mixed = times(qkv, normed(row.data(), norm, 1e-5).data(), &between);
        for (size_t head = 0; together && head < heads + kv_heads; head += head ? kv_heads : heads) {
            vector<double> all = normed(&mixed[head * dim], head ? k_norm : q_norm, 1e-5);
            for (size_t i = 0; i < all.size(); i++) mixed[head * dim + i] = all[i];
        }
        for (size_t head = 0; head < heads + 2 * kv_heads; head++) {
            vector<double> x(mixed.begin() + (long)(head * dim), mixed.begin() + (long)((head + 1) * dim)), y = x;
            if (head < heads + kv_heads) {
                if (normal_heads && !together) x = normed(x.data(), head < heads ? q_norm : k_norm, 1e-5);
                for (size_t d = 0; d < dim; d++) y[d] = x[d] * cos_[t * dim + d] + x[(d + dim / 2) % dim] * sin_[t * dim + d];
            }
            double* kept = head < heads ? &mixed[head * dim] : &stores[head - heads].exact[(size_t)written[t] * dim];
            for (size_t d = 0; d < dim; d++) kept[d] = y[d];
        }
        queries.push_back(mixed);
    }
    vector<double> wanted;
    for (size_t s = 0; s < sequences; s++)
        for (size_t t = 0; t < (size_t)segments[s].count; t++) {
            size_t end = (size_t)(segments[s].context - segments[s].count) + t + 1;
            vector<size_t> visible(places[s].begin() + (long)(window && end > window ? end - window : 0),
                                   places[s].begin() + (long)end);
            vector<double> all;
            for (size_t head = 0; head < heads; head++) {
                vector<double>& from = queries[(size_t)segments[s].row + t];
                vector<float> q(from.begin() + (long)(head * dim), from.begin() + (long)((head + 1) * dim));
                const Store &keys = stores[head / group], &mine = stores[kv_heads + head / group];
                vector<double> y = seen(q.data(), a.scale, keys, mine, visible, sinks ? &sink[head] : nullptr);
                all.insert(all.end(), y.begin(), y.end());
            }
            for (double v : times(out, all.data(), &squares)) wanted.push_back(residual * v);
        }
    check_added(h, before, wanted, residual * residual * squares);
}
