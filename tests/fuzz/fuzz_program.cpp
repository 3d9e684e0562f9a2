// Mutated programs through the C interface: each is refused by check.cpp, or runs without a fault. Built with the
// sanitizers by fuzz_program.py, which also writes the valid programs that the mutations begin with.
//
//   fuzz_program FOLDER EXECUTIONS [SEED [FIRST]]
//
// runs its own mutation loop over the files of the folder. Every execution follows from SEED and its number alone, both
// of which are printed when a sanitizer aborts the process: FIRST repeats it. With clang, -DLIBFUZZER leaves main to
// libFuzzer, whose corpus is the same files.
#include <dirent.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "steps.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

extern "C" {
void* bnn_create(const int64_t*, int64_t, const uint8_t*, int64_t, int64_t, const int64_t*, int, char*, int64_t);
void bnn_destroy(void*);
const uint8_t* bnn_arena(void*);
int bnn_run(void*, const float*, const int64_t*, int64_t, float*, double*);
int bnn_supported(int);
}

namespace {

using Bytes = std::vector<uint8_t>;
constexpr int64_t FIELDS = sizeof(bnn::Step) / 8;

// A file: this, then the steps, then the blob to the end.
struct Header {
    int64_t kernel, num_steps, arena_bytes, chunk, channels, height, width, classes, threads;
};
constexpr int64_t HEADER_WORDS = sizeof(Header) / 8;

struct Freed {
    void operator()(void* memory) const { std::free(memory); }
};
// A copy that ends where it ends, so that one byte behind it is noticed.
std::unique_ptr<uint8_t, Freed> exactly(const uint8_t* from, size_t bytes) {
    void* memory = nullptr;
    if (posix_memalign(&memory, 64, bytes > 0 ? bytes : 1) != 0) std::abort();
    if (from != nullptr && bytes > 0) std::memcpy(memory, from, bytes);
    return std::unique_ptr<uint8_t, Freed>(static_cast<uint8_t*>(memory));
}

// Programs that are valid and would only take long are no findings: windows of a pooling that lie on one pixel.
bool takes_long(const bnn::Step* steps, const Header& header, const uint8_t* blob) {
    double work = 0;
    for (int64_t i = 0; i < header.num_steps; i++) {
        const bnn::Step& s = steps[i];
        const int64_t positions = s.pixels * header.chunk;
        if (s.kind == bnn::POOL) {
            const int32_t* windows = reinterpret_cast<const int32_t*>(blob + s.window);
            for (int64_t k = 0; k < positions; k++) work += double(windows[2 * k]) * windows[2 * k + 1] * s.groups;
        } else if (s.kind == bnn::FILL) {
            const int32_t* ranges = reinterpret_cast<const int32_t*>(blob + s.t_runs);
            for (int64_t k = 0; k < s.runs; k++) work += double(ranges[2 * k + 1]) * s.run_words;
        } else if (s.kind == bnn::BCONV || s.kind == bnn::FCONV) {
            work += double(positions) * s.runs * s.run_words * s.groups;
        } else if (s.kind == bnn::ABSMEAN) {
            work += double(positions) * s.channels;
        }
        work += double(positions) * s.packs * s.groups;
    }
    return work > 1e7;
}

int64_t accepted = 0, slow = 0;

int one(const uint8_t* data, size_t size) {
    Header header;
    if (size < sizeof header) return 0;
    std::memcpy(&header, data, sizeof header);
    const int64_t room = static_cast<int64_t>((size - sizeof header) / sizeof(bnn::Step));
    if (header.num_steps < 0 || header.num_steps > room) return 0;
    // what a caller of this size would not have
    if (header.arena_bytes > 1 << 24 || header.threads > 4 || header.classes > 1 << 16) return 0;
    const size_t step_bytes = static_cast<size_t>(header.num_steps) * sizeof(bnn::Step);
    const size_t blob_bytes = size - sizeof header - step_bytes;
    const auto steps = exactly(data + sizeof header, step_bytes);
    const auto blob = exactly(data + sizeof header + step_bytes, blob_bytes);
    const int64_t sizes[6] = {header.chunk, header.channels, header.height, header.width, header.classes, header.threads};
    char error[64];
    void* context = bnn_create(reinterpret_cast<const int64_t*>(steps.get()), header.num_steps, blob.get(),
                               static_cast<int64_t>(blob_bytes), header.arena_bytes, sizes,
                               bnn_supported(static_cast<int>(header.kernel)) ? static_cast<int>(header.kernel) : 0, error, sizeof error);
    if (context == nullptr) {
        if (std::memchr(error, 0, sizeof error) == nullptr || error[0] == 0) std::abort();  // it must say why
        return 0;
    }
    const int64_t count = header.chunk + 1;
    const double pixels = double(count) * header.channels * header.height * header.width;
    if (pixels > 1 << 22 || double(count) * header.classes > 1 << 22 || takes_long(reinterpret_cast<const bnn::Step*>(steps.get()), header, blob.get())) {
        slow++;
        bnn_destroy(context);
        return 0;
    }
    accepted++;
    // the engine's arenas have room behind them that a valid program does not touch
    uint8_t* arena = const_cast<uint8_t*>(bnn_arena(context));
    const size_t allocated = (static_cast<size_t>(header.arena_bytes) + 127) / 64 * 64;
    const size_t used = (static_cast<size_t>(header.arena_bytes) + 7) / 8 * 8;
    ASAN_POISON_MEMORY_REGION(arena + used, allocated - used);
    const auto images = exactly(nullptr, static_cast<size_t>(pixels) * 4);
    for (int64_t i = 0; i < static_cast<int64_t>(pixels); i++) reinterpret_cast<float*>(images.get())[i] = static_cast<float>(i % 7) - 3;
    const auto logits = exactly(nullptr, static_cast<size_t>(count * header.classes) * 4);
    const int64_t strides[4] = {header.channels * header.height * header.width, header.height * header.width, header.width, 1};
    for (int64_t n : {count, int64_t(1)})
        if (bnn_run(context, reinterpret_cast<float*>(images.get()), strides, n, reinterpret_cast<float*>(logits.get()), nullptr) != 0) std::abort();
    ASAN_UNPOISON_MEMORY_REGION(arena, allocated);
    bnn_destroy(context);
    return 0;
}

// --- mutations -----------------------------------------------------------------------------------------------------

using Random = std::mt19937_64;
int64_t below(Random& random, int64_t n) { return static_cast<int64_t>(random() % static_cast<uint64_t>(n)); }

int64_t changed(int64_t value, Random& random) {
    static const int64_t special[] = {0, 1, -1, 2, 15, 16, 17, 63, 64, 255, 256, 4095, 4096, 4097, 65535, 65536, 1 << 24,
                                      INT32_MAX, int64_t(1) << 31, INT64_MAX / 64, INT64_MAX, INT64_MIN, INT32_MIN};
    switch (below(random, 6)) {
        case 0: return special[below(random, sizeof special / 8)];
        case 1: return static_cast<int64_t>(static_cast<uint64_t>(value) + static_cast<uint64_t>(below(random, 9) - 4));
        case 2: return static_cast<int64_t>(static_cast<uint64_t>(value) + 64 * static_cast<uint64_t>(below(random, 9) - 4));
        case 3: return static_cast<int64_t>(static_cast<uint64_t>(value) * 2);
        case 4: return value / 2;
        default: return static_cast<int64_t>(static_cast<uint64_t>(value) ^ uint64_t(1) << below(random, 34));
    }
}

template <class Word>
void change_word(Bytes& bytes, size_t at, Random& random) {
    Word word;
    std::memcpy(&word, bytes.data() + at, sizeof word);
    word = static_cast<Word>(changed(word, random));
    std::memcpy(bytes.data() + at, &word, sizeof word);
}

// One to four changes of sizes, fields, steps, or of tables in the blob.
Bytes mutated(const std::vector<Bytes>& seeds, Random& random) {
    Bytes bytes = seeds[static_cast<size_t>(below(random, static_cast<int64_t>(seeds.size())))];
    Header header;
    std::memcpy(&header, bytes.data(), sizeof header);
    if (below(random, 2) == 0) header.kernel = below(random, 3), std::memcpy(bytes.data(), &header, sizeof header);
    const int64_t steps = header.num_steps;
    const size_t blob_at = sizeof header + static_cast<size_t>(steps) * sizeof(bnn::Step);
    for (int64_t changes = 1 + below(random, 4); changes > 0; changes--) {
        const size_t step = sizeof header + static_cast<size_t>(below(random, steps)) * sizeof(bnn::Step);
        const size_t field = step + 8 * static_cast<size_t>(below(random, FIELDS));
        switch (below(random, 12)) {
            case 0: change_word<int64_t>(bytes, 8 * static_cast<size_t>(2 + below(random, HEADER_WORDS - 2)), random); break;
            case 1: case 2: case 3: case 4: change_word<int64_t>(bytes, field, random); break;
            case 5: {  // the same field of another step
                const size_t other = sizeof header + static_cast<size_t>(below(random, steps)) * sizeof(bnn::Step) + (field - step);
                std::memmove(bytes.data() + field, bytes.data() + other, 8);
                break;
            }
            case 6: {  // another field of the same step
                const size_t other = step + 8 * static_cast<size_t>(below(random, FIELDS));
                std::memmove(bytes.data() + field, bytes.data() + other, 8);
                break;
            }
            case 7: {  // a whole other step
                const size_t other = sizeof header + static_cast<size_t>(below(random, steps)) * sizeof(bnn::Step);
                std::memmove(bytes.data() + step, bytes.data() + other, sizeof(bnn::Step));
                break;
            }
            case 8: case 9: case 10: {  // where a field points in the blob, or nearby
                if (bytes.size() < blob_at + 8) break;
                int64_t at;
                std::memcpy(&at, bytes.data() + field, 8);
                const int64_t words = static_cast<int64_t>(bytes.size() - blob_at) / 8 * 2;
                at = at >= 0 && at / 4 < words ? at / 4 + below(random, 8) : below(random, words);
                at = at < words ? at : words - 1;
                if (below(random, 4) == 0) change_word<int64_t>(bytes, blob_at + static_cast<size_t>(at / 2 * 8), random);
                else change_word<int32_t>(bytes, blob_at + static_cast<size_t>(at * 4), random);
                break;
            }
            default:  // a shorter blob
                if (bytes.size() > blob_at) bytes.resize(blob_at + static_cast<size_t>(below(random, static_cast<int64_t>(bytes.size() - blob_at))));
        }
    }
    return bytes;
}

int64_t seed = 0, execution = 0;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) { return one(data, size); }

