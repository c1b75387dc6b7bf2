#include <algorithm>
#include <exception>

#include "engine/grammar_compiler.h"

namespace rapid {
namespace {

constexpr size_t kKept = 8;

}  // namespace

GrammarFuture GrammarCompiler::compile(const GrammarSource& source) {
  auto promise = std::make_shared<std::promise<Result<CompiledGrammar>>>();
  GrammarFuture future = promise->get_future().share();
  thread_.push([this, promise, source] {
    try {
      promise->set_value(make(source));
    } catch (const std::exception& e) {
      promise->set_value(Error{
          ErrorCode::internal,
          std::string("compiling a grammar: ") + e.what()});
    }
  });
  return future;
}

Result<CompiledGrammar> GrammarCompiler::make(const GrammarSource& source) {
  if (!maker_) {
    return Error{
        ErrorCode::unsupported, "this engine has no vocabulary for grammars"};
  }
  if (!words_) {
    words_ = maker_(rows_);
  }
  RAPID_TRY(const GrammarWords words, *words_);
  const auto same = [&](const auto& kept) { return kept.first == source; };
  const auto found = std::find_if(kept_.begin(), kept_.end(), same);
  if (found != kept_.end()) {
    std::rotate(kept_.begin(), found, found + 1);
    return kept_.front().second;
  }
  GrammarReport report;
  RAPID_TRY(auto grammar, Grammar::compile(words, source, &report));
  CompiledGrammar made{std::move(grammar), std::move(report.relaxed)};
  kept_.emplace_front(source, made);
  if (kept_.size() > kKept) {
    kept_.pop_back();
  }
  return made;
}

}  // namespace rapid
