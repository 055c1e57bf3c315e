// Linear layers alone, for models whose layers are not among the blocks.
#include "parallel.h"

struct LinearPieces {
    float* row;
    Digits x;
    float* y;
    LinearPieces(Pool& pool, const Linear& w, size_t tokens) {
        row = pool.take<float>(tokens * (size_t)w.columns);
        x = pool.digits(tokens, (size_t)w.columns);
        y = pool.take<float>(tokens * padded((size_t)w.rows));
    }
};

extern "C" int64_t famulus_linear_scratch(const Linear* w, int64_t tokens) {
    Pool pool{nullptr, 0};
    LinearPieces pieces(pool, *w, (size_t)tokens);
    return (int64_t)pool.used;
}

extern "C" void famulus_linear(const Linear* w, const void* x, int bf16, int64_t tokens_, void* y, void* scratch) {
    const Level& l = level();
    size_t tokens = (size_t)tokens_, columns = (size_t)w->columns, rows = (size_t)w->rows, stride = padded(rows);
    Pool pool{(char*)scratch, 0};
    LinearPieces p(pool, *w, tokens);
    shared(tokens >= MANY, tokens, [&](size_t first, size_t last) {
        for (size_t t = first; t < last; t++) {
            const float* row = (const float*)x + t * columns;
            if (bf16) {
                l.widen((const uint16_t*)x + t * columns, columns, p.row + t * columns);
                row = p.row + t * columns;
            }
            l.quantise(row, columns, from(p.x, t).q, from(p.x, t).scales);
        }
    });
    share_product(l, *w, p.x, tokens, p.y, stride);
    shared(tokens >= MANY, tokens, [&](size_t first, size_t last) {
        for (size_t t = first; t < last; t++) {
            float* found = p.y + t * stride;
            if (w->bias)
                for (size_t r = 0; r < rows; r++) found[r] += w->bias[r];
            if (bf16)
                l.narrow(found, rows, (uint16_t*)y + t * rows);
            else
                __builtin_memcpy((float*)y + t * rows, found, rows * sizeof(float));
        }
    });
}

extern "C" int64_t famulus_rows8_scratch(int64_t columns, int64_t tokens) {
    Pool pool{nullptr, 0};
    pool.take<int16_t>((size_t)(columns * tokens));
    pool.take<float>((size_t)tokens);
    return (int64_t)pool.used;
}

extern "C" void famulus_rows8(const int8_t* w, const float* scales, int64_t rows, int64_t columns, const float* x,
                              int64_t tokens, float* y, void* scratch) {
    const Level& l = level();
    Pool pool{(char*)scratch, 0};
    int16_t* q = pool.take<int16_t>((size_t)(columns * tokens));
    float* xs = pool.take<float>((size_t)tokens);
    // The largest digit with which no sum of products can leave 32 bits.
    float largest = 2147483647.0f / 128.0f / (float)columns;
    if (largest > 32000.0f) largest = 32000.0f;
    for (int64_t t = 0; t < tokens; t++)
        xs[t] = l.quantise16(x + t * columns, (size_t)columns, (float)(int)largest, q + t * columns);
    shared(tokens * rows * columns > (1 << 17), (size_t)rows, [&](size_t first, size_t last) {
        l.rows8(w, scales, first, last, (size_t)columns, q, xs, (size_t)tokens, y, (size_t)rows);
    });
}
