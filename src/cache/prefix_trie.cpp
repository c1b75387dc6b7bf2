#include "cache/prefix_trie.h"

#include <algorithm>
#include <utility>

#include "cache/prefix_trie_node.h"

namespace rapid {

PrefixTrie::PrefixTrie(TrieOptions options)
    : options_(options), root_(std::make_unique<Node>()) {}

PrefixTrie::~PrefixTrie() = default;

PrefixTrie::Place PrefixTrie::locate(std::span<const int32_t> tokens) const {
  Place place{root_.get(), 0};
  while (place.depth < tokens.size()) {
    const auto child = place.node->children.find(tokens[place.depth]);
    if (child == place.node->children.end()) {
      break;
    }
    place.node = child->second.get();
    const auto& label = place.node->label;
    const auto rest = tokens.subspan(place.depth);
    const auto differs =
        std::mismatch(label.begin(), label.end(), rest.begin(), rest.end());
    place.depth += static_cast<size_t>(differs.first - label.begin());
    if (differs.first != label.end()) {
      break;
    }
  }
  return place;
}

// Every entry in a subtree shares its node's tokens; one that rewinds to them
// is usable. A node's own entry is the shortest to trim.
PrefixTrie::Node* PrefixTrie::usable_below(Node* node, size_t length) {
  while (node->min_floor <= length) {
    if (node->entry && node->entry->floor <= length) {
      return node;
    }
    for (const auto& [token, child] : node->children) {
      if (child->min_floor <= length) {
        node = child.get();
        break;
      }
    }
  }
  return nullptr;
}

void PrefixTrie::touch(Entry& entry) {
  entry.used = clock_;
  lanes_[entry.lane].used = clock_;
}

TrieMatch PrefixTrie::find(std::span<const int32_t> tokens, size_t limit) {
  ++clock_;
  ++finds_;
  TrieMatch match;
  Place place = locate(tokens);
  match.common = static_cast<int>(place.depth);
  if (limit < place.depth) {
    place = locate(tokens.first(limit));
  }
  for (; place.depth > 0;
       place = {place.node->parent, place.node->parent->depth}) {
    Node* node = usable_below(place.node, place.depth);
    if (node == nullptr) {
      continue;
    }
    match.length = static_cast<int>(place.depth);
    for (const auto& state : node->entry->states) {
      match.states.push_back(
          state->length() == match.length ? state
                                          : state->trimmed(match.length));
    }
    ++node->entry->hits;
    touch(*node->entry);
    match.pin = node->entry->pin;
    ++hits_;
    break;
  }
  return match;
}

PrefixTrie::Node* PrefixTrie::split(Node* node, size_t keep) {
  auto upper = std::make_unique<Node>();
  Node* mid = upper.get();
  Node* parent = node->parent;
  auto& slot = parent->children[node->label.front()];
  auto lower = std::exchange(slot, std::move(upper));
  const auto cut = node->label.begin() + static_cast<ptrdiff_t>(keep);
  mid->label.assign(node->label.begin(), cut);
  node->label.erase(node->label.begin(), cut);
  mid->depth = parent->depth + keep;
  mid->parent = parent;
  mid->min_floor = node->min_floor;
  node->parent = mid;
  mid->children.emplace(node->label.front(), std::move(lower));
  ++nodes_;
  bytes_ += sizeof(Node);
  return mid;
}

PrefixTrie::Node* PrefixTrie::node_at(std::span<const int32_t> tokens) {
  const Place place = locate(tokens);
  Node* node = place.node;
  if (place.depth < node->depth) {
    node = split(node, place.depth - node->parent->depth);
  }
  if (place.depth < tokens.size()) {
    auto made = std::make_unique<Node>();
    const auto rest = tokens.subspan(place.depth);
    made->label.assign(rest.begin(), rest.end());
    made->depth = tokens.size();
    made->parent = node;
    ++nodes_;
    bytes_ += made->bytes();
    node = node->children.emplace(rest.front(), std::move(made))
               .first->second.get();
  }
  return node;
}

// Takes away what holds nothing any more: leaves without an entry, and nodes
// that only lead to one other.
void PrefixTrie::prune(Node* node) {
  while (node != root_.get() && !node->entry && node->children.empty()) {
    Node* parent = node->parent;
    bytes_ -= node->bytes();
    --nodes_;
    parent->children.erase(node->label.front());
    node = parent;
  }
  refresh_floors(node);
  if (node == root_.get() || node->entry || node->children.size() != 1) {
    return;
  }
  auto child = std::move(node->children.begin()->second);
  child->label.insert(
      child->label.begin(), node->label.begin(), node->label.end());
  child->parent = node->parent;
  bytes_ -= sizeof(Node);
  --nodes_;
  node->parent->children[child->label.front()] = std::move(child);
}

void PrefixTrie::refresh_floors(Node* node) {
  for (; node != nullptr; node = node->parent) {
    size_t least = node->entry ? node->entry->floor : Node::kNoEntry;
    for (const auto& [token, child] : node->children) {
      least = std::min(least, child->min_floor);
    }
    node->min_floor = least;
  }
}

// The tree's pages in place of equal ones: from any entry behind the common
// tokens, and from the last one before them (a window that has moved on).
void PrefixTrie::share_pages(const Place& place, SnapshotSet& states) {
  const auto take = [&](const Node* from, size_t tokens) {
    const auto& theirs = from->entry->states;
    for (size_t i = 0; i < std::min(states.size(), theirs.size()); ++i) {
      auto shared = states[i]->sharing(*theirs[i], static_cast<int>(tokens));
      if (shared) {
        states[i] = std::move(shared);
      }
    }
  };
  if (place.depth == 0) {
    return;
  }
  if (const Node* below = usable_below(place.node, Node::kNoEntry - 1)) {
    take(below, place.depth);
  }
  const Node* before = place.node;
  while (before != nullptr && (before->depth > place.depth || !before->entry)) {
    before = before->parent;
  }
  if (before != nullptr) {
    take(before, before->depth);
  }
}

bool PrefixTrie::insert(
    std::span<const int32_t> tokens,
    SnapshotSet states,
    const std::string& lane) {
  ++clock_;
  const Place place = locate(tokens);
  size_t floor = 1;
  for (const auto& state : states) {
    floor = std::max(floor, static_cast<size_t>(state->rewind_floor()));
  }
  if (place.depth == tokens.size()) {
    Node* covering = usable_below(place.node, tokens.size());
    if (covering != nullptr && covering->entry->floor <= floor &&
        (covering->entry->lane == lane || covering->depth == tokens.size())) {
      touch(*covering->entry);
      return true;
    }
  }
  share_pages(place, states);
  if (new_bytes(states) > options_.byte_cap) {
    return false;
  }
  Node* node = node_at(tokens);
  if (node->entry && node->entry->pinned()) {
    touch(*node->entry);
    return true;
  }
  if (node->entry) {
    detach(node);
  }
  auto entry = std::make_unique<Entry>();
  entry->id = next_id_++;
  entry->states = std::move(states);
  entry->floor = floor;
  entry->lane = lane;
  const Entry* made = entry.get();
  const uint64_t id = entry->id;
  attach(node, std::move(entry));
  touch(*node->entry);
  drop_covered(node);
  while (bytes_ > options_.byte_cap) {
    if (!evict_one(made)) {
      node = entries_.at(id);
      detach(node);
      prune(node);
      return false;
    }
  }
  return true;
}

size_t PrefixTrie::new_bytes(const SnapshotSet& states) const {
  size_t total = 0;
  for (const auto& state : states) {
    state->visit_pages([&](const void* id, size_t bytes) {
      total += pages_.contains(id) ? 0 : bytes;
    });
  }
  return total;
}

// The entries before `node` that its entry can stand in for. Another lane
// keeps its own: it costs a page per layer at most.
void PrefixTrie::drop_covered(const Node* node) {
  const size_t floor = node->entry->floor;
  const std::string lane = node->entry->lane;
  Node* before = node->parent;
  while (before != nullptr && before->depth >= floor) {
    Node* next = before->parent;
    if (before->entry && before->entry->lane == lane &&
        !before->entry->pinned()) {
      detach(before);
      prune(before);
    }
    before = next;
  }
}

void PrefixTrie::shrink_to(size_t bytes) {
  ++clock_;
  while (bytes_ > bytes && evict_one(nullptr)) {
  }
}

void PrefixTrie::set_byte_cap(size_t bytes) {
  options_.byte_cap = bytes;
  shrink_to(bytes);
}

void PrefixTrie::clear() {
  std::vector<Node*> going;
  for (const auto& [id, node] : entries_) {
    if (!node->entry->pinned()) {
      going.push_back(node);
    }
  }
  for (Node* node : going) {
    detach(node);
    prune(node);
  }
}

TrieStats PrefixTrie::stats() const {
  return {bytes_, entries_.size(), nodes_, finds_, hits_, evictions_};
}

size_t PrefixTrie::lane_bytes(const std::string& lane) const {
  const auto found = lanes_.find(lane);
  return found == lanes_.end() ? 0 : found->second.bytes;
}

}  // namespace rapid
