// The grammar of forced calls: it accepts what the format renders, token by
// token, and what it lets a model write is read as calls.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <random>

#include "formats/call_grammar.h"
#include "formats/registry.h"
#include "hub/gguf.h"
#include "unit/grammar_words.h"
#include "unit/random_json.h"

namespace rapid {
namespace {

FormatInput two_tools() {
  FormatInput input;
  const Json parameters = Json::parse(R"({
    "type": "object",
    "properties": {
      "path": {"type": "string"}, "n": {"type": "integer"},
      "flag": {"type": "boolean"},
      "opts": {"type": "object", "properties": {"a": {"type": "string"}}}},
    "required": ["path"]})");
  for (const char* name : {"read", "write"}) {
    input.tools.push_back({.name = name, .parameters = parameters});
  }
  input.tool_choice.kind = chat::ToolChoice::Kind::required;
  return input;
}

std::vector<chat::ToolCall> random_calls(RandomJson& random) {
  std::vector<chat::ToolCall> out;
  for (size_t n = 1 + random.below(2); n > 0; --n) {
    Json arguments = Json::object();
    arguments["path"] = random.text();
    if (random.one_in(2)) {
      arguments["n"] = static_cast<int>(random.below(1000)) - 500;
    }
    if (random.one_in(2)) {
      arguments["flag"] = random.one_in(2);
    }
    if (random.one_in(2)) {
      arguments["opts"]["a"] = random.text();
    }
    out.push_back(
        {"", random.one_in(2) ? "read" : "write", dump_json(arguments)});
  }
  return out;
}

struct Compiled {
  std::shared_ptr<const GrammarVocabulary> vocabulary;

  std::shared_ptr<const Grammar> grammar(
      const CallSyntax& syntax, const FormatInput& input) const {
    const CallGrammar made = call_grammar(
        syntax,
        ToolSet(input),
        true,
        [&](std::string_view name) {
          const auto id = vocabulary->tokenizer().token_id(name);
          return id && vocabulary->is_marker(*id) ? id : std::nullopt;
        },
        relax_schema);
    EXPECT_TRUE(made.relaxed.empty());
    auto grammar = Grammar::compile(
        vocabulary, {GrammarSource::Kind::lark, made.lark}, nullptr);
    EXPECT_TRUE(grammar) << grammar.error().what << "\n" << made.lark;
    return grammar ? *grammar : nullptr;
  }

  // Every token of `raw` is in the mask where it stands.
  void accepts(
      const std::shared_ptr<const Grammar>& grammar,
      const std::string& raw) const {
    GrammarState state(grammar);
    std::vector<uint32_t> bits(vocabulary->mask_words());
    const Tokenizer& tokenizer = vocabulary->tokenizer();
    size_t at = 0;
    for (const int32_t id : tokenizer.encode(raw, {.parse_special = true})) {
      ASSERT_TRUE(state.fill_mask(bits));
      const auto index = static_cast<size_t>(id);
      ASSERT_TRUE(bits[index / 32] >> (index % 32) & 1)
          << "at " << at << " of\n"
          << raw;
      ASSERT_TRUE(state.accept(id)) << "at " << at << " of\n" << raw;
      at += tokenizer.token_bytes(id).size();
    }
    EXPECT_TRUE(state.accepting()) << raw;
  }
};

void accepts_what_is_rendered(const Compiled& compiled, uint64_t seeds) {
  const FormatInput input = two_tools();
  int framed = 0;
  for (const OutputFormat* format : FormatRegistry::global().all()) {
    if (format->syntaxes().empty() ||
        !format->syntaxes()[0]->frame(input.tools[0])) {
      continue;
    }
    ++framed;
    SCOPED_TRACE(format->name());
    const CallSyntax& syntax = *format->syntaxes()[0];
    const auto grammar = compiled.grammar(syntax, input);
    ASSERT_NE(grammar, nullptr);
    for (uint64_t seed = 0; seed < seeds; ++seed) {
      RandomJson random(seed);
      auto calls = random_calls(random);
      if (format->name() == "kimi") {
        calls.resize(1);  // the grammar does not count
      }
      compiled.accepts(grammar, syntax.render(calls, ToolSet(input)));
      ASSERT_FALSE(testing::Test::HasFatalFailure());
    }
  }
  EXPECT_GE(framed, 17);
}

TEST(CallGrammar, AcceptsWhatIsRendered) {
  accepts_what_is_rendered({test::build_words(test::byte_words())}, 40);
}

// 151,936 tokens; markers are special tokens or the text that they are.
TEST(CallGrammar, AcceptsWhatIsRenderedInARealVocabulary) {
  const char* folder = std::getenv("RAPID_MLX_TEST_MODELS");
  const auto path =
      std::filesystem::path(folder ? folder : "") / "qwen2.5-coder-0.5b.gguf";
  if (folder == nullptr || !std::filesystem::exists(path)) {
    GTEST_SKIP() << "no " << path;
  }
  const auto file = GgufFile::open(path.string());
  ASSERT_TRUE(file);
  const auto tokens = (*file)->vocabulary();
  ASSERT_TRUE(tokens);
  const auto tokenizer = Tokenizer::from_vocabulary(*tokens);
  ASSERT_TRUE(tokenizer);
  const auto words = GrammarVocabulary::build(
      *tokenizer, (*tokenizer)->end_tokens(), (*tokenizer)->size());
  ASSERT_TRUE(words);
  EXPECT_GT((*words)->rows(), 150'000);
  accepts_what_is_rendered({*words}, 10);
}

// A model that knows nothing writes calls under it all the same.
TEST(CallGrammar, WhateverItAllowsIsACall) {
  const test::Words made = test::byte_words();
  const Compiled compiled{test::build_words(made)};
  const FormatInput input = two_tools();
  const size_t words = compiled.vocabulary->mask_words();
  for (const OutputFormat* format : FormatRegistry::global().all()) {
    if (format->syntaxes().empty()) {
      continue;
    }
    const auto grammar = compiled.grammar(*format->syntaxes()[0], input);
    ASSERT_NE(grammar, nullptr) << format->name();
    std::mt19937 random(11);
    GrammarState state(grammar);
    std::string raw;
    while (raw.size() < 3000 && !state.stopped()) {
      std::vector<uint32_t> bits(words);
      ASSERT_TRUE(state.fill_mask(bits));
      std::vector<int32_t> allowed;
      for (int32_t id = 0; id < compiled.vocabulary->rows(); ++id) {
        if (bits[id / 32] >> (id % 32) & 1) {
          allowed.push_back(id);
        }
      }
      ASSERT_FALSE(allowed.empty());
      const bool may_end = std::ranges::count(allowed, made.end) > 0;
      if (may_end && random() % 2 == 0) {
        break;
      }
      const int32_t id = allowed[random() % allowed.size()];
      if (id == made.end) {
        break;
      }
      ASSERT_TRUE(state.accept(id));
      raw += compiled.vocabulary->tokenizer().token_bytes(id);
    }
    if (!state.accepting()) {
      continue;  // random text that did not end in time
    }
    std::vector<FormatEvent> events;
    const auto machine = format->start(input);
    machine->feed(raw, events);
    machine->finish(FinishCause::end, events);
    EXPECT_TRUE(has_call(events)) << format->name() << "\n" << raw;
  }
}

}  // namespace
}  // namespace rapid
