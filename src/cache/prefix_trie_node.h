// The nodes of PrefixTrie; for its own sources only.
#pragma once

#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cache/prefix_trie.h"

namespace rapid {

struct PrefixTrie::Entry {
  uint64_t id = 0;
  SnapshotSet states;
  size_t floor = 0;  // the shortest prefix that every layer can rewind to
  std::string lane;
  uint64_t used = 0;
  uint64_t hits = 0;
  size_t own = 0;  // bytes of pages that no other entry holds
  std::shared_ptr<const int> pin = std::make_shared<const int>(0);

  bool pinned() const { return pin.use_count() > 1; }
};

// Invariants: only the root has an empty label and may have neither entry nor
// two children; `children` is keyed by the first token of the child's label.
struct PrefixTrie::Node {
  static constexpr size_t kNoEntry = std::numeric_limits<size_t>::max();

  std::vector<int32_t> label;
  size_t depth = 0;  // tokens from the root to the end of the label
  Node* parent = nullptr;
  std::map<int32_t, std::unique_ptr<Node>> children;
  std::unique_ptr<Entry> entry;
  size_t min_floor = kNoEntry;  // of all entries here and below

  size_t bytes() const {
    return sizeof(Node) + label.size() * sizeof(int32_t) +
           (entry ? sizeof(Entry) : 0);
  }
};

}  // namespace rapid
