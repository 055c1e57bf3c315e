// A mixture of experts: every chosen expert's rows are read once, for all tokens that come to it. What the two products
// of an expert share lies in the cache; a shared expert is one more whose tokens are all.
#include "experts.h"

#include "parallel.h"

namespace {

// One expert and what comes to it. `pairs` [count]: token * top_k + place, `tokens` the first half of it; null: all
// tokens, each with the weight 1.
struct Run {
    Linear gate_up, down;
    const int64_t* pairs;
    const uint32_t* tokens;
    size_t count;
    Digits x, gated;
};

struct Call {
    const Level& l;
    Run* runs;
    size_t used;
    const float* weights;
    size_t top_k, hidden;
    float alpha, limit, residual;
    float* h;

    float factor(const Run& run, size_t i) const { return run.pairs ? residual * weights[run.pairs[i]] : residual; }

    // Columns [32g, 32g + 32) of what a run's second product reads, its tokens' weights already in their scales.
    void gate(const Run& run, size_t g) const {
        bool clamps = limit > 0 && run.pairs;
        gated_group(l, run.gate_up, run.x, run.gated, run.count, g, [&](float* a, float* b) {
            if (clamps) clamp(a, b);
        });
        for (size_t i = 0; i < run.count; i++) {
            float f = factor(run, i), *scales = from(run.gated, i).scales + 2 * g;
            scales[0] *= f;
            scales[1] *= f;
        }
    }

    // a * sigmoid(alpha * a) * (b + 1) as a plain SwiGLU.
    void clamp(float* a, float* b) const {
        for (size_t i = 0; i < GROUP; i++) {
            a[i] = alpha * (a[i] < limit ? a[i] : limit);
            b[i] = b[i] < limit ? b[i] : limit;
            b[i] = ((b[i] > -limit ? b[i] : -limit) + 1) / alpha;
        }
    }

    // Adds tiles [first, last) of a run's second product.
    void add(const Run& run, size_t first, size_t last) const {
        if (!run.down.bias && (!run.pairs || run.count == 1)) {
            size_t token = run.pairs ? run.tokens[0] : 0;
            product(l, run.down, first, last, run.gated, run.count, h + token * hidden, hidden, true);
            return;
        }
        alignas(64) float found[BLOCK][TILE];
        bool symmetric = run.down.symmetric;
        size_t size = run.gated.columns / GROUP * group_bytes(symmetric);
        for (size_t start = 0; start < run.count; start += BLOCK) {
            size_t count = run.count - start < BLOCK ? run.count - start : (size_t)BLOCK;
            for (size_t tile = first; tile < last; tile++) {
                l.product(run.down.tiles + tile * size, symmetric, 0, 1, from(run.gated, start), count, found[0], TILE,
                          false);
                if (run.down.bias) add_bias(run, start, count, run.down.bias + tile * TILE, found);
                for (size_t i = 0; i < count; i++) {
                    size_t token = run.pairs ? run.tokens[start + i] : start + i;
                    float* row = h + token * hidden + tile * TILE;
#pragma omp simd
                    for (size_t r = 0; r < TILE; r++) row[r] += found[i][r];
                }
            }
        }
    }

    void add_bias(const Run& run, size_t start, size_t count, const float* bias, float (*found)[TILE]) const {
        for (size_t i = 0; i < count; i++) {
            float f = factor(run, start + i);
            for (size_t r = 0; r < TILE; r++) found[i][r] += f * bias[r];
        }
    }

