// Neighbouring layers of a step in one call: a small model's layer takes little longer than the way back to Python and
// its caches, which the weights have swept.
#include "experts.h"

// One layer: attention over its store, then its MLP or its mixture of experts; the other one is null.
struct Layer {
    const Attention* attention;
    const Mlp* mlp;
    const Mixture* mixture;
    void* kv;
    float* scales;
    int64_t slots, windowed;
};

// `steps`: the tables of layers that see everything, and those of windowed ones.
extern "C" int64_t famulus_layers_scratch(const Layer* each, int64_t count, const Step* const* steps) {
    int64_t most = 0, tokens = steps[0]->tokens;
    for (int64_t i = 0; i < count; i++) {
        const Layer& layer = each[i];
        int64_t first = famulus_attention_scratch(layer.attention, steps[layer.windowed]);
        int64_t second = layer.mlp ? famulus_mlp_scratch(layer.mlp, tokens) : famulus_mixture_scratch(layer.mixture, tokens);
        most = first > most ? first : most;
        most = second > most ? second : most;
    }
    return most;
}

extern "C" void famulus_layers(const Layer* each, int64_t count, const Step* const* steps, float* h, void* scratch) {
    for (int64_t i = 0; i < count; i++) {
        const Layer& layer = each[i];
        famulus_attention(layer.attention, steps[layer.windowed], h, layer.kv, layer.scales, layer.slots, scratch);
        if (layer.mlp)
            famulus_mlp(layer.mlp, h, steps[0]->tokens, scratch);
        else
            famulus_mixture(layer.mixture, h, steps[0]->tokens, scratch);
    }
}
