// Random shapes and values through the compiled kernels, beside plain sums in float64. `fuzz SEED FIRST COUNT` runs the
// cases FIRST .. FIRST + COUNT - 1 of a seed, each at a random one of the levels that the processor has; a case depends
// on nothing but SEED and its number. Every buffer is its own piece of the heap, for sanitizers.
#include "fuzz.h"
#include "fuzz_experts.h"

static void fuzz_linear() {
    size_t tokens = one_in(50) ? from_to(100, 150) : from_to(1, 19), rows = from_to(1, one_in(9) ? 300 : 50);
    size_t columns = GROUP * from_to(1, one_in(9) ? 20 : 5);
    bool narrow = one_in(2);
    Tiled w(rows, columns, one_in(2), 1, one_in(3));
    vector<float> x = values(tokens * columns);
    vector<uint16_t> given(tokens * columns), narrowed(tokens * rows);
    for (size_t i = 0; narrow && i < x.size(); i++) x[i] = bf16(x[i], &given[i]);
    vector<float> y(tokens * rows);
    snprintf(about, sizeof about, "linear %zux%zux%zu%s", tokens, rows, columns, narrow ? " bf16" : "");
    vector<char> memory = room(famulus_linear_scratch(&w.linear, (int64_t)tokens));
    famulus_linear(&w.linear, narrow ? (void*)given.data() : x.data(), narrow, (int64_t)tokens,
                   narrow ? (void*)narrowed.data() : y.data(), aligned(memory));
    if (narrow) level().widen(narrowed.data(), narrowed.size(), y.data());
    for (size_t t = 0; t < tokens; t++) {
        vector<double> exact(x.begin() + (long)(t * columns), x.begin() + (long)((t + 1) * columns));
        for (size_t r = 0; r < rows; r++) {
            double allowed, wanted = w.row(r, exact.data(), &allowed);
            check(y[t * rows + r], wanted, allowed + (narrow ? (fabs(wanted) + allowed) / 250 : 0) + 1e-30);
        }
    }
}

static void fuzz_rows8() {
    size_t tokens = from_to(1, 18), rows = from_to(1, 40), columns = from_to(1, one_in(9) ? 700 : 130);
    vector<int8_t> w(rows * columns);
    for (int8_t& v : w) v = (int8_t)((int)from_to(0, 254) - 127);
    vector<float> scales(rows), x = values(tokens * columns), y(tokens * rows);
    for (float& s : scales) s = (float)unit() / 100;
    snprintf(about, sizeof about, "rows8 %zux%zux%zu", tokens, rows, columns);
    vector<char> memory = room(famulus_rows8_scratch((int64_t)columns, (int64_t)tokens));
    famulus_rows8(w.data(), scales.data(), (int64_t)rows, (int64_t)columns, x.data(), (int64_t)tokens, y.data(),
                  aligned(memory));
    double largest = fmin(32000, floor(2147483647.0 / 128 / (double)columns));
    for (size_t t = 0; t < tokens; t++)
        for (size_t r = 0; r < rows; r++) {
            double sum = 0, most = 0, weights = 0;
            for (size_t c = 0; c < columns; c++) {
                sum += (double)w[r * columns + c] * x[t * columns + c];
                most = fmax(most, fabs(x[t * columns + c]));
                weights += abs(w[r * columns + c]);
            }
            check(y[t * rows + r], sum * scales[r], scales[r] * weights * most * (0.51 / largest + 1e-6) + 1e-30);
        }
}

static void fuzz_attend() {
    size_t dim = GROUP * from_to(1, one_in(9) ? 8 : 3), group = from_to(1, one_in(5) ? 16 : 4), before = from_to(0, 150);
    bool block = one_in(2), scattered = one_in(3), sinks = one_in(3), eight = one_in(2);
    size_t tokens = block ? from_to(1, BLOCK_ROWS / group) : 1, window = one_in(3) ? from_to(1, 90) : 0;
    size_t context = before + tokens, slots = context + from_to(0, 20);
    Store keys(slots, dim, eight), values_(slots, dim, eight);
    float scale = (float)(1 / sqrt((double)dim)) * (one_in(9) ? 20.0f : 1.0f);
    vector<float> q = values(tokens * group * dim, true), sink = values(group, true), y(tokens * group * dim);
    vector<int64_t> places(context);
    for (size_t i = 0; i < context; i++) places[i] = (int64_t)i;
    for (size_t i = 0; scattered && i < context; i++) {
        size_t other = from_to(i, context - 1);
        int64_t kept = places[i];
        places[i] = places[other], places[other] = kept;
    }
    const int64_t* where = scattered ? places.data() : nullptr;
    snprintf(about, sizeof about, "attention of %s: %zu tokens at %zu, group %zu, dim %zu, window %zu%s%s%s",
             block ? "a block" : "one row", tokens, before, group, dim, window, scattered ? ", scattered" : "",
             sinks ? ", sinks" : "", eight ? ", int8" : "");
    if (block) {
        Queries given = {q.data(), group * dim, tokens, group, dim, before, window, scale, sinks ? sink.data() : nullptr};
        level().attend_block(given, keys.rows(), values_.rows(), where, y.data(), group * dim);
    } else {
        size_t begin = window && context > window ? context - window : 0, middle = from_to(begin, context);
        size_t size = partial_size(dim);
        vector<float> partials(2 * group * size);
        for (size_t part = 0; part < 2; part++) {
            size_t first = part ? middle : begin, last = part ? context : middle, skip = where ? 0 : first;
            level().attend(q.data(), group, dim, keys.rows().from(skip, dim), values_.rows().from(skip, dim),
                           where ? where + first : nullptr, last - first, scale, partials.data() + part * group * size);
        }
        for (size_t h = 0; h < group; h++)
            level().join(partials.data() + h * size, 2, group * size, dim, sinks ? &sink[h] : nullptr, &y[h * dim]);
    }
    for (size_t t = 0; t < tokens; t++)
        for (size_t h = 0; h < group; h++) {
            size_t end = before + t + 1, begin = window && end > window ? end - window : 0;
            vector<size_t> visible(places.begin() + (long)begin, places.begin() + (long)end);
            const float* row = &q[(t * group + h) * dim];
            vector<double> wanted = seen(row, scale, keys, values_, visible, sinks ? &sink[h] : nullptr);
            for (size_t d = 0; d < dim; d++) check(y[(t * group + h) * dim + d], wanted[d], 2e-4);
        }
}

