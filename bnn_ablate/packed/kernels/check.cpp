// Whether a program stays inside its memory: every offset, table entry and size is looked at before anything runs.
#include "check.h"

#include <cstdio>

namespace bnn {
namespace {

// Sizes above this are nobody's network; below it no product of two overflows.
constexpr int64_t LIMIT = int64_t(1) << 31;

struct Range {
    int64_t least = 0, most = 0;
};

class Checker {
   public:
    Checker(const Program& program, std::string& why) : p(program), why(why) {}

    bool step(int64_t index) {
        s = &p.steps[index];
        at = index;
        if (s->kind < 0 || s->kind >= KINDS) return fail("kind");
        if (s->pixels < 0 || s->pixels > LIMIT) return fail("pixels");
        positions = s->pixels * p.chunk;
        if (positions > LIMIT) return fail("pixels");
        switch (s->kind) {
            case FILL: return fill();
            case INPUT: return input();
            case BCONV: return conv(4) && finish();
            case FCONV: return conv(4) && finish();
            case POOL: return pool() && finish();
            case ABSMEAN: return absmean();
            case WINOGRAD: return winograd() && finish();
            default: return output();
        }
    }

   private:
    bool fail(const char* what) {
        char text[96];
        std::snprintf(text, sizeof text, "step %lld: %s is out of range", static_cast<long long>(at), what);
        why = text;
        return false;
    }

    bool within(int64_t from, int64_t bytes, int64_t size, int64_t align) const {
        return from >= 0 && bytes >= 0 && from % align == 0 && from <= size && bytes <= size - from;
    }
    bool blob(int64_t from, int64_t count, int64_t each, const char* what) {
        return count >= 0 && count <= LIMIT && within(from, count * each, p.blob_bytes, each) ? true : fail(what);
    }
    // A table of `count` words in the blob, and the range of its entries.
    bool table(int64_t from, int64_t count, const char* what, Range& range) {
        if (!blob(from, count, 4, what)) return false;
        const int32_t* entries = reinterpret_cast<const int32_t*>(p.blob + from);
        range = count > 0 ? Range{entries[0], entries[0]} : Range{};
        for (int64_t i = 0; i < count; i++) {
            if (entries[i] < range.least) range.least = entries[i];
            if (entries[i] > range.most) range.most = entries[i];
        }
        return range.least >= 0 ? true : fail(what);
    }
    // A table of places, each of which has `words` words after it in the arena.
    bool places(int64_t base, int64_t t, int64_t count, int64_t words, const char* what) {
        Range range;
        if (!table(t, count, what, range)) return false;
        if (words < 0 || words > LIMIT) return fail(what);
        return within(base, (range.most + words) * 4, p.arena_bytes, 4) ? true : fail(what);
    }
    int64_t slots() const { return s->groups * LANES; }

    bool finish() {
        if (s->function < 0 || s->function >= FUNCTIONS) return fail("function");
        if (s->function2 < 0 || s->function2 >= FUNCTIONS) return fail("function2");
        if (s->alpha >= 0 && !blob(s->alpha, slots(), 4, "alpha")) return false;
        if (s->map_at >= 0 && !places(s->map_at, s->t_map, positions, 1, "map_at")) return false;
        if (s->scale >= 0 && !(blob(s->scale, slots(), 4, "scale") && blob(s->shift, slots(), 4, "shift"))) return false;
        if (s->add_at >= 0 && !places(s->add_at, s->t_add, positions, slots(), "add_at")) return false;
        if (s->dst_at >= 0 && !places(s->dst_at, s->t_dst, positions, slots(), "dst_at")) return false;
        if (s->packs < 0 || s->packs > LIMIT / 64) return fail("packs");
        if (!blob(s->t_packs, s->packs * 5, 8, "t_packs")) return false;
        const Pack* packs = reinterpret_cast<const Pack*>(p.blob + s->t_packs);
        for (int64_t i = 0; i < s->packs; i++) {
            if (!blob(packs[i].thresholds, slots(), 4, "thresholds")) return false;
            if (!blob(packs[i].flips, s->groups, 2, "flips")) return false;
            if (packs[i].first_group < 0 || packs[i].first_group > LIMIT) return fail("first_group");
            const int64_t words = (packs[i].first_group + s->groups + 1) / 2;
            if (!places(packs[i].bits_at, packs[i].t_bits, positions, words, "bits_at")) return false;
        }
        return true;
    }

