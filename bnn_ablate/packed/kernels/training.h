// A binary convolution in training: signs of floats as they come from the network before, and its gradients.
//
// Images are float32 in channels_last order, one behind the other: (N, H, W, C). Latent weights are (O, k, k, C). The
// bits of the activations are kept with their borders, (N, top + H + bottom, left + W + right, words), words of 32
// channels; 1 is -1, as everywhere. A border of zeros is written as +1 and what it adds is taken away again.
#pragma once
#include <cstdint>

#include "steps.h"

namespace bnn {

// name, in the order of the structure that Python passes; all int64
#define BNN_SHAPE(X)                                                                                                 \
    X(images)                                                                                                        \
    X(channels)                                                                                                      \
    X(height)      /* of the image, without borders */                                                               \
    X(width)                                                                                                         \
    X(out_channels)                                                                                                  \
    X(out_height)                                                                                                    \
    X(out_width)                                                                                                     \
    X(kernel)      /* its side */                                                                                    \
    X(stride)                                                                                                        \
    X(dilation)                                                                                                      \
    X(left)        /* borders in pixels */                                                                           \
    X(right)                                                                                                         \
    X(top)                                                                                                           \
    X(bottom)                                                                                                        \
    X(border)      /* the value of border pixels: -1, 0 or 1 */                                                      \
    X(pixel_step)  /* floats from one pixel of x to the next: channels, or more where x is part of something wider */ \
    X(out_step)    /* the same of y and of its gradient */

struct Shape {
#define X(name) int64_t name;
    BNN_SHAPE(X)
#undef X

    int64_t words() const { return (channels + 31) / 32; }
    int64_t groups() const { return (channels + LANES - 1) / LANES; }
    int64_t out_groups() const { return (out_channels + LANES - 1) / LANES; }
    int64_t taps() const { return kernel * kernel; }
    int64_t padded_height() const { return top + height + bottom; }
    int64_t padded_width() const { return left + width + right; }
    int64_t pixels() const { return height * width; }
    int64_t out_pixels() const { return out_height * out_width; }
    int64_t image_words() const { return padded_height() * padded_width() * words(); }
};

// What is read in the place of x: fma(x, scale, shift) by channels, or x itself where scale is null.
struct Affine {
    const float *scale, *shift;
};

// Signs of the pixels of one row to `bits`; where inside is not null, a bit a channel that says abs(x) <= clip to it, groups of 16.
using SignsOfRow = void (*)(const Shape&, const float* x, Affine read, float clip, uint32_t* bits, uint16_t* inside);

// Signs of latent weights for one group of 16 channels, the lanes: word after word of every tap to `packed`, `step` words
// from each to the next. Lanes are output channels for a forward and input channels for the gradient of the input, and
// words hold 32 of the others.
using PackWeights = void (*)(const Shape&, const float* weights, int64_t group, uint32_t* packed, int64_t step);

// What all positions of a convolution's forward share.
struct Forward {
    Shape shape;
    const uint32_t* bits;
    const uint32_t* weights;  // [block of 4 groups][tap][word][group of the block][16], as in steps.h
    const int32_t* runs;      // stretches of words of a window, from its corner
    int64_t num_runs, run_words;
    const int32_t* corners;   // of each position of an image, in words
    const int32_t* classes;   // of each position of an image: which row of start
    const float* start;       // [class][slot]: y = start + slope * (bits that differ)
    float slope;
    float* y;
};
// Output positions [from, to), counted through all images.
using ForwardRange = void (*)(const Forward&, int64_t from, int64_t to);

struct GradInput {
    Shape shape;
    const float* gradient;   // (N, H', W', O), out_step floats from pixel to pixel
    const uint32_t* weights; // [group of 16 input channels in blocks of 4][tap][word of 32 output channels][group][16]
    const uint16_t* inside;  // (N, H, W, groups), or null: everywhere
    float factor;
    float* result;           // (N, H, W, C), result_step floats from pixel to pixel
    int64_t result_step;
    // Where x is what a BatchNorm read before the signs, (N, H, W, C) and pixel_step floats from pixel to pixel, scale
    // times the gradient is added to the result, and the sums of add_scaled are wanted.
    const float *x, *scale, *mean;
};
// Rows [from, to) of one image. Room is for tables and their places, sums for [2][slots] where there is an x, or null.
using GradInputRows = void (*)(const GradInput&, int64_t image, int64_t from, int64_t to, float* room, int32_t* places, float* sums);

struct GradWeight {
    Shape shape;
    const float* gradient;  // (N, H', W', O), out_step floats from pixel to pixel
    const uint32_t* bits;
    const int32_t* corners; // of each position of an image, in words
    float factor;
    float* result;          // (O, k, k, C), added to
};
// Positions are taken in blocks of this many, of which 32 are one word of a channel's bits.
constexpr int64_t POSITIONS = 256;
// Bits of the positions of block `block` under one tap, a word for 32 positions: [block of 4 groups][word][group][16].
using Transpose = void (*)(const GradWeight&, int64_t block, int64_t tap, uint32_t* words);
// What positions of `blocks` blocks from `first` add for up to four output channels from `channel`; words are those of
// all taps of each block, room: floats for the tables of a block.
using GradWeightChannels = void (*)(const GradWeight&, int64_t first, int64_t blocks, const uint32_t* words, int64_t channel, float* room);
constexpr int64_t CHANNELS_TOGETHER = 4;

// A BatchNorm's own passes over pixels of `channels` channels that are part of wider ones. Sums are added to in double.
struct Pixels {
    const float* x;
    int64_t step, channels, count;
};
// Sums of x - mean, and of its square, a channel; mean may be null: zero.
using SumPixels = void (*)(const Pixels&, const float* mean, double* sums, double* squares);
// to += scale g, with g (count, channels) dense; sums of g and of g (x - mean).
using AddScaled = void (*)(const Pixels&, const float* g, const float* scale, const float* mean, float* to, int64_t to_step,
                           double* sums, double* products);
// to -= a + b (x - mean)
using Centre = void (*)(const Pixels&, const float* a, const float* b, const float* mean, float* to, int64_t to_step);

// The last four are null where the instructions lack: then there are no such gradients.
struct Training {
    SignsOfRow signs;
    PackWeights weights;
    ForwardRange forward;
    SumPixels sum_pixels;
    AddScaled add_scaled;
    Centre centre;
    PackWeights weights_backwards;
    GradInputRows grad_input;
    Transpose transpose;
    GradWeightChannels grad_weight;
};

Training training_avx512();
Training training_avx2();
Training training_portable();

}  // namespace bnn
