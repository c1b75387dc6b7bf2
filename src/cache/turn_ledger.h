// TurnLedger: the exact tokens of every turn that was emitted, so that a turn
// that comes back in a history is put into the prompt as it was generated and
// the cached prefix still matches.
//
// Clients send turns back changed: without the reasoning, arguments serialised
// anew (white space, key order, 1.0 as 1, an object as a string), ids renamed,
// text with its ends trimmed or as a list of parts (the caller joins those). A
// turn is therefore known by its canonical form: text without white space at
// its ends, calls in order, each a name and arguments as canonical JSON; no
// ids, no reasoning.
//
// Found, in this order:
// 1. same canonical form at the same place, that is behind the same chain of
//    earlier messages in canonical form;
// 2. the id of a call, if the calls are the same in canonical form and the
//    text is the same or did not come back;
// 3. same canonical form anywhere, only for turns without a hidden part:
//    nobody's reasoning gets into another conversation.
// A turn may be recorded without tokens: at its place it stays as the template
// writes it, also when the same is said elsewhere later. A prompt must not
// change behind the back of what was evaluated.
//
// What is stored is a cache: bounded by max_bytes (least recently used turns
// go first), and lost without harm. A damaged file is renamed aside (see
// Database); a damaged row is dropped and never served; when nothing can be
// written it warns once and only finds. A recorded turn outlives kill -9.
//
// Threads: any; calls take a lock and a few file operations.
//
//   TurnChain chain;
//   for (message : history) {
//     if (assistant) if (auto found = ledger.find(chain, turn)) splice(...);
//     chain.add(message.role, turn);
//   }
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "cache/canonical_arguments.h"

namespace rapid {

struct LedgerCall {
  std::string id;  // as the client knows it; may be empty
  std::string name;
  std::string arguments;  // JSON as text
};

struct LedgerTurn {
  std::string text;  // what the user sees; no reasoning
  std::vector<LedgerCall> calls;
};

// The place in a conversation: a hash of the messages before it. The caller
// adds those that make up its identity (a system prompt that carries the date
// does not).
class TurnChain {
 public:
  TurnChain() = default;
  // Turns of another group are not found.
  explicit TurnChain(std::string group) : group_(std::move(group)) {}
  void add(std::string_view role, const LedgerTurn& message);
  const std::string& hash() const { return hash_; }
  const std::string& group() const { return group_; }

 private:
  std::string group_;
  std::string hash_;
};

struct LedgerMatch {
  std::vector<int32_t> tokens;
  std::string head;
  bool hidden = false;
  enum class By { place, call_id, content } by = By::place;
};

struct LedgerStats {
  uint64_t turns = 0;
  uint64_t bytes = 0;     // of their tokens
  bool disabled = false;  // nothing is recorded any more
};

class TurnLedger {
 public:
  struct Options {
    std::filesystem::path path;  // ":memory:" ends with the process
    // Model, tokenizer and template: turns of another scope are not found.
    std::string scope;
    uint64_t max_bytes = 256u << 20;
  };

  // Never fails: a ledger that cannot open its file warns and finds nothing.
  explicit TurnLedger(Options options);
  ~TurnLedger();
  TurnLedger(const TurnLedger&) = delete;
  TurnLedger& operator=(const TurnLedger&) = delete;

  // `tokens`: those generated, without the one that ended the turn. None: it
  // stays as the template writes it (if nothing was recorded there before).
  // `hidden`: they hold more than text and calls, such as reasoning.
  // `head`: the prompt's end that they follow, as text; the caller's.
  void record(
      const TurnChain& chain,
      const LedgerTurn& turn,
      std::span<const int32_t> tokens,
      bool hidden,
      std::string_view head = "");

  std::optional<LedgerMatch> find(
      const TurnChain& chain, const LedgerTurn& turn);

  void clear();
  LedgerStats stats();

 private:
  struct Store;
  struct Key;

  void failed(const Error& error);
  Key key_of(const TurnChain& chain, const LedgerTurn& turn) const;

  Options options_;
  std::mutex mutex_;
  std::unique_ptr<Store> store_;  // null: there is no file
  bool writable_ = true;
};

}  // namespace rapid