#if !defined(LIBFUZZER)
int main(int argc, char** argv) {
    if (argc < 3) {
        std::fprintf(stderr, "fuzz_program FOLDER EXECUTIONS [SEED [FIRST]]\n");
        return 2;
    }
    std::vector<std::string> names;
    DIR* folder = opendir(argv[1]);
    if (folder == nullptr) return 2;
    while (const dirent* entry = readdir(folder))
        if (entry->d_name[0] != '.') names.push_back(std::string(argv[1]) + "/" + entry->d_name);
    closedir(folder);
    std::sort(names.begin(), names.end());
    std::vector<Bytes> seeds;
    for (const std::string& name : names) {
        std::ifstream file(name, std::ios::binary);
        seeds.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
    const int64_t executions = std::atoll(argv[2]), first = argc > 4 ? std::atoll(argv[4]) : 0;
    seed = argc > 3 ? std::atoll(argv[3]) : 0;
    std::signal(SIGABRT, [](int) {  // how the sanitizers end a process: {A,UB}SAN_OPTIONS=abort_on_error=1
        std::fprintf(stderr, "\nseed %lld execution %lld\n", static_cast<long long>(seed), static_cast<long long>(execution));
    });
    for (const Bytes& valid : seeds) one(valid.data(), valid.size());
    if (accepted != static_cast<int64_t>(seeds.size())) {
        std::fprintf(stderr, "%lld of %zu valid programs are refused\n", static_cast<long long>(seeds.size()) - static_cast<long long>(accepted), seeds.size());
        return 2;
    }
    accepted = 0;
    for (execution = first; execution < first + executions; execution++) {
        Random random(static_cast<uint64_t>(seed) << 40 ^ static_cast<uint64_t>(execution));
        const Bytes bytes = mutated(seeds, random);
        one(bytes.data(), bytes.size());
    }
    std::printf("%lld executions, %lld ran, %lld valid ones would have taken long\n", static_cast<long long>(executions),
                static_cast<long long>(accepted), static_cast<long long>(slow));
    return 0;
}
#endif
