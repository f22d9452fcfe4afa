// Best-fit packing with a queue for each length and a set of bits that tells which queues hold a document.
//
//   piece = first of the largest lengths <= room, else first of the shortest, cropped; room = capacity at each new row
//
// The largest length that fits is the highest bit at or below the room, found a word at a time. Documents longer than a
// row never fit, so they share one queue in the order in which they may be cropped, made when one is first needed.
//
// tune: WORDS_AT_ONCE in 1 4

#include <algorithm>
#include <vector>

namespace {

constexpr int32_t NONE = -1;

class Queues {
  public:
    Queues(const int64_t* lengths, int64_t D, int64_t capacity)
        : lengths_(lengths), longest_(std::min(capacity, D ? *std::max_element(lengths, lengths + D) : 0)),
          first_(static_cast<std::size_t>(longest_ + 1), NONE), next_(static_cast<std::size_t>(D)),
          bits_(static_cast<std::size_t>(longest_ / 64 / WORDS_AT_ONCE + 1) * WORDS_AT_ONCE) {
        for (int64_t document = D - 1; document >= 0; document--) {
            const int64_t length = lengths[document];
            if (length > longest_) {
                long_.push_back(static_cast<int32_t>(document));
                continue;
            }
            next_[static_cast<std::size_t>(document)] = first_[static_cast<std::size_t>(length)];
            first_[static_cast<std::size_t>(length)] = static_cast<int32_t>(document);
            word(length) |= bit(length);
        }
    }

    // Removes and returns the first of the largest documents of at most `room` tokens, else of the shortest of all.
    int32_t take(int64_t room) {
        int64_t length = largest_up_to(std::min(room, longest_));
        if (length < 0) length = smallest();
        if (length < 0) return take_long();
        const int32_t document = first_[static_cast<std::size_t>(length)];
        const int32_t after = next_[static_cast<std::size_t>(document)];
        first_[static_cast<std::size_t>(length)] = after;
        if (after == NONE) word(length) &= ~bit(length);
        return document;
    }

  private:
    uint64_t& word(int64_t length) { return bits_[static_cast<std::size_t>(length / 64)]; }
    static uint64_t bit(int64_t length) { return uint64_t{1} << (length % 64); }

    int64_t largest_up_to(int64_t length) {
        uint64_t held = word(length) & (bit(length) | (bit(length) - 1));
        int64_t at = length / 64;
        while (held == 0 && at > 0) held = bits_[static_cast<std::size_t>(--at)];
        return held ? at * 64 + 63 - __builtin_clzll(held) : NONE;
    }

    int64_t smallest() const {
        for (std::size_t at = 0; at < bits_.size(); at += WORDS_AT_ONCE) {
            uint64_t any = 0;
            for (int w = 0; w < WORDS_AT_ONCE; w++) any |= bits_[at + w];
            for (std::size_t w = at; any && w < at + WORDS_AT_ONCE; w++)
                if (bits_[w]) return static_cast<int64_t>(w) * 64 + __builtin_ctzll(bits_[w]);
        }
        return NONE;
    }

    int32_t take_long() {
        const auto is_later = [this](int32_t a, int32_t b) {
            return lengths_[a] != lengths_[b] ? lengths_[a] > lengths_[b] : a > b;
        };
        if (!is_heap_) std::make_heap(long_.begin(), long_.end(), is_later);
        is_heap_ = true;
        std::pop_heap(long_.begin(), long_.end(), is_later);
        const int32_t document = long_.back();
        long_.pop_back();
        return document;
    }

    const int64_t* lengths_;
    int64_t longest_;
    std::vector<int32_t> first_, next_, long_;
    std::vector<uint64_t> bits_;
    bool is_heap_ = false;
};

}  // namespace

extern "C" void pack_documents_forward(const int64_t* lengths, int64_t* documents, int64_t* tokens, int64_t D,
                                       int64_t capacity, int64_t filled, int64_t rows, int64_t keep) {
    Queues queues(lengths, D, capacity);
    int64_t count = 0, room = capacity - filled;
    for (; rows > 0 && D - count >= std::max<int64_t>(keep, 1); count++) {
        documents[count] = queues.take(room);
        tokens[count] = std::min(lengths[documents[count]], room);
        if ((room -= tokens[count]) == 0) room = capacity, rows--;
    }
    std::fill(documents + count, documents + D, -1);
    std::fill(tokens + count, tokens + D, 0);
}
