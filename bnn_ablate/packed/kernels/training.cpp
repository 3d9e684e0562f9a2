// The C interface of binary convolutions in training, and what no instruction set matters to.
//
// Its threads are OpenMP's, which torch uses too: a team of its own would wait for the processors that torch's threads,
// spinning after their last work, still hold.
#include "training.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

namespace bnn {
namespace {

Training training(int kernel) {
#if defined(__x86_64__)
    if (kernel == 2) return training_avx512();
    if (kernel == 1) return training_avx2();
#endif
    (void)kernel;
    return training_portable();
}

// Memory that nothing has been written to.
template <class T>
class Room {
   public:
    explicit Room(int64_t count) {
        void* fresh = nullptr;
        if (posix_memalign(&fresh, 64, static_cast<size_t>(count) * sizeof(T) + 64) != 0) throw std::bad_alloc();
        memory.reset(static_cast<T*>(fresh));
    }
    T* data() const { return memory.get(); }

   private:
    struct Free {
        void operator()(T* of) const { std::free(of); }
    };
    std::unique_ptr<T, Free> memory;
};

// Calls task(i) for i in [0, count), each once, by whichever thread comes.
template <class Task>
void in_parallel(int64_t count, int threads, const Task& task) {
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads) if (threads > 1 && count > 1)
    for (int64_t i = 0; i < count; i++) task(i);
}

// Signs of latent weights, all groups of 16 channels one by one: `words` words of each channel and tap, see PackWeights.
Room<uint32_t> packed_weights(PackWeights pack, const Shape& s, const float* weights, int64_t groups, int64_t words, int threads) {
    Room<uint32_t> packed(groups * LANES * s.taps() * words);
    in_parallel(groups, threads, [&](int64_t group) {
        const int64_t block = group / BLOCK * BLOCK, in_block = groups - block < BLOCK ? groups - block : BLOCK;
        pack(s, weights, group, packed.data() + block * LANES * s.taps() * words + (group - block) * LANES, in_block * LANES);
    });
    return packed;
}

// Which taps of a window at output row or column `at` lie outside of the image.
uint64_t outside(int64_t at, int64_t size, int64_t before, const Shape& s) {
    uint64_t taps = 0;
    for (int64_t tap = 0; tap < s.kernel; tap++) {
        const int64_t place = at * s.stride + tap * s.dilation - before;
        if (place < 0 || place >= size) taps |= uint64_t(1) << tap;
    }
    return taps;
}

// Positions of an image by which taps of their windows lie outside: a class for each combination that there is, the
// first one with none. Only where border pixels are zeros does it matter.
struct Classes {
    std::vector<int32_t> of_position;
    std::vector<std::vector<int64_t>> outside_taps;

