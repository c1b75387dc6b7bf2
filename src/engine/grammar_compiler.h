// Compiles grammars in the background. The vocabulary's trie is built with
// the first of them, once; the last few grammars are kept, as an agent sends
// the same one with every turn.
//
// Threads: compile() from any; the work is done on a thread of its own.
#pragma once

#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/task_thread.h"
#include "text/grammar.h"

namespace rapid {

using GrammarWords = std::shared_ptr<const GrammarVocabulary>;
// For a model with so many rows of logits.
using GrammarWordsMaker = std::function<Result<GrammarWords>(int32_t rows)>;

struct CompiledGrammar {
  std::shared_ptr<const Grammar> grammar;
  std::vector<std::string> relaxed;  // of GrammarReport
};
using GrammarFuture = std::shared_future<Result<CompiledGrammar>>;

class GrammarCompiler {
 public:
  // Without a maker every grammar is refused: unsupported.
  GrammarCompiler(GrammarWordsMaker maker, int32_t rows)
      : maker_(std::move(maker)), rows_(rows) {}

  GrammarFuture compile(const GrammarSource& source);

 private:
  Result<CompiledGrammar> make(const GrammarSource& source);

  // The thread's own, as is all below.
  GrammarWordsMaker maker_;
  int32_t rows_;
  std::optional<Result<GrammarWords>> words_;
  std::deque<std::pair<GrammarSource, CompiledGrammar>> kept_;  // newest first
  TaskThread thread_;  // the last member: it ends first
};

}  // namespace rapid
