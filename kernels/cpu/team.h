// The threads that share the work of one call. The caller works itself and never waits for a helper that did not come:
// a helper that has lost its core to another program costs its own share only.
#pragma once
#include <stddef.h>

// How many threads compute at the most: torch's number, which the engine sets.
size_t team_size();

// Call run(context, i) once for every i below `items`, on any of the team's threads; returns when all have returned.
void team_run(size_t items, void (*run)(const void* context, size_t item), const void* context);

// Call share(first, last) for pieces that cover [0, n): on the caller alone unless the work is `worth` other threads.
template <typename Share>
static inline void shared(bool worth, size_t n, const Share& share) {
    size_t threads = worth ? team_size() : 1;
    if (threads < 2 || n < 2) {
        if (n) share((size_t)0, n);
        return;
    }
    // More pieces than threads: who is late takes fewer. The last one is claimed first: large ones, as every claim costs
    // a cache line's way between the cores, and small ones at the end, where threads wait for each other.
    struct Pieces {
        const Share& share;
        size_t n, count;
        size_t start(size_t i) const { return n * i * i / (count * count); }
    } pieces = {share, n, 3 * threads};
    team_run(
        pieces.count,
        [](const void* given, size_t i) {
            const Pieces& p = *(const Pieces*)given;
            size_t first = p.start(i), last = p.start(i + 1);
            if (first < last) p.share(first, last);
        },
        &pieces);
}
