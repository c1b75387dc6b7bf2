// PrefixTrie: which states exist in memory for which tokens. A radix tree
// over token ids whose nodes may hold an entry: one snapshot per layer, taken
// behind the tokens that lead to the node. It never asks what kind of state it
// holds.
//
// Find: a request's tokens agree with the tree up to some token. An entry that
// shares d tokens with them is usable at d when every layer can rewind to d
// (the entry's floor, the largest of its layers', is <= d). The longest usable
// length wins; what comes back is trimmed to it.
//
// Bytes: a page counts once, however many entries hold it (identity, see
// StateSnapshot::visit_pages). An inserted state takes the tree's own pages
// for the tokens they have in common, so that equal prefixes are stored once
// even if they were computed twice. An entry that the new one makes useless
// (same path, and the new one rewinds to it) goes.
//
// Eviction, when more than byte_cap is held: the entry with the least
//   (1 + hits) * tokens that only it saves / (bytes that only it holds * age)
// goes first; age counts finds and inserts since its last use. An entry that
// can rewind loses the rear half of what only it saves, so that the front,
// which others are likelier to share, stays longest. Pinned entries stay.
// Lanes: each of the `lanes` lanes used last is guaranteed
// byte_cap * guaranteed / lanes; its entries go only when it holds more, or
// when nothing else is left.
//
// Threads: none; the engine thread owns it and the snapshots.
//
//   auto match = trie.find(prompt, prompt.size() - 1);
//   if (match.length > 0) restore(match.states);
//   ... // keep match.pin for as long as the request runs
//   trie.insert(tokens, states, lane);
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "state/snapshot.h"

namespace rapid {

struct TrieOptions {
  size_t byte_cap = 0;      // of pages and of the tree itself
  double guaranteed = 0.5;  // of byte_cap, shared by `lanes` lanes
  int lanes = 8;
};

struct TrieMatch {
  int length = 0;      // tokens whose state is in `states`; 0: nothing usable
  SnapshotSet states;  // one per layer, all of `length`
  int common = 0;      // tokens that the tree knows, usable or not
  // Keeps the entry from eviction while held. Any thread may drop it.
  std::shared_ptr<const void> pin;
};

struct TrieStats {
  size_t bytes = 0;  // never above byte_cap, but for pinned entries
  size_t entries = 0;
  size_t nodes = 0;
  uint64_t finds = 0;
  uint64_t hits = 0;
  uint64_t evictions = 0;  // entries dropped or shortened
};

class PrefixTrie {
 public:
  explicit PrefixTrie(TrieOptions options);
  ~PrefixTrie();
  PrefixTrie(const PrefixTrie&) = delete;
  PrefixTrie& operator=(const PrefixTrie&) = delete;

  // The longest usable state of at most `limit` of the tokens.
  TrieMatch find(std::span<const int32_t> tokens, size_t limit);

  // `states`: at least one layer, all of tokens.size() > 0. False: it did not
  // fit beside what is pinned (what else had to go for it may be gone).
  bool insert(
      std::span<const int32_t> tokens,
      SnapshotSet states,
      const std::string& lane);

  // Evicts until at most `bytes` are held, or only pinned entries are.
  void shrink_to(size_t bytes);
  void set_byte_cap(size_t bytes);  // evicts what is over
  void clear();                     // all but pinned entries

  TrieStats stats() const;
  size_t lane_bytes(const std::string& lane) const;
  // Every entry: its tokens and the shortest prefix it can be trimmed to.
  void for_each(
      const std::function<void(std::span<const int32_t> tokens, int floor)>&
          visit) const;

  // Recomputes every count and checks every invariant; for tests.
  Status check_integrity() const;

 private:
  struct Node;
  struct Entry;
  struct Page {
    size_t bytes = 0;
    int holders = 0;
    // XOR of the holders' ids: with one holder left it is that one's id.
    uint64_t holder_ids = 0;
    uint64_t seen = 0;  // the last walk over an entry's pages that came by
  };
  struct Lane {
    size_t bytes = 0;  // that a single entry of the lane holds, and none else
    uint64_t used = 0;
    int entries = 0;
  };
  // Where tokens leave the tree: `depth` of them are known, the last ones
  // possibly inside the edge above `node`.
  struct Place {
    Node* node = nullptr;
    size_t depth = 0;
  };

  Place locate(std::span<const int32_t> tokens) const;
  Node* node_at(std::span<const int32_t> tokens);
  Node* split(Node* node, size_t keep);
  void prune(Node* node);
  static void refresh_floors(Node* node);
  static Node* usable_below(Node* node, size_t length);
  static size_t fallback_of(const Node* node);

  void touch(Entry& entry);
  static void share_pages(const Place& place, SnapshotSet& states);
  size_t new_bytes(const SnapshotSet& states) const;
  void drop_covered(const Node* node);
  void attach(Node* node, std::unique_ptr<Entry> entry);
  std::unique_ptr<Entry> detach(Node* node);
  void hold_pages(const Entry& entry);
  void release_pages(const Entry& entry);
  void own(uint64_t id, size_t bytes, bool more);

  bool evict_one(const Entry* spared);
  Node* worst_entry(const Entry* spared, bool honour_lanes) const;
  bool shorten(Node* node, size_t length);
  Status check_node(const Node& node, size_t& nodes, size_t& bytes) const;
  Status check_pages() const;

  TrieOptions options_;
  std::unique_ptr<Node> root_;
  std::unordered_map<const void*, Page> pages_;
  std::unordered_map<uint64_t, Node*> entries_;  // by entry id
  std::map<std::string, Lane> lanes_;
  size_t bytes_ = 0;
  size_t nodes_ = 0;
  uint64_t clock_ = 0;
  uint64_t next_id_ = 1;
  uint64_t walks_ = 0;
  uint64_t finds_ = 0;
  uint64_t hits_ = 0;
  uint64_t evictions_ = 0;
};

}  // namespace rapid
