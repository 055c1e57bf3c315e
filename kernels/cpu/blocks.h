// The halves of a decoder layer, and single linear layers: what Python calls through ctypes. All pointers are addresses
// of tensors that the caller keeps alive; kernels/cpu/library.py mirrors the structures.
#pragma once
#include "level.h"

struct Linear {
    const uint8_t* tiles;
    const float* bias;  // or null
    int64_t rows, columns, symmetric;
};

// The norms of queries and keys are of every head alone [dim], or `together` of all heads as one row.
struct Attention {
    Linear qkv, out;
    const float *norm, *q_norm, *k_norm, *sinks;  // all but the first may be null
    int64_t heads, kv_heads, dim;
    float eps, scale, residual;
    int32_t together;
};

struct Mlp {
    Linear gate_up, down;
    const float* norm;
    float eps, residual;
};

// Query rows [row, row + count): the last `count` of `context` tokens, at `start` onward or at `slots`. With a `window`
// a row sees the last tokens up to itself only.
struct Segment {
    int64_t row, count, context, start, window;
    const int64_t* slots;
};

struct Step {
    int64_t tokens, segments;
    const Segment* each;
    const float *cos, *sin;  // [tokens, dim]
    const int64_t* slots;    // [tokens]
};

extern "C" {
const char* famulus_level();
int famulus_force(const char* name);
int famulus_runs(const char* name);
void famulus_linear(const Linear* w, const void* x, int bf16, int64_t tokens, void* y, void* scratch);
int64_t famulus_linear_scratch(const Linear* w, int64_t tokens);
void famulus_rows8(const int8_t* w, const float* scales, int64_t rows, int64_t columns, const float* x, int64_t tokens,
                   float* y, void* scratch);
int64_t famulus_rows8_scratch(int64_t columns, int64_t tokens);
// `kv` [2 * kv_heads, slots, dim]: bf16, or int8 with `scales` [2 * kv_heads, slots]; see kernels/store.py.
void famulus_attention(const Attention* a, const Step* step, float* h, void* kv, float* scales, int64_t slots,
                       void* scratch);
int64_t famulus_attention_scratch(const Attention* a, const Step* step);
void famulus_mlp(const Mlp* m, float* h, int64_t tokens, void* scratch);
int64_t famulus_mlp_scratch(const Mlp* m, int64_t tokens);
}

const Level& level();