    void run() const {
        size_t groups = 0, work = 0;
        for (size_t i = 0; i < used; i++) {
            groups += runs[i].gated.columns / GROUP;
            work += runs[i].count * runs[i].gated.columns * hidden;
        }
        shared(2 * work > (1 << 17), groups, [&](size_t first, size_t last) {
            size_t start = 0;
            for (size_t i = 0; i < used && start < last; i++) {
                size_t count = runs[i].gated.columns / GROUP;
                for (size_t g = first > start ? first - start : 0; g < count && start + g < last; g++)
                    gate(runs[i], g);
                start += count;
            }
        });
        shared(work > (1 << 17), hidden / TILE, [&](size_t first, size_t last) {
            for (size_t i = 0; i < used; i++) add(runs[i], first, last);
        });
    }
};

// What the chosen experts need beside their weights.
struct ExpertPieces {
    Run* runs;
    uint32_t* tokens;
    Digits gathered, gated;
    ExpertPieces(Pool& pool, const Experts& e, size_t count, size_t top_k) {
        size_t pairs = count * top_k;
        runs = pool.take<Run>((size_t)e.count + 1);
        tokens = pool.take<uint32_t>(pairs);
        gathered = pool.digits(count > 1 ? pairs : 0, (size_t)e.gate_up.columns);
        gated = pool.digits(pairs, (size_t)e.down.columns);
    }
};

Linear of_expert(const Linear& first, size_t e) {
    size_t rows = (size_t)first.rows;
    size_t size = padded(rows) / TILE * ((size_t)first.columns / GROUP) * group_bytes(first.symmetric);
    return {first.tiles + e * size, first.bias ? first.bias + e * rows : nullptr, first.rows, first.columns,
            first.symmetric};
}

// The runs of `count` pairs in `order`; their rows of x side by side where there is more than one token.
size_t make_runs(const Experts& e, const ExpertPieces& p, Digits x, size_t tokens, size_t top_k, const int64_t* experts,
                 const int64_t* order, size_t count) {
    size_t used = 0, groups = x.columns / GROUP;
    for (size_t i = 0; i < count; i++) p.tokens[i] = (uint32_t)((size_t)order[i] / top_k);
    for (size_t first = 0; first < count;) {
        int64_t expert = experts[order[first]];
        size_t last = first + 1;
        while (last < count && experts[order[last]] == expert) last++;
        Digits rows = tokens > 1 ? from(p.gathered, first) : x;
        p.runs[used++] = {of_expert(e.gate_up, (size_t)expert), of_expert(e.down, (size_t)expert), order + first,
                          p.tokens + first, last - first, rows, from(p.gated, first)};
        first = last;
    }
    if (tokens > 1)
        shared(count >= MANY, count, [&](size_t first, size_t last) {
            for (size_t i = first; i < last; i++) {
                Digits to = from(p.gathered, i), given = from(x, p.tokens[i]);
                __builtin_memcpy(to.q, given.q, x.columns);
                __builtin_memcpy(to.scales, given.scales, 2 * groups * sizeof(float));
            }
        });
    return used;
}

struct PlainPieces {
    float *rows, *sums;
    Digits x;
    ExpertPieces experts;
    PlainPieces(Pool& pool, const Experts& e, size_t tokens, size_t top_k)
        : rows(pool.take<float>(tokens * (size_t)e.gate_up.columns)),
          sums(pool.take<float>(tokens * (size_t)e.gate_up.columns)),
          x(pool.digits(tokens, (size_t)e.gate_up.columns)),
          experts(pool, e, tokens, top_k) {}
};

struct MixturePieces {
    float *rows, *logits, *weights;
    int64_t *chosen, *order;
    Digits x, shared_gated;
    ExpertPieces experts;
    MixturePieces(Pool& pool, const Mixture& m, size_t tokens)
        : rows(pool.take<float>(tokens * (size_t)m.experts.gate_up.columns)),
          logits((float*)pool.take<char>((size_t)famulus_route_scratch(&m.router, (int64_t)tokens))),
          weights(pool.take<float>(tokens * (size_t)m.router.top_k)),
          chosen(pool.take<int64_t>(tokens * (size_t)m.router.top_k)),
          order(pool.take<int64_t>(tokens * (size_t)m.router.top_k)),
          x(pool.digits(tokens, (size_t)m.experts.gate_up.columns)),
          shared_gated(pool.digits(m.shared_down.tiles ? tokens : 0, (size_t)m.shared_down.columns)),
          experts(pool, m.experts, tokens, (size_t)m.router.top_k) {}
};

}  // namespace

extern "C" int64_t famulus_experts_scratch(const Experts* e, int64_t tokens, int64_t top_k) {
    Pool pool{nullptr, 0};
    PlainPieces pieces(pool, *e, (size_t)tokens, (size_t)top_k);
    return (int64_t)pool.used;
}

extern "C" void famulus_experts(const Experts* e, const void* x, int bf16, int64_t tokens_, int64_t top_k_,
                                const float* weights, const int64_t* experts, const int64_t* order, void* y,
                                void* scratch) {
    const Level& l = level();
    size_t tokens = (size_t)tokens_, top_k = (size_t)top_k_, hidden = (size_t)e->gate_up.columns;
    Pool pool{(char*)scratch, 0};
    PlainPieces p(pool, *e, tokens, top_k);
    float* sums = bf16 ? p.sums : (float*)y;
    shared(tokens >= MANY, tokens, [&](size_t first, size_t last) {
        for (size_t t = first; t < last; t++) {
            const float* row = (const float*)x + t * hidden;
            if (bf16) l.widen((const uint16_t*)x + t * hidden, hidden, p.rows + t * hidden);
            l.quantise(bf16 ? p.rows + t * hidden : row, hidden, from(p.x, t).q, from(p.x, t).scales);
            for (size_t i = 0; i < hidden; i++) sums[t * hidden + i] = 0;
        }
    });
    size_t pairs = 0;
    while (pairs < tokens * top_k && experts[order[pairs]] >= 0) pairs++;
    size_t used = make_runs(*e, p.experts, p.x, tokens, top_k, experts, order, pairs);
    Call call{l, p.experts.runs, used, weights, top_k, hidden, e->alpha, e->limit, 1, sums};
    call.run();
    if (bf16) l.narrow(sums, tokens * hidden, (uint16_t*)y);
}

extern "C" int64_t famulus_mixture_scratch(const Mixture* m, int64_t tokens) {
    Pool pool{nullptr, 0};
    MixturePieces pieces(pool, *m, (size_t)tokens);
    return (int64_t)pool.used;
}

extern "C" void famulus_mixture(const Mixture* m, float* h, int64_t tokens_, void* scratch) {
    const Level& l = level();
    const Experts& e = m->experts;
    size_t tokens = (size_t)tokens_, top_k = (size_t)m->router.top_k, hidden = (size_t)e.gate_up.columns;
    Pool pool{(char*)scratch, 0};
    MixturePieces p(pool, *m, tokens);
    shared(tokens >= MANY, tokens, [&](size_t first, size_t last) {
        for (size_t t = first; t < last; t++) {
            l.norm(h + t * hidden, m->norm, hidden, m->eps, p.rows + t * hidden);
            l.quantise(p.rows + t * hidden, hidden, from(p.x, t).q, from(p.x, t).scales);
        }
        route_rows(l, m->router, p.rows, first, last, p.logits, p.weights, p.chosen);
    });
    size_t pairs = routed(m->router, tokens, p.logits, p.chosen, p.order);
    size_t used = make_runs(e, p.experts, p.x, tokens, top_k, p.chosen, p.order, pairs);
    if (m->shared_down.tiles)
        p.experts.runs[used++] = {m->shared_gate_up, m->shared_down, nullptr, nullptr, tokens, p.x, p.shared_gated};
    Call call{l, p.experts.runs, used, p.weights, top_k, hidden, e.alpha, e.limit, m->residual, h};
    call.run();
}