    bool conv(int64_t each) {
        if (s->groups < 1 || s->groups > LIMIT / LANES || s->chunk < 1 || s->chunk > LIMIT) return fail("groups");
        if (s->runs < 1 || s->runs > LIMIT / LANES || s->run_words < 1 || s->run_words > LIMIT / LANES) return fail("runs");
        const int64_t words = s->runs * s->run_words;
        if (words > LIMIT / slots()) return fail("runs");
        Range runs;
        if (!table(s->t_runs, s->runs, "t_runs", runs)) return false;
        if (!places(s->src_at, s->t_src, positions, runs.most + s->run_words, "src_at")) return false;
        if (!blob(s->weights, words * slots(), each, "weights")) return false;
        if (s->kind == BCONV && s->t_start >= 0) {
            Range rows;
            if (!table(s->t_start, positions, "t_start", rows)) return false;
            return blob(s->start, rows.most + slots(), 4, "start");
        }
        return blob(s->start, slots(), 4, "start");
    }

    bool pool() {
        if (s->groups < 1 || s->groups > LIMIT / LANES) return fail("groups");
        if (s->pre_function < 0 || s->pre_function >= FUNCTIONS) return fail("pre_function");
        if (s->pre_scale >= 0 && !(blob(s->pre_scale, slots(), 4, "pre_scale") && blob(s->pre_shift, slots(), 4, "pre_shift")))
            return false;
        if (s->row_words < 0 || s->row_words > LIMIT || s->column_words < 0 || s->column_words > LIMIT) return fail("row_words");
        if (s->divisor < 0 || s->divisor > LIMIT) return fail("divisor");
        Range corner, window;
        if (!table(s->t_src, positions, "t_src", corner) || !table(s->window, 2 * positions, "window", window)) return false;
        const int32_t* corners = reinterpret_cast<const int32_t*>(p.blob + s->t_src);
        const int32_t* windows = reinterpret_cast<const int32_t*>(p.blob + s->window);
        for (int64_t i = 0; i < positions; i++) {
            const int64_t rows = windows[2 * i], columns = windows[2 * i + 1];
            if (rows < 1 || columns < 1 || rows > LIMIT >> 16 || columns > LIMIT >> 16) return fail("window");
            const int64_t last = corners[i] + (rows - 1) * s->row_words + (columns - 1) * s->column_words;
            if (last > LIMIT || !within(s->src_at, (last + slots()) * 4, p.arena_bytes, 4)) return fail("window");
        }
        return true;
    }

    bool channel_places(int64_t& most) {
        Range range;
        if (s->channels < 1 || s->channels > LIMIT / LANES || !table(s->slots, s->channels, "slots", range)) return fail("slots");
        most = range.most;
        return true;
    }

    bool absmean() {
        if (s->groups < 1 || s->groups > LIMIT / LANES) return fail("groups");
        if (s->channels <= (s->groups - 1) * LANES || s->channels > slots()) return fail("channels");
        if (s->pre_function < 0 || s->pre_function >= FUNCTIONS) return fail("pre_function");
        if (s->pre_scale >= 0 && !(blob(s->pre_scale, slots(), 4, "pre_scale") && blob(s->pre_shift, slots(), 4, "pre_shift")))
            return false;
        return places(s->src_at, s->t_src, positions, slots(), "src_at") && places(s->dst_at, s->t_dst, positions, 1, "dst_at");
    }

    bool image() {
        if (s->channels != p.channels || s->height != p.height || s->width != p.width) return fail("the image");
        return s->pixels == s->height * s->width || s->kind == WINOGRAD ? true : fail("pixels");
    }

    bool input() {
        if (!image()) return false;
        if (s->pre_function < 0 || s->pre_function >= FUNCTIONS) return fail("pre_function");
        if (s->pre_scale >= 0 && !(blob(s->pre_scale, s->channels, 4, "pre_scale") && blob(s->pre_shift, s->channels, 4, "pre_shift")))
            return false;
        return places(s->dst_at, s->t_dst, positions, s->channels, "dst_at");
    }

