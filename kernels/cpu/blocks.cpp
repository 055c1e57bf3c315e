// The two halves of a decoder layer, each one parallel region: h += attention(norm(h)), h += down(act(gate_up(norm(h)))).
#include "parallel.h"

static void norm_and_quantise(const Level& l, const float* h, const float* w, size_t columns, float eps, size_t tokens,
                              float* rows, Digits x) {
    Share mine(tokens);
    for (size_t t = mine.first; t < mine.last; t++) {
        l.norm(h + t * columns, w, columns, eps, rows + t * columns);
        l.quantise(rows + t * columns, columns, from(x, t).q, from(x, t).scales);
    }
}

// h += residual * (product [+ bias]); each thread adds the rows that it made.
static void add_product(const Level& l, const Linear& w, Digits x, size_t tokens, float residual, float* rows, float* h) {
    size_t stride = (size_t)w.rows;
    if (residual == 1 && !w.bias) {
        share_product(l, w, x, tokens, h, stride, true);
        return;
    }
    share_product(l, w, x, tokens, rows, stride, false);
    Share mine(stride / TILE);
    for (size_t t = 0; t < tokens; t++)
        for (size_t r = mine.first * TILE; r < mine.last * TILE; r++)
            h[t * stride + r] += residual * (rows[t * stride + r] + (w.bias ? w.bias[r] : 0.0f));
}

// Tokens of context that one thread reads at a time. Fixed, so that a sum does not depend on the batch or the threads.
enum { CHUNK = 128 };

struct AttentionPieces {
    size_t hidden, width, stride, group, splits, partial;
    float *rows, *mixed, *partials;
    Digits x, seen;

    AttentionPieces(Pool& pool, const Attention& a, const Step& step) {
        size_t tokens = (size_t)step.tokens, heads = (size_t)a.heads, kv_heads = (size_t)a.kv_heads;
        hidden = (size_t)a.qkv.columns;
        width = heads * (size_t)a.dim;
        stride = padded((size_t)a.qkv.rows);
        group = heads / kv_heads;
        splits = ((size_t)step.most_context + CHUNK - 1) / CHUNK;
        partial = partial_size((size_t)a.dim);
        rows = pool.take<float>(tokens * (hidden > width ? hidden : width));
        mixed = pool.take<float>(tokens * stride);
        partials = pool.take<float>(tokens * heads * splits * partial);
        x = pool.digits(tokens, hidden);
        seen = pool.digits(tokens, width);
    }
};

extern "C" int64_t famulus_attention_scratch(const Attention* a, const Step* step) {
    Pool pool{nullptr, 0};
    AttentionPieces pieces(pool, *a, *step);
    return (int64_t)pool.used;
}

// Bias and norm of every head, rotation of queries (in place) and keys; keys and values go into their slots.
static void turn_and_store(const Level& l, const Attention& a, const Step& step, const AttentionPieces& p, uint16_t* kv,
                           size_t slots) {
    size_t heads = (size_t)a.heads, kv_heads = (size_t)a.kv_heads, dim = (size_t)a.dim, all = heads + 2 * kv_heads;
    Share mine((size_t)step.tokens * all);
    for (size_t i = mine.first; i < mine.last; i++) {
        size_t t = i / all, head = i % all;
        float* found = p.mixed + t * p.stride + head * dim;
        if (a.qkv.bias)
            for (size_t d = 0; d < dim; d++) found[d] += a.qkv.bias[head * dim + d];
        if (head < heads + kv_heads) {
            const float* weight = head < heads ? a.q_norm : a.k_norm;
            if (weight) l.norm(found, weight, dim, a.eps, found);
            l.turn(found, step.cos + t * dim, step.sin + t * dim, dim, found);
        }
        if (head >= heads) l.narrow(found, dim, kv + ((head - heads) * slots + (size_t)step.slots[t]) * dim);
    }
}

static const Segment& segment_of(const Step& step, size_t token) {
    int64_t s = 0;
    while ((int64_t)token >= step.each[s].row + step.each[s].count) s++;
    return step.each[s];
}

// One part of one token's context, for the query heads of one KV head.
static void attend_part(const Level& l, const Attention& a, const Step& step, const AttentionPieces& p,
                        const uint16_t* kv, size_t slots, size_t item) {
    size_t kv_heads = (size_t)a.kv_heads, dim = (size_t)a.dim;
    size_t split = item % p.splits, head = item / p.splits % kv_heads, t = item / p.splits / kv_heads;
    const Segment& s = segment_of(step, t);
    size_t end = (size_t)(s.context - s.count + (int64_t)t - s.row + 1), begin = 0;
    if (s.window && end > (size_t)s.window) begin = end - (size_t)s.window;
    size_t first = split * CHUNK, last = first + CHUNK;
    first = first < begin ? begin : first;
    last = last > end ? end : last;
    size_t count = last > first ? last - first : 0;
    // For all heads of the group one behind the other; see `combine`.
    float* partial = p.partials + ((t * kv_heads + head) * p.splits + split) * p.group * p.partial;
    size_t at = head * slots, values = (kv_heads + head) * slots;
    if (!s.slots) at += (size_t)s.start + first, values += (size_t)s.start + first;
    l.attend(p.mixed + t * p.stride + head * p.group * dim, p.group, dim, kv + at * dim, kv + values * dim,
             s.slots ? s.slots + first : nullptr, count, a.scale, partial);
}

