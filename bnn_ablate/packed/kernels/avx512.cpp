// AVX-512 with VPOPCNTDQ: 16 output channels are one register, and a comparison is its 16 bits.
#if defined(__x86_64__)
#include <immintrin.h>

#include "steps.h"
#include "training.h"
#include "winograd.h"

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,avx2,fma,popcnt,bmi2")

namespace bnn {
namespace avx512 {

using F = __m512;
static inline F load(const float* p) { return _mm512_loadu_ps(p); }
static inline void store(float* p, F v) { _mm512_storeu_ps(p, v); }
static inline F set1(float v) { return _mm512_set1_ps(v); }
static inline F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
static inline F add(F a, F b) { return _mm512_add_ps(a, b); }
static inline F sub(F a, F b) { return _mm512_sub_ps(a, b); }
static inline F mul(F a, F b) { return _mm512_mul_ps(a, b); }
static inline F div(F a, F b) { return _mm512_div_ps(a, b); }
static inline F max_(F a, F b) { return _mm512_max_ps(a, b); }
static inline F min_(F a, F b) { return _mm512_min_ps(a, b); }
static inline uint16_t at_least(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
static inline F select(uint16_t mask, F yes, F no) { return _mm512_mask_blend_ps(mask, no, yes); }

constexpr int TILE_P = 5, TILE_Q = 4, FTILE_P = 6, FTILE_Q = 4;

template <int P, int Q, class Out>
static inline __attribute__((always_inline)) void bconv_tile(const uint32_t* const* x, const int32_t* runs, int64_t num_runs, int64_t run_words,
                              const uint32_t* weights, int64_t step, Out out) {
    __m512i counts[P][Q];
#pragma GCC unroll 16
    for (int p = 0; p < P; p++)
#pragma GCC unroll 16
        for (int q = 0; q < Q; q++) counts[p][q] = _mm512_setzero_si512();
    for (int64_t run = 0; run < num_runs; run++) {
        const int64_t offset = runs[run];
        for (int64_t i = offset; i < offset + run_words; i++, weights += step) {
            __m512i w[Q];
#pragma GCC unroll 16
            for (int q = 0; q < Q; q++) w[q] = _mm512_loadu_si512(weights + q * LANES);
#pragma GCC unroll 16
            for (int p = 0; p < P; p++) {
                const __m512i bits = _mm512_set1_epi32(static_cast<int>(x[p][i]));
#pragma GCC unroll 16
                for (int q = 0; q < Q; q++)
                    counts[p][q] = _mm512_add_epi32(counts[p][q], _mm512_popcnt_epi32(_mm512_xor_si512(w[q], bits)));
            }
        }
    }
#pragma GCC unroll 16
    for (int q = 0; q < Q; q++) {
        F values[P];
#pragma GCC unroll 16
        for (int p = 0; p < P; p++) values[p] = _mm512_cvtepi32_ps(counts[p][q]);
        out(q, values);
    }
}

// The limit that a convolution of bits can come near: xor, popcount and add of registers, nothing read or written.
// Returns the products of two bits that were summed.
static int64_t most_counts(int64_t rounds) {
    constexpr int P = TILE_P, Q = TILE_Q;
    __m512i counts[P][Q], x[P], w[Q];
    for (int p = 0; p < P; p++) x[p] = _mm512_set1_epi32(p * 0x1234567);
    for (int q = 0; q < Q; q++) w[q] = _mm512_set1_epi32(q * 0x7654321);
#pragma GCC unroll 16
    for (int p = 0; p < P; p++)
#pragma GCC unroll 16
        for (int q = 0; q < Q; q++) counts[p][q] = _mm512_setzero_si512();
    for (int64_t round = 0; round < rounds; round++) {
#pragma GCC unroll 16
        for (int q = 0; q < Q; q++) asm volatile("" : "+v"(w[q]));  // the compiler must not see that nothing changes
#pragma GCC unroll 16
        for (int p = 0; p < P; p++)
#pragma GCC unroll 16
            for (int q = 0; q < Q; q++)
                counts[p][q] = _mm512_add_epi32(counts[p][q], _mm512_popcnt_epi32(_mm512_xor_si512(w[q], x[p])));
    }
#pragma GCC unroll 16
    for (int p = 0; p < P; p++)
#pragma GCC unroll 16
        for (int q = 0; q < Q; q++) asm volatile("" : : "v"(counts[p][q]));
    return rounds * P * Q * 512;
}

// 16 tiles of 8 floats -> 8 rows of 16 tiles: a transposition of 4x4 floats inside and then across quarters.
static inline void split_tiles(const float* x, float* out, int64_t row) {
    const __m512i low = _mm512_setr_epi32(0, 8, 16, 24, 1, 9, 17, 25, 2, 10, 18, 26, 3, 11, 19, 27);
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(4));
    for (int half = 0; half < 2; half++) {
        F fours[4];
        for (int i = 0; i < 4; i++)
            fours[i] = _mm512_permutex2var_ps(load(x + 32 * i), half ? high : low, load(x + 32 * i + 16));
        const F a = _mm512_shuffle_f32x4(fours[0], fours[1], 0x44), b = _mm512_shuffle_f32x4(fours[0], fours[1], 0xEE);
        const F c = _mm512_shuffle_f32x4(fours[2], fours[3], 0x44), d = _mm512_shuffle_f32x4(fours[2], fours[3], 0xEE);
        store(out + (4 * half + 0) * row, _mm512_shuffle_f32x4(a, c, 0x88));
        store(out + (4 * half + 1) * row, _mm512_shuffle_f32x4(a, c, 0xDD));
        store(out + (4 * half + 2) * row, _mm512_shuffle_f32x4(b, d, 0x88));
        store(out + (4 * half + 3) * row, _mm512_shuffle_f32x4(b, d, 0xDD));
    }
}

#include "body.inc"
#include "training.inc"
#include "gradients.inc"

}  // namespace avx512

void run_avx512(const Step& step, const Work& work) { avx512::run_step(step, work); }
int64_t most_counts_avx512(int64_t rounds) { return avx512::most_counts(rounds); }
Training training_avx512() {
    return {avx512::signs_of_row, avx512::pack_weights, avx512::forward_range, avx512::sum_pixels, avx512::add_scaled, avx512::centre,
            avx512::pack_weights_backwards, avx512::grad_input_rows, avx512::transpose, avx512::grad_weight_channels};
}

}  // namespace bnn
#pragma GCC pop_options
#endif
