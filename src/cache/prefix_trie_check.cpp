// PrefixTrie's own account of itself, recomputed from nothing.
#include <fmt/format.h>

#include <set>

#include "cache/prefix_trie.h"
#include "cache/prefix_trie_node.h"

namespace rapid {

namespace {

Error broken(std::string what) {
  return Error{ErrorCode::internal, "prefix trie: " + std::move(what)};
}

}  // namespace

void PrefixTrie::for_each(
    const std::function<void(std::span<const int32_t>, int)>& visit) const {
  for (const auto& [id, node] : entries_) {
    std::vector<int32_t> tokens(node->depth);
    for (const Node* at = node; at->parent != nullptr; at = at->parent) {
      std::copy(
          at->label.begin(),
          at->label.end(),
          tokens.begin() + static_cast<ptrdiff_t>(at->parent->depth));
    }
    visit(tokens, static_cast<int>(node->entry->floor));
  }
}

Status PrefixTrie::check_node(
    const Node& node, size_t& nodes, size_t& bytes) const {
  const bool is_root = &node == root_.get();
  size_t least = Node::kNoEntry;
  if (!is_root) {
    ++nodes;
    bytes += node.bytes();
    if (node.label.empty() ||
        node.depth != node.parent->depth + node.label.size()) {
      return broken(fmt::format("depth {} is wrong", node.depth));
    }
    if (!node.entry && node.children.size() < 2) {
      return broken(fmt::format("node at {} leads nowhere", node.depth));
    }
  }
  if (node.entry) {
    const Entry& entry = *node.entry;
    const auto known = entries_.find(entry.id);
    if (known == entries_.end() || known->second != &node) {
      return broken(fmt::format("entry {} is not listed", entry.id));
    }
    size_t floor = 1;
    for (const auto& state : entry.states) {
      if (!state || static_cast<size_t>(state->length()) != node.depth) {
        return broken(fmt::format("a state at {} is not", node.depth));
      }
      floor = std::max(floor, static_cast<size_t>(state->rewind_floor()));
    }
    if (entry.floor != floor || entry.states.empty() || floor > node.depth) {
      return broken(fmt::format("floor {} is wrong", entry.floor));
    }
    least = floor;
  }
  for (const auto& [token, child] : node.children) {
    if (child->parent != &node || child->label.empty() ||
        child->label.front() != token) {
      return broken(fmt::format("child {} is misplaced", token));
    }
    RAPID_CHECK(check_node(*child, nodes, bytes));
    least = std::min(least, child->min_floor);
  }
  if (least != node.min_floor) {
    return broken(fmt::format("min floor at {} is wrong", node.depth));
  }
  return {};
}

Status PrefixTrie::check_pages() const {
  std::unordered_map<const void*, std::set<uint64_t>> holders;
  for (const auto& [id, node] : entries_) {
    for (const auto& state : node->entry->states) {
      state->visit_pages(
          [&](const void* page, size_t) { holders[page].insert(id); });
    }
  }
  if (holders.size() != pages_.size()) {
    return broken("the pages held are not the pages listed");
  }
  std::unordered_map<uint64_t, size_t> own;
  for (const auto& [id, page] : pages_) {
    const auto found = holders.find(id);
    if (found == holders.end() ||
        found->second.size() != static_cast<size_t>(page.holders)) {
      return broken("a page's holders are miscounted");
    }
    if (page.holders == 1) {
      own[*found->second.begin()] += page.bytes;
    }
  }
  std::map<std::string, Lane> lanes;
  for (const auto& [id, node] : entries_) {
    if (node->entry->own != own[id]) {
      return broken(fmt::format("own bytes of entry {} are wrong", id));
    }
    lanes[node->entry->lane].bytes += own[id];
    ++lanes[node->entry->lane].entries;
  }
  for (const auto& [name, lane] : lanes_) {
    if (lane.bytes != lanes[name].bytes ||
        lane.entries != lanes[name].entries) {
      return broken("a lane is miscounted: " + name);
    }
  }
  return lanes.size() == lanes_.size() ? Status() : broken("lanes are missing");
}

Status PrefixTrie::check_integrity() const {
  size_t nodes = 0;
  size_t bytes = 0;
  RAPID_CHECK(check_node(*root_, nodes, bytes));
  RAPID_CHECK(check_pages());
  bool pinned = false;
  for (const auto& [id, node] : entries_) {
    pinned = pinned || node->entry->pinned();
  }
  for (const auto& [id, page] : pages_) {
    bytes += page.bytes;
  }
  if (nodes != nodes_ || bytes != bytes_) {
    return broken(fmt::format(
        "{} nodes and {} bytes, counted {} and {}",
        nodes,
        bytes,
        nodes_,
        bytes_));
  }
  if (bytes_ > options_.byte_cap && !pinned) {
    return broken(fmt::format("{} bytes are over the cap", bytes_));
  }
  return {};
}

}  // namespace rapid
