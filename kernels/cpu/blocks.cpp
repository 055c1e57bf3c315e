// The two halves of a decoder layer: h += attention(norm(h)), h += down(act(gate_up(norm(h)))).
#include "parallel.h"

static void norm_and_quantise(const Level& l, const float* h, const float* w, size_t columns, float eps, size_t tokens,
                              float* rows, Digits x) {
    shared(tokens >= MANY, tokens, [&](size_t first, size_t last) {
        for (size_t t = first; t < last; t++) {
            l.norm(h + t * columns, w, columns, eps, rows + t * columns);
            l.quantise(rows + t * columns, columns, from(x, t).q, from(x, t).scales);
        }
    });
}

// h += residual * (product [+ bias]).
static void add_product(const Level& l, const Linear& w, Digits x, size_t tokens, float residual, float* rows, float* h) {
    size_t stride = (size_t)w.rows;
    bool plain = residual == 1 && !w.bias;
    shared(large(tokens, w), stride / TILE, [&](size_t first, size_t last) {
        product(l, w, first, last, x, tokens, plain ? h : rows, stride, plain);
        if (plain) return;
        for (size_t t = 0; t < tokens; t++)
            for (size_t r = first * TILE; r < last * TILE; r++)
                h[t * stride + r] += residual * (rows[t * stride + r] + (w.bias ? w.bias[r] : 0.0f));
    });
}

// Tokens of context that one thread reads at a time. Fixed, so that a sum does not depend on the batch or the threads.
enum { CHUNK = 128 };

// Tokens of one sequence up to which each is worked through alone, in parts of its context; see also block.py.
enum { FEW = 16 };

struct Alone {
    const Segment* segment;
    size_t token;
};

struct AttentionPieces {
    size_t hidden, width, stride, group, alone, splits, partial;
    float *rows, *mixed, *partials;
    Digits x, seen;
    Alone* each;

    AttentionPieces(Pool& pool, const Attention& a, const Step& step) {
        size_t tokens = (size_t)step.tokens, heads = (size_t)a.heads;
        hidden = (size_t)a.qkv.columns;
        width = heads * (size_t)a.dim;
        stride = padded((size_t)a.qkv.rows);
        group = heads / (size_t)a.kv_heads;
        partial = partial_size((size_t)a.dim);
        size_t context = alone = 0;
        for (int64_t i = 0; i < step.segments; i++) {
            const Segment& s = step.each[i];
            if (s.count > FEW) continue;
            alone += (size_t)s.count;
            if ((size_t)s.context > context) context = (size_t)s.context;
        }
        splits = (context + CHUNK - 1) / CHUNK;
        rows = pool.take<float>(tokens * (hidden > width ? hidden : width));
        mixed = pool.take<float>(tokens * stride);
        partials = pool.take<float>(alone * heads * splits * partial);
        x = pool.digits(tokens, hidden);
        seen = pool.digits(tokens, width);
        each = pool.take<Alone>(alone);
    }
};

extern "C" int64_t famulus_attention_scratch(const Attention* a, const Step* step) {
    Pool pool{nullptr, 0};
    AttentionPieces pieces(pool, *a, *step);
    return (int64_t)pool.used;
}

// One layer's attention of one step.
struct AttentionCall {
    const Level& l;
    const Attention& a;
    const Step& step;
    const AttentionPieces& p;
    void* kv;
    float* scales;
    size_t slots, heads, kv_heads, dim;

    // Bias, norm, rotation of queries (in place) and keys; keys and values go into their slots.
    void turn_and_store(size_t t) const {
        float* row = p.mixed + t * p.stride;
        if (a.qkv.bias)
            for (size_t i = 0; i < (heads + 2 * kv_heads) * dim; i++) row[i] += a.qkv.bias[i];
        normalise(row, a.q_norm, heads);
        normalise(row + heads * dim, a.k_norm, kv_heads);
        for (size_t head = 0; head < heads + 2 * kv_heads; head++) {
            float* found = row + head * dim;
            if (head < heads + kv_heads) l.turn(found, step.cos + t * dim, step.sin + t * dim, dim, found);
            if (head >= heads) store(found, (head - heads) * slots + (size_t)step.slots[t]);
        }
    }

    void store(const float* row, size_t slot) const {
        if (scales)
            scales[slot] = l.quantise8(row, dim, (int8_t*)kv + slot * dim);
        else
            l.narrow(row, dim, (uint16_t*)kv + slot * dim);
    }

    void normalise(float* row, const float* weight, size_t count) const {
        if (!weight) return;
        size_t rows = a.together ? 1 : count, columns = count * dim / rows;
        for (size_t i = 0; i < rows; i++) l.norm(row + i * columns, weight, columns, a.eps, row + i * columns);
    }

    // Where a KV head's rows of a sequence begin; a sequence in one run is counted from its start.
    Rows rows_of(const Segment& s, size_t head) const {
        return Rows{kv, scales}.from(head * slots + (s.slots ? 0 : (size_t)s.start), dim);
    }

    // One part of one token's context, for the query heads of one KV head.
    void attend_part(size_t item) const {
        size_t split = item % p.splits, head = item / p.splits % kv_heads, i = item / p.splits / kv_heads;
        const Segment& s = *p.each[i].segment;
        size_t t = p.each[i].token, end = (size_t)(s.context - s.count + (int64_t)t - s.row + 1), begin = 0;
        if (s.window && end > (size_t)s.window) begin = end - (size_t)s.window;
        size_t first = split * CHUNK, last = first + CHUNK;
        first = first < begin ? begin : first;
        last = last > end ? end : last;
        size_t count = last > first ? last - first : 0, skip = s.slots ? 0 : first;
        // For all heads of the group one behind the other; see `join`.
        float* partial = p.partials + ((i * kv_heads + head) * p.splits + split) * p.group * p.partial;
        l.attend(p.mixed + t * p.stride + head * p.group * dim, p.group, dim, rows_of(s, head).from(skip, dim),
                 rows_of(s, kv_heads + head).from(skip, dim), s.slots ? s.slots + first : nullptr, count, a.scale, partial);
    }

