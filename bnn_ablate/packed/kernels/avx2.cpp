// AVX2: 16 output channels are two registers. It has no popcount of vectors: counts of nibbles are looked up (Mula,
// Kurz, Lemire 2018, arXiv 1611.07612) and summed in bytes, which hold 31 words of 8 bits before they are widened.
#if defined(__x86_64__)
#include <immintrin.h>

#include "steps.h"
#include "training.h"
#include "winograd.h"

#pragma GCC push_options
#pragma GCC target("avx2,fma,popcnt,bmi2")

namespace bnn {
namespace avx2 {

struct F {
    __m256 a, b;
};
static inline F load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
static inline void store(float* p, F v) { _mm256_storeu_ps(p, v.a), _mm256_storeu_ps(p + 8, v.b); }
static inline F set1(float v) { return {_mm256_set1_ps(v), _mm256_set1_ps(v)}; }
static inline F fma(F x, F y, F z) { return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)}; }
static inline F add(F x, F y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
static inline F sub(F x, F y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
static inline F mul(F x, F y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
static inline F div(F x, F y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
static inline F max_(F x, F y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
static inline F min_(F x, F y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
static inline uint16_t at_least(F x, F y) {
    const int low = _mm256_movemask_ps(_mm256_cmp_ps(x.a, y.a, _CMP_GE_OQ));
    const int high = _mm256_movemask_ps(_mm256_cmp_ps(x.b, y.b, _CMP_GE_OQ));
    return static_cast<uint16_t>(low | high << 8);
}
static inline F select(uint16_t mask, F yes, F no) {
    const __m256i lanes = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const auto chosen = [&](int bits, __m256 on, __m256 off) {
        const __m256i hit = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(bits), lanes), lanes);
        return _mm256_blendv_ps(off, on, _mm256_castsi256_ps(hit));
    };
    return {chosen(mask & 255, yes.a, no.a), chosen(mask >> 8, yes.b, no.b)};
}

constexpr int TILE_P = 4, TILE_Q = 1, FTILE_P = 3, FTILE_Q = 2;
constexpr int64_t WORDS_IN_BYTES = 31;

template <int P, int Q, class Out>
static inline __attribute__((always_inline)) void bconv_tile(const uint32_t* const* x, const int32_t* runs, int64_t num_runs, int64_t run_words,
                              const uint32_t* weights, int64_t step, Out out) {
    static_assert(Q == 1, "sixteen registers hold the bytes of one group");
    const __m256i nibble = _mm256_set1_epi8(15);
    const __m256i lookup = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2,
                                            2, 3, 2, 3, 3, 4);
    alignas(32) __m256i counts[P][2] = {};
    __m256i bytes[P][2];
    int64_t room = 0, run = 0, i = 0;
    while (run < num_runs) {
        room = WORDS_IN_BYTES;
#pragma GCC unroll 16
        for (int p = 0; p < P; p++) bytes[p][0] = bytes[p][1] = _mm256_setzero_si256();
        while (room > 0 && run < num_runs) {
            const int64_t offset = runs[run], last = run_words - i < room ? run_words : i + room;
            room -= last - i;
            for (; i < last; i++, weights += step) {
                const __m256i w[2] = {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights)),
                                      _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights + 8))};
#pragma GCC unroll 16
                for (int p = 0; p < P; p++) {
                    const __m256i bits = _mm256_set1_epi32(static_cast<int>(x[p][offset + i]));
#pragma GCC unroll 2
                    for (int half = 0; half < 2; half++) {
                        const __m256i differ = _mm256_xor_si256(w[half], bits);
                        const __m256i low = _mm256_shuffle_epi8(lookup, _mm256_and_si256(differ, nibble));
                        const __m256i shifted = _mm256_and_si256(_mm256_srli_epi16(differ, 4), nibble);
                        bytes[p][half] = _mm256_add_epi8(bytes[p][half], low);
                        bytes[p][half] = _mm256_add_epi8(bytes[p][half], _mm256_shuffle_epi8(lookup, shifted));
                    }
                }
            }
            if (i == run_words) run++, i = 0;
        }
#pragma GCC unroll 16
        for (int p = 0; p < P; p++)
#pragma GCC unroll 2
            for (int half = 0; half < 2; half++) {
                const __m256i pairs = _mm256_maddubs_epi16(bytes[p][half], _mm256_set1_epi8(1));
                counts[p][half] = _mm256_add_epi32(counts[p][half], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
            }
    }
    F values[P];
#pragma GCC unroll 16
    for (int p = 0; p < P; p++) values[p] = {_mm256_cvtepi32_ps(counts[p][0]), _mm256_cvtepi32_ps(counts[p][1])};
    out(0, values);
}

// The limit that a convolution of bits can come near: everything from registers, bytes never widened. Returns the
// products of two bits that were summed.
static int64_t most_counts(int64_t rounds) {
    constexpr int P = TILE_P;
    const __m256i nibble = _mm256_set1_epi8(15);
    const __m256i lookup = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2, 3, 1, 2,
                                            2, 3, 2, 3, 3, 4);
    __m256i bytes[P][2], w[2];
    for (int half = 0; half < 2; half++) w[half] = _mm256_set1_epi32(half * 0x7654321);
#pragma GCC unroll 16
    for (int p = 0; p < P; p++) bytes[p][0] = bytes[p][1] = _mm256_setzero_si256();
    for (int64_t round = 0; round < rounds; round++) {
        asm volatile("" : "+x"(w[0]), "+x"(w[1]));  // the compiler must not see that nothing changes
#pragma GCC unroll 16
        for (int p = 0; p < P; p++) {
            const __m256i bits = _mm256_set1_epi32(p * 0x1234567);
#pragma GCC unroll 2
            for (int half = 0; half < 2; half++) {
                const __m256i differ = _mm256_xor_si256(w[half], bits);
                const __m256i low = _mm256_shuffle_epi8(lookup, _mm256_and_si256(differ, nibble));
                const __m256i shifted = _mm256_and_si256(_mm256_srli_epi16(differ, 4), nibble);
                bytes[p][half] = _mm256_add_epi8(bytes[p][half], low);
                bytes[p][half] = _mm256_add_epi8(bytes[p][half], _mm256_shuffle_epi8(lookup, shifted));
            }
        }
    }
#pragma GCC unroll 16
    for (int p = 0; p < P; p++) asm volatile("" : : "x"(bytes[p][0]), "x"(bytes[p][1]));
    return rounds * P * 512;
}

// 16 tiles of 8 floats -> 8 rows of 16 tiles.
static inline void split_tiles(const float* x, float* out, int64_t row) {
    for (int tile = 0; tile < LANES; tile++)
        for (int i = 0; i < 8; i++) out[i * row + tile] = x[8 * tile + i];
}

#include "body.inc"
#include "training.inc"

}  // namespace avx2

void run_avx2(const Step& step, const Work& work) { avx2::run_step(step, work); }
int64_t most_counts_avx2(int64_t rounds) { return avx2::most_counts(rounds); }
Training training_avx2() {
    return {avx2::signs_of_row, avx2::pack_weights, avx2::forward_range, avx2::sum_pixels, avx2::add_scaled, avx2::centre,
            nullptr, nullptr, nullptr, nullptr};
}

}  // namespace bnn
#pragma GCC pop_options
#endif
