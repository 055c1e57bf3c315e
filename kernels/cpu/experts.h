// Routers and mixtures of experts; kernels/cpu/experts.py mirrors the structures.
#pragma once
#include "blocks.h"

// See kernels/router.py; `bias` and `correction` [experts] may be null.
struct Router {
    const float *gate, *bias, *correction;
    int64_t experts, columns, top_k, groups, kept_groups, sigmoid, renormalise;
    float scale, top_p;
};

// The matrices of the first of `count` experts; those of the others follow. A `limit` of 0 means plain SwiGLU.
struct Experts {
    Linear gate_up, down;
    int64_t count;
    float alpha, limit;
};

// The half of a decoder layer: h += residual * (mixture(norm(h)) + shared(norm(h))); no shared expert: tiles are null.
struct Mixture {
    Router router;
    Experts experts;
    Linear shared_gate_up, shared_down;
    const float* norm;
    float eps, residual;
};

// Which experts rows [first, last) of x f32 go to: weights and experts [tokens, top_k].
void route_rows(const Level& l, const Router& router, const float* x, size_t first, size_t last, float* logits,
                float* weights, int64_t* experts);
// All pairs (token * top_k + place) by ascending expert, free ones last; returns how many are not free.
size_t routed(const Router& router, size_t tokens, float* logits, const int64_t* experts, int64_t* order);

extern "C" {
void famulus_route(const Router* router, const float* x, int64_t tokens, float* weights, int64_t* experts, int64_t* order,
                   void* scratch);
int64_t famulus_route_scratch(const Router* router, int64_t tokens);
void famulus_experts(const Experts* e, const void* x, int bf16, int64_t tokens, int64_t top_k, const float* weights,
                     const int64_t* experts, const int64_t* order, void* y, void* scratch);
int64_t famulus_experts_scratch(const Experts* e, int64_t tokens, int64_t top_k);
void famulus_mixture(const Mixture* m, float* h, int64_t tokens, void* scratch);
int64_t famulus_mixture_scratch(const Mixture* m, int64_t tokens);
}