    // The parts of one head of one token together.
    void join(size_t item) const {
        size_t i = item / heads, head = item % heads, inside = head % p.group, t = p.each[i].token;
        const float* first = p.partials + ((i * heads + head - inside) * p.splits + inside) * p.partial;
        l.join(first, p.splits, p.group * p.partial, dim, a.sinks ? a.sinks + head : nullptr,
               p.rows + t * p.width + head * dim);
        quantise(t, head, 1);
    }

    void quantise(size_t t, size_t head, size_t count) const {
        Digits x = from(p.seen, t);
        l.quantise(p.rows + t * p.width + head * dim, count * dim, x.q + head * dim, x.scales + head * dim / GROUP * 2);
    }

    // Neighbouring tokens of a prompt, for the query heads of one KV head.
    void attend_block(const Segment& s, size_t item) const {
        size_t most = BLOCK_ROWS / p.group, head = item % kv_heads, skip = item / kv_heads * most;
        size_t tokens = (size_t)s.count - skip < most ? (size_t)s.count - skip : most, t = (size_t)s.row + skip;
        Queries q = {p.mixed + t * p.stride + head * p.group * dim, p.stride, tokens, p.group, dim,
                     (size_t)(s.context - s.count) + skip, (size_t)s.window, a.scale,
                     a.sinks ? a.sinks + head * p.group : nullptr};
        l.attend_block(q, rows_of(s, head), rows_of(s, kv_heads + head), s.slots,
                       p.rows + t * p.width + head * p.group * dim, p.width);
        for (size_t i = 0; i < tokens; i++) quantise(t + i, head * p.group, p.group);
    }
};

extern "C" void famulus_attention(const Attention* a_, const Step* step_, float* h, void* kv, float* scales,
                                  int64_t slots, void* scratch) {
    const Level& l = level();
    const Attention& a = *a_;
    const Step& step = *step_;
    size_t tokens = (size_t)step.tokens, kv_heads = (size_t)a.kv_heads;
    Pool pool{(char*)scratch, 0};
    AttentionPieces p(pool, a, step);
    AttentionCall call{l, a, step, p, kv, scales, (size_t)slots, (size_t)a.heads, kv_heads, (size_t)a.dim};
    bool worth = large(tokens, a.qkv);
    norm_and_quantise(l, h, a.norm, p.hidden, a.eps, tokens, p.rows, p.x);
    share_product(l, a.qkv, p.x, tokens, p.mixed, p.stride);
    shared(tokens >= MANY, tokens, [&](size_t first, size_t last) {
        for (size_t t = first; t < last; t++) call.turn_and_store(t);
    });
    size_t found = 0;
    for (int64_t i = 0; i < step.segments; i++) {
        const Segment& s = step.each[i];
        if (s.count <= FEW) {
            for (int64_t t = 0; t < s.count; t++) p.each[found++] = {&s, (size_t)(s.row + t)};
            continue;
        }
        size_t most = BLOCK_ROWS / p.group, blocks = ((size_t)s.count + most - 1) / most * kv_heads;
        shared(worth, blocks, [&](size_t first, size_t last) {
            for (size_t item = first; item < last; item++) call.attend_block(s, item);
        });
    }
    shared(worth, p.alone * kv_heads * p.splits, [&](size_t first, size_t last) {
        for (size_t item = first; item < last; item++) call.attend_part(item);
    });
    shared(p.alone >= MANY, p.alone * (size_t)a.heads, [&](size_t first, size_t last) {
        for (size_t item = first; item < last; item++) call.join(item);
    });
    add_product(l, a.out, p.seen, tokens, a.residual, p.rows, h);
}

struct MlpPieces {
    size_t hidden, inner;
    float* rows;
    Digits x, gated;
    MlpPieces(Pool& pool, const Mlp& m, size_t tokens) {
        hidden = (size_t)m.gate_up.columns;
        inner = (size_t)m.down.columns;
        rows = pool.take<float>(tokens * hidden);
        x = pool.digits(tokens, hidden);
        gated = pool.digits(tokens, inner);
    }
};

extern "C" int64_t famulus_mlp_scratch(const Mlp* m, int64_t tokens) {
    Pool pool{nullptr, 0};
    MlpPieces pieces(pool, *m, (size_t)tokens);
    return (int64_t)pool.used;
}

extern "C" void famulus_mlp(const Mlp* m, float* h, int64_t tokens_, void* scratch) {
    const Level& l = level();
    size_t tokens = (size_t)tokens_;
    Pool pool{(char*)scratch, 0};
    MlpPieces p(pool, *m, tokens);
    norm_and_quantise(l, h, m->norm, p.hidden, m->eps, tokens, p.rows, p.x);
    shared(large(tokens, m->down), p.inner / GROUP, [&](size_t first, size_t last) {
        for (size_t g = first; g < last; g++)
            gated_group(l, m->gate_up, p.x, p.gated, tokens, g, [](float*, float*) {});
    });
    add_product(l, m->down, p.gated, tokens, m->residual, p.rows, h);
}
