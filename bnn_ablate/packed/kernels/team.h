// Threads that wait for work, and the barrier between the steps of a program.
#pragma once
#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace bnn {

// Runs a function on all its threads at once, the caller being one of them. While nothing runs the others sleep.
class Team {
   public:
    explicit Team(int threads);
    ~Team();
    Team(const Team&) = delete;
    Team& operator=(const Team&) = delete;

    int size() const { return threads; }
    void run(const std::function<void(int)>& work);
    // Inside run(): returns when all threads have come here.
    void barrier();

   private:
    void serve(int thread);

    const int threads;
    std::vector<std::thread> others;
    std::mutex mutex;
    std::condition_variable wake;
    std::atomic<uint64_t> job{0};
    std::atomic<bool> ended{false};
    std::atomic<int> working{0};
    std::atomic<int> arrived{0};
    std::atomic<uint64_t> round{0};
    const std::function<void(int)>* task = nullptr;
};

}  // namespace bnn
