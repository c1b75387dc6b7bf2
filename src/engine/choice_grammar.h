// The grammar of one choice: which tokens its next row of logits may give.
//
// prepare() starts the mask of the next token on another thread, so that it
// is made while the model runs; constrain() waits for it. Until the sequence
// `after` was sampled (reasoning, up to its close) everything but an end is
// free. Behind it an end token is allowed exactly where the grammar may end.
// One thread at a time.
#pragma once

#include <cstdint>
#include <future>
#include <memory>
#include <span>
#include <vector>

#include "engine/task_thread.h"
#include "text/grammar.h"

namespace rapid {

class ChoiceGrammar {
 public:
  ChoiceGrammar(
      std::shared_ptr<const Grammar> grammar,
      std::vector<int32_t> after,
      std::vector<int32_t> end_tokens,
      TaskThread& masks);
  ~ChoiceGrammar() { wait(); }
  ChoiceGrammar(const ChoiceGrammar&) = delete;
  ChoiceGrammar& operator=(const ChoiceGrammar&) = delete;

  std::unique_ptr<ChoiceGrammar> clone();

  void prepare();
  // Forbidden tokens become -inf. Errors: the text became too complex.
  Status constrain(std::span<float> row);
  // A sampled token that is no end token of the request.
  Status accept(int32_t token);
  // Tokens that must follow, if the text is cut as ever; before prepare().
  std::vector<int32_t> forced();
  // Nothing but an end may follow.
  bool ended();

 private:
  ChoiceGrammar(const ChoiceGrammar& other, GrammarState state);
  void wait();
  void fill();

  GrammarState state_;
  std::vector<int32_t> after_;
  std::vector<int32_t> end_tokens_;
  TaskThread* masks_;
  std::vector<int32_t> tail_;  // the last tokens while free
  bool free_ = false;

  std::future<void> pending_;  // while valid, what follows is not ours
  bool ready_ = false;
  Status filled_;
  std::vector<uint32_t> bits_;
};

}  // namespace rapid
