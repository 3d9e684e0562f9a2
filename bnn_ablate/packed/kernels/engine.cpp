// The C interface: a program is checked once and run many times, each time with one call.
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <new>

#include "check.h"
#include "team.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "bits of sixteen channels are halves of little-endian words"
#endif

namespace bnn {
namespace {

enum Kernel { PORTABLE = 0, AVX2 = 1, AVX512 = 2, KERNELS = 3 };

bool supported(int kernel) {
    if (kernel == PORTABLE) return true;
#if defined(__x86_64__)
    __builtin_cpu_init();
    // every instruction set that the kernels' pragmas name
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("popcnt") &&
                      __builtin_cpu_supports("bmi2");
    if (kernel == AVX2) return avx2;
    if (kernel == AVX512)
        return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vpopcntdq");
#endif
    return false;
}

Run runner(int kernel) {
#if defined(__x86_64__)
    if (kernel == AVX512) return run_avx512;
    if (kernel == AVX2) return run_avx2;
#endif
    (void)kernel;
    return run_portable;
}

struct Free {
    void operator()(uint8_t* memory) const { std::free(memory); }
};

struct Context {
    Program program;
    std::vector<Step> steps;
    Run run;
    Team team;
    std::vector<Pieces> pieces;  // of each step, where threads share one
    std::atomic<int64_t> next_chunk{0};  // where each has chunks of its own
    std::vector<std::unique_ptr<uint8_t, Free>> arenas;  // one a thread that has images of its own

    Context(const Program& given, int kernel)
        : program(given),
          steps(given.steps, given.steps + given.num_steps),
          run(runner(kernel)),
          team(static_cast<int>(given.threads)),
          pieces(static_cast<size_t>(given.num_steps)),
          arenas(static_cast<size_t>(given.threads)) {
        program.steps = steps.data();
        arena(0);
    }

