#include "team.h"

namespace bnn {
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
        open = true;
        job++;
    }
    wake.notify_all();
    work(0);
    {
        const std::lock_guard<std::mutex> lock(mutex);
        open = false;
    }
    wait_until([this] { return working.load(std::memory_order_acquire) == 0; });
}

void Team::serve(int thread) {
    uint64_t seen = 0;
    for (;;) {
        const std::function<void(int)>* work = nullptr;
        {
            std::unique_lock<std::mutex> lock(mutex);
            wake.wait(lock, [&] { return ended || (open && job != seen); });
            if (ended) return;
            seen = job;
            work = task;
            working.fetch_add(1, std::memory_order_relaxed);  // before the caller can close the job
        }
        (*work)(thread);
        working.fetch_sub(1, std::memory_order_release);
    }
}

}  // namespace bnn
