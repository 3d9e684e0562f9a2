// What a program is made of: steps over two blocks of memory. The blob holds constants (weights, tables), the arena
// the values of one chunk of images. Python plans programs (plan.py), engine.cpp checks and runs them.
//
// Every field is an int64. Fields that end in _at are byte offsets, into the blob where their comment says so and into
// the arena otherwise; -1 means that the step has none. Tables (t_...) are int32, one entry an output position, for all
// images of a chunk behind each other. Channels come in groups of 16, the lanes; a value's place of a channel is its
// "slot". Output groups are handled in blocks of four.
#pragma once
#include <cstddef>
#include <cstdint>

namespace bnn {

constexpr int LANES = 16;
constexpr int BLOCK = 4;  // groups whose weights lie beside each other

enum Kind : int64_t {
    FILL = 0,    // borders: write a pattern over ranges of words
    INPUT = 1,   // the images as they come -> (H, W, slots)
    BCONV = 2,   // bits -> counts -> values
    FCONV = 3,   // floats -> sums -> values
    POOL = 4,    // floats -> maximum or mean over a window -> values; a window of one pixel applies functions
    ABSMEAN = 5, // floats -> mean of abs over channels, one float a pixel
    WINOGRAD = 6,// the images -> 7x7 convolution of stride 2 -> values
    OUTPUT = 7,  // floats -> the caller's logits
    KINDS = 8,
};

enum Function : int64_t { NONE = 0, RELU = 1, CLIP = 2, LEAKY_CLIP = 3, SIGN = 4, FUNCTIONS = 5 };

// name, in the order of the array that Python passes
#define BNN_FIELDS(X)                                                                                                \
    X(kind)                                                                                                          \
    X(pixels)      /* output positions of one image */                                                               \
    X(groups)      /* of 16 output channels */                                                                       \
    X(chunk)       /* output positions that are taken through all blocks together */                                 \
    X(src_at)      /* what is read */                                                                                \
    X(t_src)       /* blob: where each position's window begins, in words of 4 bytes */                              \
    X(runs)        /* stretches of words that a window consists of */                                                \
    X(run_words)   /* words of each */                                                                               \
    X(t_runs)      /* blob: where each begins, from the window's beginning */                                        \
    X(weights)     /* blob: [block][run][word][group of the block][16], words or floats */                           \
    X(start)       /* blob, BCONV: [class][slot] -T/2, y = -2 (count + start); FCONV: [slot] the bias */              \
    X(t_start)     /* blob: the class' first entry for each position, or -1 for one class */                         \
    X(alpha)       /* blob: [slot] factor that is rounded before map is applied, or -1 */                            \
    X(map_at)      /* a float a position that multiplies all channels, or -1 */                                      \
    X(t_map)       /* blob: its place, in floats */                                                                  \
    X(scale)       /* blob: [slot] fma(value, scale, shift), or -1 */                                                \
    X(shift)       /* blob: [slot] */                                                                                \
    X(function)    /* of the result */                                                                               \
    X(add_at)      /* value that is added, or -1 */                                                                  \
    X(t_add)       /* blob: its place, in floats */                                                                  \
    X(function2)   /* of the sum */                                                                                  \
    X(dst_at)      /* where the floats go, or -1 */                                                                  \
    X(t_dst)       /* blob: their place, in floats */                                                                \
    X(packs)       /* number of places where signs go */                                                             \
    X(t_packs)     /* blob: int64 [pack]{thresholds (blob), flips (blob), bits_at, t_bits (blob), first group} */    \
    X(window)      /* blob, POOL: int32 [position]{rows, columns} */                                                 \
    X(row_words)   /* POOL: from row to row of src */                                                                \
    X(column_words)/* POOL: from pixel to pixel of src */                                                            \
    X(mean)        /* POOL: 0 maximum, 1 mean */                                                                     \
    X(divisor)     /* POOL: of means; 0: the pixels of the window */                                                 \
    X(pre_scale)   /* blob, POOL, ABSMEAN and INPUT: [slot] fma of what is read, or -1 */                            \
    X(pre_shift)   /* blob */                                                                                        \
    X(pre_function)/* of what is read */                                                                             \
    X(channels)    /* INPUT, ABSMEAN, OUTPUT, WINOGRAD: true channels */                                             \
    X(slots)       /* OUTPUT: blob: int32 [channel] the place of each channel */                                     \
    X(height)      /* INPUT, WINOGRAD: of the image */                                                               \
    X(width)                                                                                                         \
    X(scratch_at)  /* WINOGRAD: room of its own, for each thread */                                                  \
    X(scratch_bytes)                                                                                                 \
    X(conv_rows)   /* WINOGRAD: of the convolution's output */                                                       \
    X(conv_columns)                                                                                                  \
    X(pad_top)     /* WINOGRAD: borders of the image */                                                              \
    X(pad_left)                                                                                                      \
    X(pooled)      /* WINOGRAD: whether a 3x3 max pooling of stride 2, borders 1, follows pre_function */            \
    X(pool_rows)                                                                                                     \
    X(pool_columns)

struct Step {
#define X(name) int64_t name;
    BNN_FIELDS(X)
#undef X
};

struct Pack {
    int64_t thresholds, flips, bits_at, t_bits, first_group;
};

// The caller's images: (N, C, H, W) floats with strides in floats.
struct Images {
    const float* data;
    int64_t stride_n, stride_c, stride_h, stride_w;
};

// One piece of one step, on the images [first, first + count) of a call, with one arena.
struct Work {
    const uint8_t* blob;
    uint8_t* arena;
    Images images;
    int64_t first, count;
    float* logits;
    int64_t classes;
    int piece, pieces;
    int scratch;  // whose of the scratches that a step has
};

using Run = void (*)(const Step&, const Work&);

void run_avx512(const Step&, const Work&);
void run_avx2(const Step&, const Work&);
void run_portable(const Step&, const Work&);

// Products of two bits that the instructions of a kernel sum in so many rounds with all operands at hand.
int64_t most_counts_avx512(int64_t rounds);
int64_t most_counts_avx2(int64_t rounds);
int64_t most_counts_portable(int64_t rounds);

}  // namespace bnn