extern "C" void famulus_attention(const Attention* a_, const Step* step_, float* h, uint16_t* kv, int64_t slots_,
                                  void* scratch) {
    const Level& l = level();
    const Attention& a = *a_;
    const Step& step = *step_;
    size_t tokens = (size_t)step.tokens, slots = (size_t)slots_, heads = (size_t)a.heads, dim = (size_t)a.dim;
    Pool pool{(char*)scratch, 0};
    AttentionPieces p(pool, a, step);
#pragma omp parallel if (large(tokens, a.qkv))
    {
        norm_and_quantise(l, h, a.norm, p.hidden, a.eps, tokens, p.rows, p.x);
#pragma omp barrier
        share_product(l, a.qkv, p.x, tokens, p.mixed, p.stride, false);
#pragma omp barrier
        turn_and_store(l, a, step, p, kv, slots);
#pragma omp barrier
        Share parts(tokens * (size_t)a.kv_heads * p.splits);
        for (size_t item = parts.first; item < parts.last; item++) attend_part(l, a, step, p, kv, slots, item);
#pragma omp barrier
        Share joined(tokens * heads);
        for (size_t i = joined.first; i < joined.last; i++) {
            size_t t = i / heads, head = i % heads, inside = head % p.group;
            const float* first = p.partials + ((t * heads + head - inside) * p.splits + inside) * p.partial;
            float sink = a.sinks ? a.sinks[head] : 0;
            float* row = p.rows + t * p.width + head * dim;
            l.join(first, p.splits, p.group * p.partial, dim, a.sinks ? &sink : nullptr, row);
            l.quantise(row, dim, from(p.seen, t).q + head * dim, from(p.seen, t).scales + head * dim / GROUP * 2);
        }
#pragma omp barrier
        add_product(l, a.out, p.seen, tokens, a.residual, p.rows, h);
    }
}

struct MlpPieces {
    size_t hidden, inner;
    float *rows, *both;
    Digits x, gated;
    MlpPieces(Pool& pool, const Mlp& m, size_t tokens) {
        hidden = (size_t)m.gate_up.columns;
        inner = (size_t)m.down.columns;
        rows = pool.take<float>(tokens * hidden);
        both = pool.take<float>(tokens * 2 * inner);
        x = pool.digits(tokens, hidden);
        gated = pool.digits(tokens, inner);
    }
};

extern "C" int64_t famulus_mlp_scratch(const Mlp* m, int64_t tokens) {
    Pool pool{nullptr, 0};
    MlpPieces pieces(pool, *m, (size_t)tokens);
    return (int64_t)pool.used;
}

// Groups of 32 inner columns: two tiles of the gate, two of `up`, and what they make is quantised where it lies.
static void gate(const Level& l, const Mlp& m, const MlpPieces& p, size_t tokens) {
    size_t tiles = p.inner / TILE, stride = 2 * p.inner;
    Share mine(p.inner / GROUP);
    for (size_t start = 0; start < tokens; start += BLOCK) {
        size_t count = tokens - start < BLOCK ? tokens - start : (size_t)BLOCK;
        float* both = p.both + start * stride;
        for (size_t g = mine.first; g < mine.last; g++) {
            l.product(m.gate_up.tiles, 2 * g, 2 * g + 2, from(p.x, start), count, both, stride, false);
            l.product(m.gate_up.tiles, tiles + 2 * g, tiles + 2 * g + 2, from(p.x, start), count, both, stride, false);
            for (size_t t = 0; t < count; t++) {
                float* at = both + t * stride + g * GROUP;
                if (m.gate_up.bias)
                    for (int i = 0; i < GROUP; i++) {
                        at[i] += m.gate_up.bias[g * GROUP + i];
                        at[p.inner + i] += m.gate_up.bias[p.inner + g * GROUP + i];
                    }
                Digits out = from(p.gated, start + t);
                l.swiglu(at, at + p.inner, GROUP, at);
                l.quantise(at, GROUP, out.q + g * GROUP, out.scales + 2 * g);
            }
        }
    }
}

extern "C" void famulus_mlp(const Mlp* m, float* h, int64_t tokens_, void* scratch) {
    const Level& l = level();
    size_t tokens = (size_t)tokens_;
    Pool pool{(char*)scratch, 0};
    MlpPieces p(pool, *m, tokens);
#pragma omp parallel if (large(tokens, m->down))
    {
        norm_and_quantise(l, h, m->norm, p.hidden, m->eps, tokens, p.rows, p.x);
#pragma omp barrier
        gate(l, *m, p, tokens);
#pragma omp barrier
        add_product(l, m->down, p.gated, tokens, m->residual, p.rows, h);
    }
}