static void fuzz_rows() {
    size_t n = GROUP * from_to(1, 6), groups = n / GROUP;
    vector<float> x = values(n), up = values(n, true), w = values(n, true), y(n), scales(2 * groups);
    vector<int8_t> q(n);
    snprintf(about, sizeof about, "rows of %zu", n);
    double squares = 0;
    for (float v : x) squares += (double)v * v;
    if (squares < 1e30) {
        level().norm(x.data(), w.data(), n, 1e-5f, y.data());
        for (size_t i = 0; i < n; i++) {
            double wanted = x[i] / sqrt(squares / (double)n + 1e-5f) * w[i];
            check(y[i], wanted, fabs(wanted) * 1e-5 + 1e-30);
        }
    }
    level().gated(x.data(), up.data(), n, q.data(), scales.data());
    for (size_t g = 0; g < groups; g++) {
        double most = 0, sum = 0, wanted[GROUP];
        for (size_t i = 0; i < GROUP; i++) {
            double gate = x[g * GROUP + i];
            wanted[i] = gate / (1 + exp(-gate)) * up[g * GROUP + i];
            most = fmax(most, fabs(wanted[i]));
            sum += q[g * GROUP + i];
        }
        for (size_t i = 0; i < GROUP; i++) check(q[g * GROUP + i] * (double)scales[2 * g], wanted[i], most / 252 + 1e-29);
        check(scales[2 * g + 1], scales[2 * g] * sum, fabs(scales[2 * g] * sum) * 1e-6);
    }
    size_t dim = GROUP;
    vector<float> cos_(dim), sin_(dim);
    for (size_t i = 0; i < dim; i++) cos_[i] = (float)cos((double)(i % (dim / 2))), sin_[i] = (float)sin((double)(i + 1));
    level().turn(up.data(), cos_.data(), sin_.data(), dim, y.data());
    for (size_t i = 0; i < dim; i++)
        check(y[i], (double)up[i] * cos_[i] + (double)up[(i + dim / 2) % dim] * sin_[i], 1e-5);
    float scale = level().quantise8(up.data(), n, q.data());
    for (size_t i = 0; i < n; i++) check(q[i] * (double)scale, up[i], scale * 0.501);
    vector<uint16_t> narrow(n);
    level().narrow(x.data(), n, narrow.data());
    level().widen(narrow.data(), n, y.data());
    for (size_t i = 0; i < n; i++) check(y[i], bf16(x[i]), 0);
}

int main(int count, char** given) {
    if (count != 4) return 2;
    uint64_t seed = strtoull(given[1], nullptr, 10), first = strtoull(given[2], nullptr, 10), each = strtoull(given[3], nullptr, 10);
    static const char* const names[] = {"avx512", "avxvnni", "avx2", "neon", "portable"};
    vector<const char*> levels;
    for (const char* name : names)
        if (famulus_runs(name)) levels.push_back(name);
    void (*const kinds[])() = {fuzz_linear, fuzz_rows8, fuzz_attend, fuzz_rows, fuzz_attention, fuzz_mlp, fuzz_mixture};
    for (uint64_t i = first; i < first + each; i++) {
        state = seed * 0x2545F4914F6CDD1Dull + i;
        char where[80];
        told = where;
        const char* chosen = levels[from_to(0, levels.size() - 1)];
        famulus_force(chosen);
        snprintf(where, sizeof where, "case %llu of seed %llu at %s", (unsigned long long)i, (unsigned long long)seed, chosen);
        kinds[from_to(0, 6)]();
    }
    printf("%llu cases of seed %llu agree with float64, levels:", (unsigned long long)each, (unsigned long long)seed);
    for (const char* name : levels) printf(" %s", name);
    printf("\n");
    return 0;
}
