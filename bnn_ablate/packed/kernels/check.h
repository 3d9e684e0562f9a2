#pragma once
#include <string>

#include "steps.h"
#include "winograd.h"

namespace bnn {

struct Program {
    const Step* steps;
    int64_t num_steps;
    const uint8_t* blob;
    int64_t blob_bytes, arena_bytes;
    int64_t chunk;  // images that the tables are made for
    int64_t channels, height, width, classes;
    int64_t threads;
};

// Whether no step of the program can read or write outside the blob and the arena; if not, `why` says which and what.
bool valid(const Program& program, std::string& why);

}  // namespace bnn
