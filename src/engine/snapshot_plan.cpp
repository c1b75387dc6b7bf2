#include "engine/snapshot_plan.h"

#include <algorithm>

#include "cache/snapshot_placement.h"

namespace rapid {
namespace {

// A snapshot is to save the prefill of so many tokens, as expected.
constexpr double kWorthTokens = 16;

class Borders {
 public:
  explicit Borders(const PromptToPlace& prompt)
      : known_(prompt.known), last_(prompt.length - 1) {}

  void add(int position, BorderKind kind, int back = 0) {
    if (position > known_ && position <= last_) {
      all_.push_back({position, weight_of(kind, back)});
      if (kind != BorderKind::message && kind != BorderKind::end) {
        lasting_.push_back(position);
      }
    }
  }
  const std::vector<Border>& all() const { return all_; }
  bool lasting(int position) const {
    return std::ranges::find(lasting_, position) != lasting_.end();
  }

 private:
  int known_;
  int last_;
  std::vector<Border> all_;
  std::vector<int> lasting_;
};

}  // namespace

std::vector<SnapshotPlace> plan_snapshots(
    const StateCost& cost, const PromptToPlace& prompt, uint64_t byte_budget) {
  std::vector<SnapshotPlace> out;
  const uint64_t each = cost.snapshot_bytes();
  if (each > 0) {
    Borders borders(prompt);
    borders.add(prompt.borders.front, BorderKind::front);
    borders.add(prompt.common, BorderKind::branch);
    const auto& messages = prompt.borders.messages;
    for (size_t i = 0; i < messages.size(); ++i) {
      const auto back = static_cast<int>(messages.size() - 1 - i);
      borders.add(messages[i], BorderKind::message, back);
    }
    // The last token is always computed again.
    borders.add(
        std::min(prompt.borders.turn, prompt.length - 1), BorderKind::turn);
    // Windows go back a token.
    if (cost.fixed_bytes > 0) {
      borders.add(prompt.length - 1, BorderKind::end);
    }
    // The price is in tokens: how long one takes does not matter.
    constexpr double kSeconds = 1e-3;
    const PlacementOptions options{
        .seconds_per_token = kSeconds,
        .bytes_per_snapshot = each,
        .byte_budget = byte_budget,
        .min_seconds_per_byte =
            kWorthTokens * kSeconds / static_cast<double>(each)};
    const std::vector<int> known = {prompt.known};
    for (const int at : place_snapshots(borders.all(), known, options)) {
      out.push_back({at, borders.lasting(at)});
    }
  }
  if (cost.fixed_bytes == 0) {
    out.push_back({prompt.length, true});
  }
  return out;
}

}  // namespace rapid
