#include "team.h"

namespace bnn {
namespace {

// A step takes tens of microseconds, so waiting threads look often at first; where they outnumber the processors the
// one they wait for must be let in.
constexpr int LOOKS = 2000;

inline void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

template <class Done>
void wait_until(Done done) {
    for (int look = 0; !done(); look++) {
        if (look < LOOKS) relax();
        else std::this_thread::yield();
    }
}

}  // namespace

Team::Team(int count) : threads(count) {
    try {
        for (int thread = 1; thread < threads; thread++) others.emplace_back([this, thread] { serve(thread); });
    } catch (...) {  // no more threads are to be had: those that run must end before the error leaves
        {
            const std::lock_guard<std::mutex> lock(mutex);
            ended = true;
        }
        wake.notify_all();
        for (std::thread& other : others) other.join();
        throw;
    }
}

Team::~Team() {
    {
        const std::lock_guard<std::mutex> lock(mutex);
        ended = true;
    }
    wake.notify_all();
    for (std::thread& other : others) other.join();
}

void Team::run(const std::function<void(int)>& work) {
    if (threads == 1) return work(0);
    {
        const std::lock_guard<std::mutex> lock(mutex);
        task = &work;
        working = threads - 1;
        job.fetch_add(1, std::memory_order_release);
    }
    wake.notify_all();
    work(0);
    wait_until([this] { return working.load(std::memory_order_acquire) == 0; });
}

void Team::barrier() {
    if (threads == 1) return;
    const uint64_t now = round.load(std::memory_order_relaxed);
    if (arrived.fetch_add(1, std::memory_order_acq_rel) == threads - 1) {
        arrived.store(0, std::memory_order_relaxed);
        round.store(now + 1, std::memory_order_release);
    } else {
        wait_until([this, now] { return round.load(std::memory_order_acquire) != now; });
    }
}

void Team::serve(int thread) {
    uint64_t seen = 0;
    for (;;) {
        {
            std::unique_lock<std::mutex> lock(mutex);
            wake.wait(lock, [&] { return ended || job.load(std::memory_order_acquire) != seen; });
            if (ended) return;
            seen = job.load(std::memory_order_relaxed);
        }
        (*task)(thread);
        working.fetch_sub(1, std::memory_order_release);
    }
}

}  // namespace bnn