    bool fill() {
        if (s->chunk != p.chunk || s->runs < 0 || s->runs % p.chunk != 0 || s->runs > LIMIT) return fail("runs");
        if (s->run_words < 1 || s->run_words > LIMIT >> 8 || !blob(s->weights, s->run_words, 4, "weights")) return fail("run_words");
        Range range;
        if (!table(s->t_runs, 2 * s->runs, "t_runs", range)) return false;
        const int32_t* ranges = reinterpret_cast<const int32_t*>(p.blob + s->t_runs);
        for (int64_t i = 0; i < s->runs; i++) {
            const int64_t words = ranges[2 * i] + ranges[2 * i + 1] * s->run_words;
            if (words > LIMIT || !within(s->dst_at, words * 4, p.arena_bytes, 4)) return fail("t_runs");
        }
        return true;
    }

    bool output() {
        int64_t most = 0;
        if (s->channels != p.classes || s->pixels != 1) return fail("channels");
        return channel_places(most) && places(s->src_at, s->t_src, positions, most + 1, "src_at");
    }

    bool winograd() {
        if (!image()) return false;
        if (s->groups < 1 || s->groups > LIMIT >> 12) return fail("groups");
        if (s->pre_function < 0 || s->pre_function >= FUNCTIONS) return fail("pre_function");
        if (s->pre_scale >= 0 && !(blob(s->pre_scale, s->channels, 4, "pre_scale") && blob(s->pre_shift, s->channels, 4, "pre_shift")))
            return false;
        if (s->channels > 64 || s->pad_top < 0 || s->pad_top > 6 || s->pad_left < 0 || s->pad_left > 6) return fail("pad_top");
        // as many outputs as the image can give with borders of up to six pixels on the other side
        if (s->conv_rows > LIMIT || s->conv_columns > LIMIT || s->pool_rows > LIMIT || s->pool_columns > LIMIT) return fail("conv_rows");
        if (s->conv_rows < 1 || 2 * (s->conv_rows - 1) > s->height + 5 || s->conv_columns < 1 || 2 * (s->conv_columns - 1) > s->width + 5)
            return fail("conv_rows");
        if (s->pooled) {
            // every window begins inside the outputs, but for the pixel before them
            if (s->pool_rows < 1 || 2 * (s->pool_rows - 1) > s->conv_rows || s->pool_columns < 1 || 2 * (s->pool_columns - 1) > s->conv_columns)
                return fail("pool_rows");
        }
        const int64_t rows = s->pooled ? s->pool_rows : s->conv_rows, columns = s->pooled ? s->pool_columns : s->conv_columns;
        if (s->pixels != rows * columns) return fail("pixels");
        const Winograd sizes(*s);
        if (sizes.line < s->width + 2 * LANES) return fail("width");
        if (!blob(s->weights, sizes.weights(s->groups), 4, "weights") || !blob(s->start, slots(), 4, "start")) return false;
        const int64_t bytes = sizes.scratch_bytes() * p.threads;
        return s->scratch_bytes >= bytes && within(s->scratch_at, bytes, p.arena_bytes, 64) ? true : fail("scratch_at");
    }

    const Program& p;
    std::string& why;
    const Step* s = nullptr;
    int64_t at = 0, positions = 0;
};

}  // namespace

bool valid(const Program& program, std::string& why) {
    if (program.chunk < 1 || program.chunk > 4096 || program.threads < 1 || program.threads > 256 ||
        program.arena_bytes < 0 || program.arena_bytes > int64_t(1) << 40 || program.num_steps < 1 ||
        program.num_steps > 1 << 20 || program.channels < 1 || program.height < 1 || program.width < 1 ||
        program.channels > LIMIT >> 12 || program.height > 1 << 15 || program.width > 1 << 15 || program.classes < 1) {
        why = "the program's sizes are out of range";
        return false;
    }
    Checker checker(program, why);
    for (int64_t i = 0; i < program.num_steps; i++)
        if (!checker.step(i)) return false;
    return true;
}

}  // namespace bnn