    explicit Classes(const Shape& s) : of_position(static_cast<size_t>(s.out_pixels()), 0), outside_taps(1) {
        if (s.border != 0) return;
        std::vector<std::pair<uint64_t, uint64_t>> known{{0, 0}};
        for (int64_t y = 0; y < s.out_height; y++)
            for (int64_t x = 0; x < s.out_width; x++) {
                const std::pair<uint64_t, uint64_t> found{outside(y, s.height, s.top, s), outside(x, s.width, s.left, s)};
                size_t which = 0;
                while (which < known.size() && known[which] != found) which++;
                if (which == known.size()) {
                    known.push_back(found);
                    outside_taps.emplace_back();
                    for (int64_t tap = 0; tap < s.taps(); tap++)
                        if ((found.first >> tap / s.kernel | found.second >> tap % s.kernel) & 1) outside_taps.back().push_back(tap);
                }
                of_position[static_cast<size_t>(y * s.out_width + x)] = static_cast<int32_t>(which);
            }
    }
};

// Signs of the latent weights summed over input channels: (O, taps).
std::vector<int32_t> sums_of_signs(const Shape& s, const float* weights) {
    std::vector<int32_t> sums(static_cast<size_t>(s.out_channels * s.taps()));
    for (int64_t i = 0; i < s.out_channels * s.taps(); i++) {
        int32_t negative = 0;
        for (int64_t channel = 0; channel < s.channels; channel++) negative += !(weights[i * s.channels + channel] >= 0);
        sums[static_cast<size_t>(i)] = static_cast<int32_t>(s.channels) - 2 * negative;
    }
    return sums;
}

// Where the windows of an image's positions begin, in words.
std::vector<int32_t> corners_of(const Shape& s) {
    std::vector<int32_t> corners;
    corners.reserve(static_cast<size_t>(s.out_pixels()));
    for (int64_t y = 0; y < s.out_height; y++)
        for (int64_t x = 0; x < s.out_width; x++)
            corners.push_back(static_cast<int32_t>((y * s.padded_width() + x) * s.stride * s.words()));
    return corners;
}

void forward(const Training& kernel, const Shape& s, const uint32_t* bits, const float* weights, float factor, float offset,
             float* y, int threads) {
    const int64_t slots = s.out_groups() * LANES, words = s.words(), taps = s.taps();
    const Room<uint32_t> packed = packed_weights(kernel.weights, s, weights, s.out_groups(), words, threads);
    const Classes classes(s);
    std::vector<float> start(classes.outside_taps.size() * static_cast<size_t>(slots), 0.0f);
    const std::vector<int32_t> sums = classes.outside_taps.size() > 1 ? sums_of_signs(s, weights) : std::vector<int32_t>();
    for (size_t which = 0; which < classes.outside_taps.size(); which++)
        for (int64_t channel = 0; channel < s.out_channels; channel++) {
            int64_t all = s.channels * taps;
            for (const int64_t tap : classes.outside_taps[which]) all -= sums[static_cast<size_t>(channel * taps + tap)];
            start[which * static_cast<size_t>(slots) + static_cast<size_t>(channel)] = factor * static_cast<float>(all) + offset;
        }
    std::vector<int32_t> runs;
    const std::vector<int32_t> corners = corners_of(s);
    // neighbours in a row lie beside each other, unless the window is spread
    const int64_t beside = s.dilation == 1 ? s.kernel : 1;
    for (int64_t tap = 0; tap < taps; tap += beside)
        runs.push_back(static_cast<int32_t>((tap / s.kernel * s.padded_width() + tap % s.kernel) * s.dilation * words));
    const Forward f{s,           bits, packed.data(), runs.data(), static_cast<int64_t>(runs.size()), beside * words,
                    corners.data(), classes.of_position.data(), start.data(), -2 * factor, y};
    constexpr int64_t TOGETHER = 480;  // positions: a multiple of every tile, and little beside a block of weights
    const int64_t positions = s.images * s.out_pixels();
    in_parallel((positions + TOGETHER - 1) / TOGETHER, threads, [&](int64_t i) {
        kernel.forward(f, i * TOGETHER, (i + 1) * TOGETHER < positions ? (i + 1) * TOGETHER : positions);
    });
}

void grad_input(const Training& kernel, GradInput g, const float* weights, float* sums, int threads) {
    const Shape& s = g.shape;
    const int64_t steps = (s.out_channels + 3) / 4, words = (s.out_channels + 31) / 32, reach = (s.kernel - 1) * s.dilation;
    const Room<uint32_t> packed = packed_weights(kernel.weights_backwards, s, weights, s.groups(), words, threads);
    g.weights = packed.data();
    // Tables of as many rows as a second cache holds, those of the windows that reach over their edge included.
    constexpr int64_t CACHE = 512 * 1024;
    const auto table_rows = [&](int64_t rows) { return (rows - 1 + reach) / s.stride + 1; };
    int64_t rows = s.height;
    while (rows > 1 && table_rows(rows) * s.out_width * steps * LANES * 4 > CACHE) rows = (rows + 1) / 2;
    const int64_t bands = (s.height + rows - 1) / rows, units = s.images * bands;
    const int64_t floats = (1 + table_rows(rows) * s.out_width) * steps * LANES;
    const int64_t places = (s.taps() + 1) * rows * s.width + s.taps();
    if (threads > units) threads = static_cast<int>(units);
    const Room<float> room(floats * threads);
    const Room<int32_t> place(places * threads);
    const int64_t slots = s.groups() * LANES, of_unit = g.x != nullptr ? 2 * slots : 0;
    std::vector<float> totals(static_cast<size_t>(units * of_unit), 0.0f);
#pragma omp parallel for schedule(static, 1) num_threads(threads) if (threads > 1)
    for (int thread = 0; thread < threads; thread++)
        for (int64_t unit = units * thread / threads; unit < units * (thread + 1) / threads; unit++) {
            const int64_t from = unit % bands * rows, to = from + rows < s.height ? from + rows : s.height;
            kernel.grad_input(g, unit / bands, from, to, room.data() + thread * floats, place.data() + thread * places,
                              totals.data() + unit * of_unit);
        }
    if (g.x == nullptr) return;
    for (int64_t i = 0; i < 2 * s.channels; i++) {  // in the order of the units, whoever had them
        double sum = 0;
        for (int64_t unit = 0; unit < units; unit++)
            sum += static_cast<double>(totals[static_cast<size_t>(unit * of_unit + i / s.channels * slots + i % s.channels)]);
        sums[i] = static_cast<float>(sum);
    }
}

// Where border pixels are zeros their bits say +1: what they added to the gradient of a tap is taken away.
void without_borders(const Shape& s, const float* gradient, float factor, float* result) {
    const Classes classes(s);
    std::vector<double> added(static_cast<size_t>(s.taps() * s.out_channels), 0.0);
    for (int64_t position = 0; position < s.images * s.out_pixels(); position++) {
        const int32_t which = classes.of_position[static_cast<size_t>(position % s.out_pixels())];
        for (const int64_t tap : classes.outside_taps[static_cast<size_t>(which)])
            for (int64_t channel = 0; channel < s.out_channels; channel++)
                added[static_cast<size_t>(tap * s.out_channels + channel)] += static_cast<double>(gradient[position * s.out_step + channel]);
    }
    for (int64_t channel = 0; channel < s.out_channels; channel++)
        for (int64_t tap = 0; tap < s.taps(); tap++) {
            const float less = factor * static_cast<float>(added[static_cast<size_t>(tap * s.out_channels + channel)]);
            for (int64_t i = 0; i < s.channels; i++) result[(channel * s.taps() + tap) * s.channels + i] -= less;
        }
}

void grad_weight(const Training& kernel, const Shape& s, const float* gradient, const uint32_t* bits, float factor,
                 float* result, int threads) {
    const std::vector<int32_t> corners = corners_of(s);
    const GradWeight g{s, gradient, bits, corners.data(), factor, result};
    std::memset(result, 0, static_cast<size_t>(s.out_channels * s.taps() * s.channels) * sizeof(float));
    const int64_t words = s.groups() * LANES * (POSITIONS / 32), taps = s.taps();
    const int64_t blocks = (s.images * s.out_pixels() + POSITIONS - 1) / POSITIONS;
    constexpr int64_t CACHE = 256 * 1024;
    int64_t together = CACHE / (words * taps * 4);
    together = together < 1 ? 1 : together > blocks ? blocks : together;
    const int64_t tiles = (s.out_channels + CHANNELS_TOGETHER - 1) / CHANNELS_TOGETHER;
    constexpr int64_t TABLES = CHANNELS_TOGETHER * POSITIONS / 4 * LANES;
    const Room<uint32_t> transposed(together * taps * words);
    const Room<float> room(TABLES * threads);
    for (int64_t first = 0; first < blocks; first += together) {
        const int64_t here = blocks - first < together ? blocks - first : together;
        in_parallel(here * taps, threads, [&](int64_t i) {
            kernel.transpose(g, first + i / taps, i % taps, transposed.data() + i * words);
        });
#pragma omp parallel for schedule(static, 1) num_threads(threads) if (threads > 1)
        for (int thread = 0; thread < threads; thread++)
            for (int64_t tile = tiles * thread / threads; tile < tiles * (thread + 1) / threads; tile++)
                kernel.grad_weight(g, first, here, transposed.data(), tile * CHANNELS_TOGETHER, room.data() + thread * TABLES);
    }
    if (s.border == 0) without_borders(s, gradient, factor, result);
}

// Signs as floats, with their borders: (N, top + H + bottom, left + W + right, C).
void values(const Shape& s, const uint32_t* bits, float* result, int threads) {
    const int64_t height = s.padded_height(), width = s.padded_width();
    in_parallel(s.images * height, threads, [&](int64_t row) {
        const int64_t y = row % height - s.top;
        for (int64_t column = 0; column < width; column++) {
            const int64_t x = column - s.left, pixel = row * width + column;
            const bool zero = s.border == 0 && (y < 0 || y >= s.height || x < 0 || x >= s.width);
            const uint32_t* from = bits + pixel * s.words();
            float* to = result + pixel * s.channels;
            for (int64_t channel = 0; channel < s.channels; channel++)
                to[channel] = zero ? 0.0f : 1.0f - 2.0f * static_cast<float>(from[channel / 32] >> channel % 32 & 1);
        }
    });
}

// A gradient (N, H, W, C) from one with borders, zero where inside, if there is one, says so.
void within(const Shape& s, const float* gradient, const uint16_t* inside, float* result, int threads) {
    in_parallel(s.images * s.height, threads, [&](int64_t row) {
        const int64_t image = row / s.height, y = row % s.height;
        const float* from = gradient + ((image * s.padded_height() + s.top + y) * s.padded_width() + s.left) * s.channels;
        for (int64_t pixel = row * s.width; pixel < (row + 1) * s.width; pixel++, from += s.channels)
            for (int64_t channel = 0; channel < s.channels; channel++) {
                const bool kept = inside == nullptr || (inside[pixel * s.groups() + channel / LANES] >> channel % LANES & 1);
                result[pixel * s.channels + channel] = kept ? from[channel] : 0.0f;
            }
    });
}

// Pixels are taken in pieces whose sums are added in order, so that threads change no bit.
constexpr int64_t PIECE = 4096;

template <class Task>
void over_pieces(const Pixels& all, int threads, const Task& task) {
    in_parallel((all.count + PIECE - 1) / PIECE, threads, [&](int64_t i) {
        const int64_t first = i * PIECE, count = all.count - first < PIECE ? all.count - first : PIECE;
        task(i, first, Pixels{all.x + first * all.step, all.step, all.channels, count});
    });
}

// Calls task(piece, first pixel, two sums a channel) and adds up: [channel] of the first, then of the second sum.
template <class Task>
std::vector<double> summed(const Pixels& all, int threads, const Task& task) {
    const size_t sums = 2 * static_cast<size_t>(all.channels), pieces = static_cast<size_t>((all.count + PIECE - 1) / PIECE);
    std::vector<double> each(pieces * sums, 0.0), total(sums, 0.0);
    over_pieces(all, threads, [&](int64_t i, int64_t first, const Pixels& piece) {
        double* mine = each.data() + static_cast<size_t>(i) * sums;
        task(piece, first, mine, mine + all.channels);
    });
    for (size_t i = 0; i < pieces; i++)
        for (size_t k = 0; k < sums; k++) total[k] += each[i * sums + k];
    return total;
}

void moments(const Training& kernel, const Pixels& all, float* mean, float* variance, int threads) {
    const size_t channels = static_cast<size_t>(all.channels);
    // Squares are summed around the mean of the first pixels: around zero they would cancel, and around the mean itself
    // they would take another pass.
    std::vector<double> sums(2 * channels, 0.0);
    const Pixels first{all.x, all.step, all.channels, all.count < 256 ? all.count : 256};
    kernel.sum_pixels(first, nullptr, sums.data(), sums.data() + channels);
    std::vector<float> near(channels);
    for (size_t c = 0; c < channels; c++) near[c] = static_cast<float>(sums[c] / static_cast<double>(first.count));
    const std::vector<double> total = summed(all, threads, [&](const Pixels& piece, int64_t, double* around, double* squares) {
        kernel.sum_pixels(piece, near.data(), around, squares);
    });
    for (size_t c = 0; c < channels; c++) {
        const double apart = total[c] / static_cast<double>(all.count);
        mean[c] = static_cast<float>(static_cast<double>(near[c]) + apart);
        const double square = total[channels + c] / static_cast<double>(all.count) - apart * apart;
        variance[c] = static_cast<float>(square < 0 ? 0 : square);  // what is no number stays so
    }
}

template <class Call>
int status(Call call) {
    try {
        call();
    } catch (const std::exception&) {  // no memory, or a size that no memory has
        return 1;
    }
    return 0;
}

}  // namespace
}  // namespace bnn

