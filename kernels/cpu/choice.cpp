// Which instruction level computes: the best that the processor has, or the one that a test names.
#include <string.h>

#include "blocks.h"

static const Level* const levels[] = {
#if defined(__x86_64__)
    &avx512_level, &avxvnni_level, &avx2_level,
#elif defined(__aarch64__)
    &neon_level,
#endif
    &portable_level,
};

static const Level* best() {
    for (const Level* each : levels)
        if (each->runs()) return each;
    return &portable_level;
}

static const Level* chosen = best();

const Level& level() { return *chosen; }

extern "C" const char* famulus_level() { return chosen->name; }

extern "C" int famulus_runs(const char* name) {
    for (const Level* each : levels)
        if (!strcmp(each->name, name)) return each->runs();
    return 0;
}

extern "C" int famulus_force(const char* name) {
    if (!*name) {
        chosen = best();
        return 1;
    }
    for (const Level* each : levels)
        if (!strcmp(each->name, name) && each->runs()) {
            chosen = each;
            return 1;
        }
    return 0;
}
