// For any processor: plain loops over the 16 channels of a group, which the compiler turns into whatever vectors the
// baseline of the architecture has.
#include "steps.h"
#include "training.h"
#include "winograd.h"

namespace bnn {
namespace portable {

struct F {
    float v[LANES];
};
template <class Each>
static inline F each(Each value) {
    F result;
    for (int i = 0; i < LANES; i++) result.v[i] = value(i);
    return result;
}
static inline F load(const float* p) {
    return each([&](int i) { return p[i]; });
}
static inline void store(float* p, const F& v) {
    for (int i = 0; i < LANES; i++) p[i] = v.v[i];
}
static inline F set1(float v) {
    return each([&](int) { return v; });
}
static inline F fma(const F& a, const F& b, const F& c) {
    return each([&](int i) { return __builtin_fmaf(a.v[i], b.v[i], c.v[i]); });
}
static inline F add(const F& a, const F& b) {
    return each([&](int i) { return a.v[i] + b.v[i]; });
}
static inline F sub(const F& a, const F& b) {
    return each([&](int i) { return a.v[i] - b.v[i]; });
}
static inline F mul(const F& a, const F& b) {
    return each([&](int i) { return a.v[i] * b.v[i]; });
}
static inline F div(const F& a, const F& b) {
    return each([&](int i) { return a.v[i] / b.v[i]; });
}
// Of equal or unordered values the second one, as the vector instructions do.
static inline F max_(const F& a, const F& b) {
    return each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
static inline F min_(const F& a, const F& b) {
    return each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
static inline uint16_t at_least(const F& a, const F& b) {
    unsigned mask = 0;
    for (int i = 0; i < LANES; i++) mask |= static_cast<unsigned>(a.v[i] >= b.v[i]) << i;
    return static_cast<uint16_t>(mask);
}
static inline F select(uint16_t mask, const F& yes, const F& no) {
    return each([&](int i) { return mask >> i & 1 ? yes.v[i] : no.v[i]; });
}

constexpr int TILE_P = 2, TILE_Q = 1, FTILE_P = 2, FTILE_Q = 1;

// Ones of a word without an instruction that the baseline may lack; this form the compiler vectorises.
static inline uint32_t ones(uint32_t word) {
    word -= word >> 1 & 0x55555555u;
    word = (word & 0x33333333u) + (word >> 2 & 0x33333333u);
    word = (word + (word >> 4)) & 0x0f0f0f0fu;
    word += word >> 8;
    word += word >> 16;
    return word & 63u;
}

template <int P, int Q, class Out>
static inline __attribute__((always_inline)) void bconv_tile(const uint32_t* const* x, const int32_t* runs, int64_t num_runs, int64_t run_words,
                              const uint32_t* weights, int64_t step, Out out) {
    static_assert(Q == 1, "one group at a time");
    uint32_t counts[P][LANES] = {};
    for (int64_t run = 0; run < num_runs; run++) {
        for (int64_t i = runs[run]; i < runs[run] + run_words; i++, weights += step)
            for (int p = 0; p < P; p++)
                for (int lane = 0; lane < LANES; lane++) counts[p][lane] += ones(weights[lane] ^ x[p][i]);
    }
    F values[P];
    for (int p = 0; p < P; p++) values[p] = each([&](int i) { return static_cast<float>(counts[p][i]); });
    out(0, values);
}

// The limit that a convolution of bits can come near: everything in the first cache. Returns the products of two bits
// that were summed.
static int64_t most_counts(int64_t rounds) {
    uint32_t counts[LANES] = {}, words[LANES] = {};
    for (int64_t round = 0; round < rounds; round++) {
        asm volatile("" : : "r"(words) : "memory");  // the compiler must not see that nothing changes
        for (int lane = 0; lane < LANES; lane++) counts[lane] += ones(words[lane] ^ static_cast<uint32_t>(round));
    }
    asm volatile("" : : "r"(counts) : "memory");
    return rounds * LANES * 32;
}

// 16 tiles of 8 floats -> 8 rows of 16 tiles.
static inline void split_tiles(const float* x, float* out, int64_t row) {
    for (int tile = 0; tile < LANES; tile++)
        for (int i = 0; i < 8; i++) out[i * row + tile] = x[8 * tile + i];
}

#include "body.inc"
#include "training.inc"

}  // namespace portable

void run_portable(const Step& step, const Work& work) { portable::run_step(step, work); }
int64_t most_counts_portable(int64_t rounds) { return portable::most_counts(rounds); }
Training training_portable() {
    return {portable::signs_of_row, portable::pack_weights, portable::forward_range, portable::sum_pixels, portable::add_scaled, portable::centre,
            nullptr, nullptr, nullptr, nullptr};
}

}  // namespace bnn
