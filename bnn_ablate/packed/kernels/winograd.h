// Sizes of the step WINOGRAD; what they mean stands in winograd.inc.
#pragma once
#include "steps.h"

namespace bnn {

constexpr int64_t WINOGRAD_TILE = 4;       // outputs of a tile along one axis
constexpr int64_t WINOGRAD_POINTS = 7;     // products along one axis: 4 outputs + 4 taps - 1
constexpr int64_t WINOGRAD_TOGETHER = 7;   // tiles whose products are summed together

struct Winograd {
    int64_t tile_rows, tile_columns;
    int64_t tile_lanes;   // tile_columns rounded up to whole vectors
    int64_t terms;        // channels times the four phases
    int64_t line;         // floats of a row of transformed pixels
    int64_t slots;

    explicit Winograd(const Step& s)
        : tile_rows((s.conv_rows + WINOGRAD_TILE - 1) / WINOGRAD_TILE),
          tile_columns((s.conv_columns + WINOGRAD_TILE - 1) / WINOGRAD_TILE),
          tile_lanes((tile_columns + LANES - 1) / LANES * LANES),
          terms(4 * s.channels),
          line(8 * (tile_lanes + LANES) + 2 * LANES),
          slots(s.groups * LANES) {}

    int64_t weights(int64_t groups) const { return WINOGRAD_POINTS * WINOGRAD_POINTS * terms * groups * LANES; }

    // Scratch of one thread, in floats: parts one after the other.
    int64_t lines_floats() const { return terms / 2 * WINOGRAD_POINTS * line; }
    int64_t split_floats() const { return line; }
    int64_t rows_floats() const { return WINOGRAD_POINTS * line; }
    int64_t tiles_floats() const { return WINOGRAD_POINTS * WINOGRAD_POINTS * terms * tile_lanes; }
    int64_t sums_floats() const { return WINOGRAD_POINTS * WINOGRAD_POINTS * WINOGRAD_TOGETHER * LANES; }
    // 4x4 outputs of each tile, or four rows of what it has of the windows of a pooling, three along the other axis
    int64_t made_floats() const { return 16 * tile_columns * slots; }
    int64_t made_row(int64_t row) const { return row * 3 * tile_columns * slots; }
    int64_t scratch_bytes() const {
        const int64_t floats = lines_floats() + split_floats() + rows_floats() + tiles_floats() + sums_floats() + made_floats();
        return (floats * 4 + 63) / 64 * 64;
    }
};

}  // namespace bnn
