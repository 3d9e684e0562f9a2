// Sizes of the step WINOGRAD, a 7x7 convolution of stride 2 with three border pixels; see winograd.inc.
#pragma once
#include "steps.h"

namespace bnn {

struct Winograd {
    int64_t rows, columns;  // of the output
    int64_t channels, groups;

    explicit Winograd(const Step& s)
        : rows((s.height - 1) / 2 + 1), columns((s.width - 1) / 2 + 1), channels(s.channels), groups(s.groups) {}

    int64_t weights() const { return 1; }
    int64_t scratch_bytes() const { return 64; }
};

}  // namespace bnn
