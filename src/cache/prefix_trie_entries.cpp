// Which entries PrefixTrie holds, what they cost, and which goes first.
#include <algorithm>
#include <utility>

#include "cache/prefix_trie.h"
#include "cache/prefix_trie_node.h"

namespace rapid {

namespace {

// Less than this is not worth keeping for its front half.
constexpr size_t kWholeTokens = 512;

}  // namespace

void PrefixTrie::attach(Node* node, std::unique_ptr<Entry> entry) {
  node->entry = std::move(entry);
  bytes_ += sizeof(Entry);
  entries_[node->entry->id] = node;
  ++lanes_[node->entry->lane].entries;
  hold_pages(*node->entry);
  refresh_floors(node);
}

std::unique_ptr<PrefixTrie::Entry> PrefixTrie::detach(Node* node) {
  release_pages(*node->entry);
  auto entry = std::move(node->entry);
  bytes_ -= sizeof(Entry);
  entries_.erase(entry->id);
  const auto lane = lanes_.find(entry->lane);
  if (--lane->second.entries == 0) {
    lanes_.erase(lane);
  }
  refresh_floors(node);
  return entry;
}

void PrefixTrie::own(uint64_t id, size_t bytes, bool more) {
  Entry& entry = *entries_.at(id)->entry;
  Lane& lane = lanes_.at(entry.lane);
  entry.own = more ? entry.own + bytes : entry.own - bytes;
  lane.bytes = more ? lane.bytes + bytes : lane.bytes - bytes;
}

void PrefixTrie::hold_pages(const Entry& entry) {
  const uint64_t walk = ++walks_;
  for (const auto& state : entry.states) {
    state->visit_pages([&](const void* id, size_t bytes) {
      Page& page = pages_[id];
      if (std::exchange(page.seen, walk) == walk) {
        return;  // two layers of the entry share it
      }
      if (page.holders == 0) {
        page.bytes = bytes;
        bytes_ += bytes;
        own(entry.id, bytes, true);
      } else if (page.holders == 1) {
        own(page.holder_ids, page.bytes, false);
      }
      ++page.holders;
      page.holder_ids ^= entry.id;
    });
  }
}

void PrefixTrie::release_pages(const Entry& entry) {
  const uint64_t walk = ++walks_;
  for (const auto& state : entry.states) {
    state->visit_pages([&](const void* id, size_t) {
      const auto found = pages_.find(id);
      if (found == pages_.end() ||
          std::exchange(found->second.seen, walk) == walk) {
        return;
      }
      Page& page = found->second;
      --page.holders;
      page.holder_ids ^= entry.id;
      if (page.holders == 0) {
        own(entry.id, page.bytes, false);
        bytes_ -= page.bytes;
        pages_.erase(found);
      } else if (page.holders == 1) {
        own(page.holder_ids, page.bytes, true);
      }
    });
  }
}

// The longest prefix of the node's tokens that is usable without its entry.
size_t PrefixTrie::fallback_of(const Node* node) {
  const Node* from = nullptr;
  for (const Node* at = node; at->parent != nullptr; at = at->parent) {
    if (at != node && at->entry) {
      return at->depth;
    }
    for (const auto& [token, child] : at->children) {
      if (child.get() != from && child->min_floor <= at->depth) {
        return at->depth;
      }
    }
    from = at;
  }
  return 0;
}

PrefixTrie::Node* PrefixTrie::worst_entry(
    const Entry* spared, bool honour_lanes) const {
  std::vector<uint64_t> uses;
  for (const auto& [name, lane] : lanes_) {
    uses.push_back(lane.used);
  }
  const auto shares = static_cast<size_t>(std::max(options_.lanes, 1));
  uint64_t oldest = 0;  // use that still has a guaranteed share
  if (uses.size() > shares) {
    const auto nth = uses.begin() + static_cast<ptrdiff_t>(shares) - 1;
    std::nth_element(uses.begin(), nth, uses.end(), std::greater<>());
    oldest = *nth;
  }
  const double share = static_cast<double>(options_.byte_cap) *
                       options_.guaranteed / static_cast<double>(shares);
  Node* worst = nullptr;
  double least = 0;
  for (const auto& [id, node] : entries_) {
    const Entry& entry = *node->entry;
    if (&entry == spared || entry.pinned()) {
      continue;
    }
    const Lane& lane = lanes_.at(entry.lane);
    if (honour_lanes && lane.used >= oldest &&
        static_cast<double>(lane.bytes) <= share) {
      continue;
    }
    const size_t saves = node->depth - fallback_of(node);
    const double score = static_cast<double>((1 + entry.hits) * saves) /
                         (static_cast<double>(entry.own + sizeof(Entry)) *
                          static_cast<double>(clock_ - entry.used + 1));
    if (worst == nullptr || score < least ||
        (score == least && id < worst->entry->id)) {
      worst = node;
      least = score;
    }
  }
  return worst;
}

bool PrefixTrie::shorten(Node* node, size_t length) {
  SnapshotSet states;
  for (const auto& state : node->entry->states) {
    states.push_back(state->trimmed(static_cast<int>(length)));
    if (!states.back()) {
      return false;
    }
  }
  Node* at = node;
  while (at->parent->depth >= length) {
    at = at->parent;
  }
  if (at->depth > length) {
    at = split(at, length - at->parent->depth);
  }
  auto entry = detach(node);
  entry->states = std::move(states);
  attach(at, std::move(entry));
  prune(node);
  return true;
}

bool PrefixTrie::evict_one(const Entry* spared) {
  Node* node = worst_entry(spared, true);
  if (node == nullptr) {
    node = worst_entry(spared, false);
  }
  if (node == nullptr) {
    return false;
  }
  ++evictions_;
  const size_t fallback = fallback_of(node);
  const size_t target = fallback + (node->depth - fallback) / 2;
  if (node->depth - fallback > kWholeTokens && target >= node->entry->floor &&
      shorten(node, target)) {
    return true;
  }
  detach(node);
  prune(node);
  return true;
}

}  // namespace rapid
