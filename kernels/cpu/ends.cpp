// What stands before and behind the layers of a step: the angles of its positions, the last norm, the likeliest token.
// Little to compute; but torch's way to it leads through memory that the weights have swept from the caches.
#include <math.h>

#include "parallel.h"

// cos and the signed sin of kernels/rope.py, [tokens, 2 * half]; `inverse` [half].
extern "C" void famulus_turns(const int64_t* positions, int64_t tokens, const float* inverse, int64_t half,
                              float amplitude, float* cos, float* sin) {
    shared(tokens * half > (1 << 12), (size_t)tokens, [&](size_t first, size_t last) {
        for (size_t t = first; t < last; t++) {
            float *c = cos + t * 2 * (size_t)half, *s = sin + t * 2 * (size_t)half;
            for (int64_t i = 0; i < half; i++) {
                float angle = (float)positions[t] * inverse[i];
                c[i] = c[half + i] = cosf(angle) * amplitude;
                s[half + i] = sinf(angle) * amplitude;
                s[i] = -s[half + i];
            }
        }
    });
}

extern "C" void famulus_norm(const float* x, const float* w, int64_t rows, int64_t columns, float eps, float* y) {
    const Level& l = level();
    shared(rows >= MANY, (size_t)rows, [&](size_t first, size_t last) {
        for (size_t r = first; r < last; r++)
            l.norm(x + r * (size_t)columns, w, (size_t)columns, eps, y + r * (size_t)columns);
    });
}

// Of each row the place of its largest value, the first one of equals; a NaN is larger than all.
extern "C" void famulus_largest(const float* x, int64_t rows, int64_t columns, int64_t* places) {
    for (int64_t r = 0; r < rows; r++, x += columns) {
        float most = -INFINITY;
        int odd = 0;
#pragma omp simd reduction(max : most) reduction(| : odd)
        for (int64_t i = 0; i < columns; i++) {
            most = x[i] > most ? x[i] : most;
            odd |= x[i] != x[i];
        }
        int64_t at = 0;
        while (at < columns - 1 && (odd ? x[at] == x[at] : x[at] != most)) at++;
        places[r] = at;
    }
}
