// A small pool whose helpers look for work for a moment and then sleep. Pieces are claimed one by one, so nobody waits
// for a thread that the system has put aside, unless it holds a piece; then the waiting thread gives its core away.
#include "team.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#if defined(_OPENMP)
#include <omp.h>
#else
static inline int omp_get_max_threads() { return 1; }
#endif

namespace {

enum { MOST_HELPERS = 63 };

// Nanoseconds for which a helper looks for the next work of a step, and the caller for a helper's end, before they sleep.
enum { LOOK = 100000, WAIT = 100000 };

struct Work {
    std::atomic<void (*)(const void*, size_t)> run;
    std::atomic<const void*> context;
    std::atomic<uint32_t> helpers;
};

Work work;
// The number of the call in the upper half, in the lower how many of its pieces nobody has claimed: a claim succeeds
// only for the call that it was meant for.
alignas(64) std::atomic<uint64_t> claims;
alignas(64) std::atomic<uint32_t> calls, sleepers;
alignas(64) std::atomic<uint32_t> helped, caller_sleeps;
std::atomic<bool> taken;
uint32_t started;

void sleep_on(std::atomic<uint32_t>& word, uint32_t seen) {
    syscall(SYS_futex, (uint32_t*)&word, FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
}

void wake(std::atomic<uint32_t>& word) {
    syscall(SYS_futex, (uint32_t*)&word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

int64_t now() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Whether `word` left the value `seen` within `nanoseconds`.
bool changes(const std::atomic<uint32_t>& word, uint32_t seen, int64_t nanoseconds) {
    int64_t end = now() + nanoseconds;
    do {
        for (int i = 0; i < 32; i++) {
            if (word.load(std::memory_order_acquire) != seen) return true;
            pause();
        }
    } while (now() < end);
    return false;
}

// Pieces of the work that `claims` names now; returns how many were done. Helpers tell of each one.
uint32_t take_pieces(bool helper) {
    uint32_t done = 0;
    uint64_t claim = claims.load(std::memory_order_acquire);
    for (;;) {
        auto run = work.run.load(std::memory_order_relaxed);
        auto context = work.context.load(std::memory_order_relaxed);
        if ((uint32_t)claim == 0) return done;
        if (!claims.compare_exchange_weak(claim, claim - 1, std::memory_order_acq_rel)) continue;
        run(context, (uint32_t)claim - 1);
        done++;
        if (helper) {
            helped.fetch_add(1);
            if (caller_sleeps.load()) wake(helped);
        }
        claim = claims.load(std::memory_order_acquire);
    }
}

void* help(void* given) {
    uint32_t me = (uint32_t)(size_t)given, seen = calls.load();
    for (;;) {
        if (me < work.helpers.load(std::memory_order_relaxed)) take_pieces(true);
        if (me >= work.helpers.load(std::memory_order_relaxed) || !changes(calls, seen, LOOK)) {
            sleepers.fetch_add(1);
            sleep_on(calls, seen);
            sleepers.fetch_sub(1);
        }
        seen = calls.load();
    }
    return nullptr;
}

// A fork takes the threads away.
void after_fork() {
    started = 0;
    sleepers.store(0);
    taken.store(false);
}

void start(uint32_t wanted) {
    static int watched = pthread_atfork(nullptr, nullptr, after_fork);
    (void)watched;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are for the program's own threads
    for (; started < wanted; started++) {
        pthread_t thread;
        if (pthread_create(&thread, nullptr, help, (void*)(size_t)started)) break;  // then with fewer
        pthread_detach(thread);
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace

size_t team_size() {
    int most = omp_get_max_threads();
    return most > MOST_HELPERS ? MOST_HELPERS + 1 : (size_t)most;
}

void team_run(size_t items, void (*run)(const void*, size_t), const void* context) {
    size_t threads = team_size();
    // Whoever comes while the team is busy works alone.
    if (threads < 2 || items < 2 || taken.exchange(true, std::memory_order_acquire)) {
        for (size_t i = 0; i < items; i++) run(context, i);
        return;
    }
    if (started < threads - 1) start((uint32_t)threads - 1);
    uint32_t call = calls.load() + 1;
    helped.store(0);
    work.run.store(run, std::memory_order_relaxed);
    work.context.store(context, std::memory_order_relaxed);
    work.helpers.store((uint32_t)threads - 1, std::memory_order_relaxed);
    claims.store((uint64_t)call << 32 | (uint32_t)items, std::memory_order_release);
    calls.store(call);
    if (sleepers.load()) wake(calls);
    uint32_t theirs = (uint32_t)items - take_pieces(false);
    for (uint32_t found; (found = helped.load()) != theirs;) {
        if (changes(helped, found, WAIT)) continue;
        caller_sleeps.store(1);
        sleep_on(helped, found);
        caller_sleeps.store(0);
    }
    taken.store(false, std::memory_order_release);
}