    // Pages that nothing has written to cost nothing, so the arenas of other threads are made when they are needed.
    uint8_t* arena(int thread) {
        std::unique_ptr<uint8_t, Free>& memory = arenas[static_cast<size_t>(thread)];
        if (!memory) {
            const size_t bytes = (static_cast<size_t>(program.arena_bytes) + 127) / 64 * 64;
            void* fresh = nullptr;
            if (posix_memalign(&fresh, 64, bytes) != 0) throw std::bad_alloc();
            std::memset(fresh, 0, bytes);
            memory.reset(static_cast<uint8_t*>(fresh));
        }
        return memory.get();
    }
};

// A step in as many pieces as threads, but for those that are written for one. Whoever is there takes the next piece.
int pieces_of(const Step& step, int threads) { return step.kind == FILL || step.kind == OUTPUT ? 1 : threads; }

double now() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace
}  // namespace bnn

using namespace bnn;

#define EXPORTED __attribute__((visibility("default")))

extern "C" {

// The names of a step's fields, in order: Python compares them with its own before it calls anything else.
EXPORTED const char* bnn_fields() {
#define X(name) #name " "
    return BNN_FIELDS(X);
#undef X
}

// A digest of the sources that this library was built from.
EXPORTED const char* bnn_sources() { return BNN_SOURCES; }

EXPORTED int bnn_supported(int kernel) { return kernel >= 0 && kernel < KERNELS && supported(kernel); }

// The largest of a few measured rates at which this core sums products of two bits with the instructions of a kernel.
EXPORTED double bnn_popcount_peak(int kernel) {
    int64_t (*counts)(int64_t) = most_counts_portable;
#if defined(__x86_64__)
    if (kernel == AVX512) counts = most_counts_avx512;
    if (kernel == AVX2) counts = most_counts_avx2;
#endif
    (void)kernel;
    double best = 0;
    for (int i = 0; i < 20; i++) {
        const double before = now();
        const int64_t done = counts(20000);
        const double rate = static_cast<double>(done) / (now() - before);
        if (rate > best) best = rate;
    }
    return best;
}

// sizes: chunk, channels, height, width, classes, threads. Returns null and says why in `error` where the program is
// not valid or memory or threads are not to be had. The blob must live as long as the context.
EXPORTED void* bnn_create(const int64_t* steps, int64_t num_steps, const uint8_t* blob, int64_t blob_bytes, int64_t arena_bytes,
                 const int64_t* sizes, int kernel, char* error, int64_t error_bytes) {
    const Program program{reinterpret_cast<const Step*>(steps), num_steps, blob,     blob_bytes, arena_bytes,
                          sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5]};
    std::string why;
    try {
        if (!bnn_supported(kernel)) why = "this processor lacks the instructions of the kernel";
        else if (valid(program, why)) return new Context(program, kernel);
    } catch (const std::bad_alloc&) {
        why = "there is not enough memory for the network's values";
    } catch (const std::exception& failure) {
        why = std::string("the threads cannot be started: ") + failure.what();
    }
    if (error_bytes > 0) {
        std::strncpy(error, why.c_str(), static_cast<size_t>(error_bytes - 1));
        error[error_bytes - 1] = 0;
    }
    return nullptr;
}

EXPORTED void bnn_destroy(void* context) { delete static_cast<Context*>(context); }

EXPORTED const uint8_t* bnn_arena(void* context) { return static_cast<Context*>(context)->arena(0); }

// Images (count, C, H, W) with strides in floats -> logits (count, classes). With `seconds` (a double a step) the time
// of each step is added to it. One call at a time on one context. Returns 0, or 1 where memory is not to be had.
EXPORTED int bnn_run(void* handle, const float* data, const int64_t* strides, int64_t count, float* logits, double* seconds) {
    Context& context = *static_cast<Context*>(handle);
    const Program& program = context.program;
    const Images images{data, strides[0], strides[1], strides[2], strides[3]};
    const int64_t chunks = (count + program.chunk - 1) / program.chunk;
    const int threads = context.team.size();
    // Whole chunks for each thread where there are enough, without a barrier; what is left, and single images, together.
    const int64_t apart = threads > 1 && seconds == nullptr ? chunks / threads * threads : 0;
    try {
        for (int thread = 0; thread < (apart > 0 ? threads : 1); thread++) context.arena(thread);
    } catch (const std::bad_alloc&) {
        return 1;
    }
    const auto work_on = [&](int64_t index, uint8_t* arena) {
        const int64_t first = index * program.chunk;
        const int64_t here = count - first < program.chunk ? count - first : program.chunk;
        return Work{program.blob, arena, images, first, here, logits, program.classes, 0, 1, 0};
    };
    const auto whole_chunks = [&](int thread) {
        for (int64_t index; (index = context.next_chunk.fetch_add(1, std::memory_order_relaxed)) < apart;) {
            const Work work = work_on(index, context.arenas[static_cast<size_t>(thread)].get());
            for (int64_t i = 0; i < program.num_steps; i++) context.run(program.steps[i], work);
        }
    };
    const auto shared_chunks = [&](int thread) {
        double before = now();
        for (int64_t index = apart; index < chunks; index++) {
            Work work = work_on(index, context.arenas[0].get());
            work.scratch = thread;
            for (int64_t i = 0; i < program.num_steps; i++) {
                const Step& step = program.steps[i];
                work.pieces = pieces_of(step, threads);
                context.pieces[static_cast<size_t>(i)].share((index - apart) * work.pieces, work.pieces, [&](int piece) {
                    work.piece = piece;
                    context.run(step, work);
                });
                if (seconds != nullptr && thread == 0) {
                    const double after = now();
                    seconds[i] += after - before;
                    before = after;
                }
            }
        }
    };
    // by reference: a function object of its own would need memory, and that can fail
    context.next_chunk = 0;
    if (apart > 0) context.team.run(std::ref(whole_chunks));
    if (apart == chunks) return 0;
    for (Pieces& pieces : context.pieces) pieces.reset();
    context.team.run(std::ref(shared_chunks));
    return 0;
}

}  // extern "C"
