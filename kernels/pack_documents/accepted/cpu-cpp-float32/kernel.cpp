// Best-fit packing by looking at every length for each piece, a vector at a time.
//
//   piece = first of the largest lengths <= room, else first of the shortest, cropped; room = capacity at each new row
//
// One pass finds the largest length that fits and the shortest of all, a second the first place of whichever counts.
// Lengths are copied to 32 bits, and a taken one becomes larger than any. A row of a few hundred tokens takes a
// handful of documents out of a thousand: that is less work than to sort them.
//
// tune: UNROLL in 4 2 1 8

#include <kernelsearch/simd.h>

#include <algorithm>
#include <vector>

namespace {

using namespace ks;

constexpr int32_t TAKEN = INT32_MAX;

inline IntVec load(const int32_t* p) {
    IntVec x;
    std::memcpy(&x, p, sizeof x);
    return x;
}

struct Extremes {
    int32_t largest_fitting, shortest;  // 0 where none fits
};

// `left` is padded to whole groups of UNROLL vectors.
Extremes find_extremes(const std::vector<int32_t>& left, int64_t room) {
    const IntVec limit = IntVec{} + static_cast<int32_t>(std::min<int64_t>(room, TAKEN - 1));
    IntVec largest[UNROLL] = {}, shortest[UNROLL];
    for (IntVec& x : shortest) x = IntVec{} + TAKEN;
    for (std::size_t i = 0; i < left.size(); i += UNROLL * LANES)
#pragma GCC unroll 8
        for (int u = 0; u < UNROLL; u++) {
            const IntVec length = load(left.data() + i + u * LANES);
            const IntVec fitting = length <= limit ? length : 0;
            largest[u] = fitting > largest[u] ? fitting : largest[u];
            shortest[u] = length < shortest[u] ? length : shortest[u];
        }
    Extremes found = {0, TAKEN};
    for (int u = 0; u < UNROLL; u++)
        for (int lane = 0; lane < LANES; lane++) {
            found.largest_fitting = std::max<int32_t>(found.largest_fitting, largest[u][lane]);
            found.shortest = std::min<int32_t>(found.shortest, shortest[u][lane]);
        }
    return found;
}

}  // namespace

extern "C" void pack_documents_forward(const int64_t* lengths, int64_t* documents, int64_t* tokens, int64_t D,
                                       int64_t capacity, int64_t filled, int64_t rows, int64_t keep) {
    std::vector<int32_t> left(static_cast<std::size_t>(round_up(D, UNROLL * LANES)), TAKEN);
    std::transform(lengths, lengths + D, left.begin(), [](int64_t length) { return static_cast<int32_t>(length); });
    int64_t count = 0, room = capacity - filled;
    for (; rows > 0 && D - count >= std::max<int64_t>(keep, 1); count++) {
        const auto [fitting, shortest] = find_extremes(left, room);
        const int32_t length = fitting ? fitting : shortest;
        const auto place = std::find(left.begin(), left.end(), length);
        documents[count] = place - left.begin();
        tokens[count] = std::min<int64_t>(length, room);
        *place = TAKEN;
        if ((room -= tokens[count]) == 0) room = capacity, rows--;
    }
    std::fill(documents + count, documents + D, -1);
    std::fill(tokens + count, tokens + D, 0);
}