using namespace bnn;

#define EXPORTED __attribute__((visibility("default")))

// Pointers are to float32 and words as training.h says; threads is at least 1. Each returns 0, or 1 where memory lacks.
extern "C" {

EXPORTED const char* bnn_shape() {
#define X(name) #name " "
    return BNN_SHAPE(X);
#undef X
}

// Whether a kernel has the two gradients.
EXPORTED int bnn_has_gradients(int kernel) { return training(kernel).grad_input != nullptr; }

// x, or fma(x, scale, shift) where scale is not null, -> bits with borders, and, where inside is not null, which
// channels are within +-clip: (N, H, W, groups of 16).
EXPORTED int bnn_signs(int kernel, const Shape* shape, const float* x, const float* scale, const float* shift, float clip,
                       uint32_t* bits, uint16_t* inside, int threads) {
    const Shape& s = *shape;
    const Training with = training(kernel);
    const int64_t words = s.words(), row_words = s.padded_width() * words;
    const uint32_t full = s.border == -1 ? 0xffffffffu : 0u;
    const uint32_t last = s.channels % 32 == 0 ? full : full & ((1u << s.channels % 32) - 1);
    const auto border = [&](uint32_t* to, int64_t pixels) {
        for (int64_t i = 0; i < pixels * words; i++) to[i] = (i + 1) % words == 0 ? last : full;
    };
    in_parallel(s.images, threads, [&](int64_t image) {
        uint32_t* row = bits + image * s.image_words();
        for (int64_t y = 0; y < s.padded_height(); y++, row += row_words) {
            if (y < s.top || y >= s.top + s.height) {
                border(row, s.padded_width());
                continue;
            }
            const int64_t pixel = (image * s.height + y - s.top) * s.width;
            border(row, s.left);
            uint16_t* window = inside == nullptr ? nullptr : inside + pixel * s.groups();
            with.signs(s, x + pixel * s.pixel_step, {scale, shift}, clip, row + s.left * words, window);
            border(row + (s.left + s.width) * words, s.right);
        }
    });
    return 0;
}

// y (N, H', W', O) = factor (W_b * X_b) + offset.
EXPORTED int bnn_forward(int kernel, const Shape* shape, const uint32_t* bits, const float* weights, float factor, float offset,
                         float* y, int threads) {
    return status([&] { forward(training(kernel), *shape, bits, weights, factor, offset, y, threads); });
}

// Bits -> +-1 with borders, for convolutions of floats.
EXPORTED int bnn_values(int kernel, const Shape* shape, const uint32_t* bits, float* result, int threads) {
    (void)kernel;
    return status([&] { values(*shape, bits, result, threads); });
}

// What such a convolution's gradient by its operand is by x.
EXPORTED int bnn_within(int kernel, const Shape* shape, const float* gradient, const uint16_t* inside, float* result, int threads) {
    (void)kernel;
    return status([&] { within(*shape, gradient, inside, result, threads); });
}

// The gradient (N, H, W, C) of sums y = factor (W_b * X_b) by X_b, where inside is not null zero outside. Where x is not
// null, result += scale times it, and sums are as of bnn_add_scaled.
EXPORTED int bnn_grad_input(int kernel, const Shape* shape, const float* gradient, const float* weights, const uint16_t* inside, float factor,
                            float* result, int64_t result_step, const float* x, const float* scale, const float* mean, float* sums, int threads) {
    return status([&] {
        grad_input(training(kernel), GradInput{*shape, gradient, nullptr, inside, factor, result, result_step, x, scale, mean}, weights, sums, threads);
    });
}

// The gradient (O, k, k, C) by W_b.
EXPORTED int bnn_grad_weight(int kernel, const Shape* shape, const float* gradient, const uint32_t* bits, float factor,
                             float* result, int threads) {
    return status([&] { grad_weight(training(kernel), *shape, gradient, bits, factor, result, threads); });
}

// Mean and variance (of the count, not one less) of each channel of `count` pixels.
EXPORTED int bnn_moments(int kernel, const float* x, int64_t step, int64_t channels, int64_t count, float* mean, float* variance,
                         int threads) {
    return status([&] { moments(training(kernel), Pixels{x, step, channels, count}, mean, variance, threads); });
}

// to += scale g; sums: of g, and then of g (x - mean), a channel.
EXPORTED int bnn_add_scaled(int kernel, const float* x, int64_t step, int64_t channels, int64_t count, const float* g, const float* scale,
                            const float* mean, float* to, int64_t to_step, float* sums, int threads) {
    return status([&] {
        const Training with = training(kernel);
        const std::vector<double> total =
            summed(Pixels{x, step, channels, count}, threads, [&](const Pixels& piece, int64_t first, double* of_g, double* products) {
                with.add_scaled(piece, g + first * channels, scale, mean, to + first * to_step, to_step, of_g, products);
            });
        for (size_t i = 0; i < total.size(); i++) sums[i] = static_cast<float>(total[i]);
    });
}

// to -= a + b (x - mean)
EXPORTED int bnn_centre(int kernel, const float* x, int64_t step, int64_t channels, int64_t count, const float* a, const float* b,
                        const float* mean, float* to, int64_t to_step, int threads) {
    return status([&] {
        const Training with = training(kernel);
        over_pieces(Pixels{x, step, channels, count}, threads, [&](int64_t, int64_t first, const Pixels& piece) {
            with.centre(piece, a, b, mean, to + first * to_step, to_step);
        });
    });
}

}  // extern "C"
