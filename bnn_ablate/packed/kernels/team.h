// Threads that wait for work, and how they share it.
#pragma once
#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace bnn {

inline void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

// A step takes tens of microseconds, so a waiting thread looks often at first; where threads outnumber the processors,
// the one it waits for must be let in.
template <class Done>
void wait_until(Done done) {
    constexpr int LOOKS = 2000;
    for (int look = 0; !done(); look++) {
        if (look < LOOKS) relax();
        else std::this_thread::yield();
    }
}

// A piece of work after the other for whoever comes, and when all of them are done. A thread that does not get its
// processor holds up the others only while it has a piece.
class Pieces {
   public:
    void reset() { next = 0, done = 0; }

    // Takes pieces [from, from + count) one by one, work(piece - from), and returns when all are done by anybody.
    template <class Task>
    void share(int64_t from, int64_t count, Task work) {
        const int64_t end = from + count;
        for (int64_t mine = next.load(std::memory_order_relaxed); mine < end;) {
            if (!next.compare_exchange_weak(mine, mine + 1, std::memory_order_relaxed)) continue;
            work(static_cast<int>(mine - from));
            done.fetch_add(1, std::memory_order_release);
            mine = next.load(std::memory_order_relaxed);
        }
        wait_until([&] { return done.load(std::memory_order_acquire) >= end; });
    }

   private:
    std::atomic<int64_t> next{0}, done{0};
};

// Runs a function on the caller and on those of its other threads that come while the caller is at it, so it must be one
// that the caller alone would finish too. Returns when all that came are done. While nothing runs the others sleep.
class Team {
   public:
    explicit Team(int threads);
    ~Team();
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    int size() const { return threads; }
    void run(const std::function<void(int)>& work);

   private:
    void serve(int thread);

    const int threads;
    std::vector<std::thread> others;
    std::mutex mutex;
    std::condition_variable wake;
    // guarded by the mutex:
    uint64_t job = 0;
    bool open = false, ended = false;
    const std::function<void(int)>* task = nullptr;
    // changed under the mutex upwards, and downwards without it
    std::atomic<int> working{0};
};

}  // namespace bnn
