// Grammars over the real vocabularies.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "hub/gguf.h"
#include "text/grammar.h"

namespace rapid {
namespace {

using Clock = std::chrono::steady_clock;
using Kind = GrammarSource::Kind;

// The compiler takes DEL in a string as an escape only.
std::string without_del(std::string text) {
  for (size_t at; (at = text.find('\x7F')) != std::string::npos;) {
    text.replace(at, 1, "\\u007f");
  }
  return text;
}

std::string file_text(const std::string& name) {
  std::ifstream file(std::string(RAPID_MLX_TEST_DATA) + "/data/" + name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

class GrammarModels : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("RAPID_MLX_TEST_MODELS");
    if (folder == nullptr) {
      GTEST_SKIP() << "RAPID_MLX_TEST_MODELS names no folder of models";
    }
    auto file =
        GgufFile::open(std::string(folder) + "/" + GetParam() + ".gguf");
    ASSERT_TRUE(file) << file.error().what;
    auto vocabulary = (*file)->vocabulary();
    ASSERT_TRUE(vocabulary);
    auto tokenizer = Tokenizer::from_vocabulary(*vocabulary);
    ASSERT_TRUE(tokenizer) << tokenizer.error().what;
    tokenizer_ = *tokenizer;
    const auto begin = Clock::now();
    auto built = GrammarVocabulary::build(
        tokenizer_, tokenizer_->end_tokens(), tokenizer_->size());
    ASSERT_TRUE(built) << built.error().what;
    vocabulary_ = *built;
    printf(
        "%s: %d tokens, trie in %.2f s\n",
        GetParam(),
        tokenizer_->size(),
        std::chrono::duration<double>(Clock::now() - begin).count());
  }

  std::shared_ptr<const Grammar> compile(Kind kind, const std::string& text) {
    auto made = Grammar::compile(vocabulary_, {kind, text}, nullptr);
    EXPECT_TRUE(made) << made.error().what;
    return made ? *made : nullptr;
  }

  // The mask accepts every token of the text; `micros` gets its times.
  void takes(
      GrammarState& state,
      const std::vector<int32_t>& tokens,
      std::vector<double>& micros) {
    std::vector<uint32_t> bits(vocabulary_->mask_words());
    for (size_t i = 0; i < tokens.size(); ++i) {
      const auto begin = Clock::now();
      const Status filled = state.fill_mask(bits);
      micros.push_back(
          std::chrono::duration<double, std::micro>(Clock::now() - begin)
              .count());
      ASSERT_TRUE(filled) << filled.error().what;
      const int32_t token = tokens[i];
      ASSERT_TRUE(bits[token / 32] >> (token % 32) & 1)
          << "token " << i << " \"" << tokenizer_->token_bytes(token)
          << "\" behind \""
          << tokenizer_->decode(std::span(tokens).first(i))
                 .substr(std::max<size_t>(i, 60) - 60);
      const Status accepted = state.accept(token);
      ASSERT_TRUE(accepted) << accepted.error().what;
    }
  }

  void report(const char* what, std::vector<double> micros) {
    std::sort(micros.begin(), micros.end());
    const auto at = [&](double q) {
      return micros[static_cast<size_t>(q * (micros.size() - 1))];
    };
    printf(
        "%s, %s: %zu masks, p50 %.0f us, p90 %.0f, p99 %.0f, max %.0f\n",
        GetParam(),
        what,
        micros.size(),
        at(0.5),
        at(0.9),
        at(0.99),
        micros.back());
  }

  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<const GrammarVocabulary> vocabulary_;
};

TEST_P(GrammarModels, BytesEqualDecode) {
  int checked = 0;
  for (int32_t id = 0; id < tokenizer_->size(); ++id) {
    const std::string bytes = tokenizer_->token_bytes(id);
    if (bytes.find('\xFF') != std::string::npos) {
      EXPECT_EQ(vocabulary_->token_bytes(id), "");
      continue;
    }
    ASSERT_EQ(vocabulary_->token_bytes(id), bytes) << id;
    // decode() repairs single bytes; three of one token hold whole letters.
    const std::vector<int32_t> ids = {id};
    const std::string text = tokenizer_->decode(ids);
    if (text.find("\xEF\xBF\xBD") == std::string::npos &&
        !tokenizer_->strips_leading_space()) {
      ASSERT_EQ(vocabulary_->token_bytes(id), text) << id;
      ++checked;
    }
  }
  EXPECT_GT(checked, tokenizer_->size() / 2);
}

TEST_P(GrammarModels, DocumentsPass) {
  std::vector<double> micros;
  const auto object = compile(Kind::json_object, "");
  const auto any = compile(Kind::json_schema, "true");
  ASSERT_TRUE(object && any);
  const Json all = Json::parse(file_text("text_ids.json"));
  Json document = {{"texts", all["texts"]}, {"n", {1, -2.5, 1e30, true}}};
  document["deep"]["er"]["still"] = Json::array({Json::object(), nullptr});
  for (const int indent : {-1, 2, 4}) {
    for (const bool ascii : {false, true}) {
      GrammarState state(object);
      takes(
          state,
          tokenizer_->encode(
              without_del(document.dump(indent, ' ', ascii)),
              {.parse_special = false}),
          micros);
      if (HasFatalFailure()) {
        return;
      }
      EXPECT_TRUE(state.stopped());
    }
  }
  GrammarState state(any);
  takes(
      state,
      tokenizer_->encode(
          without_del(all["texts"].dump(1)), {.parse_special = false}),
      micros);
  report("any JSON", micros);
}

TEST_P(GrammarModels, ToolCallsBetweenText) {
  const auto schema = relax_schema(Json::parse(R"({
    "type": "object", "properties": {
      "name": {"const": "write_file"},
      "arguments": {"type": "object", "properties": {
        "path": {"type": "string", "pattern": "^[a-z/]+[.]cpp$"},
        "text": {"type": "string"},
        "mode": {"enum": ["a", "w"]},
        "lines": {"type": "array", "items": {"type": "integer"}}},
        "required": ["path", "text"], "additionalProperties": false}},
    "required": ["name", "arguments"], "additionalProperties": false})"));
  ASSERT_TRUE(schema) << schema.error().what;
  const auto call = tokenizer_->token_id("<tool_call>");
  const auto end = tokenizer_->token_id("</tool_call>");
  const bool marker = call && vocabulary_->is_marker(*call);
  const std::string open = marker ? "<tool_call>" : "\"<tool_call>\"";
  const std::string close = marker ? "</tool_call>" : "\"</tool_call>\"";
  const auto grammar = compile(
      Kind::lark,
      (marker ? "start: TEXT (call TEXT)*\n" : "start: call+\n") +
          ("call: " + open) + " \"\\n\" body \"\\n\" " + close +
          "\nTEXT: /(?s:.*)/\nbody: %json " + dump_json(schema->schema));
  ASSERT_TRUE(grammar);
  const std::string source = file_text("text_templates.json").substr(0, 20'000);
  const Json body = {
      {"name", "write_file"},
      {"arguments",
       {{"path", "a/b.cpp"}, {"text", source}, {"lines", {1, 2}}}}};
  std::vector<int32_t> tokens;
  const auto add = [&](const std::string& text) {
    const auto more = tokenizer_->encode(text, {.parse_special = false});
    tokens.insert(tokens.end(), more.begin(), more.end());
  };
  for (int i = 0; i < 2; ++i) {
    if (marker) {
      add("I write <file> now.\n");
      tokens.push_back(*call);
      add("\n" + body.dump() + "\n");
      tokens.push_back(*end);
    } else {
      add("<tool_call>\n" + body.dump() + "\n</tool_call>");
    }
  }
  GrammarState state(grammar);
  std::vector<double> micros;
  takes(state, tokens, micros);
  if (!HasFatalFailure()) {
    EXPECT_TRUE(state.accepting());
    report("calls", micros);
  }
}

INSTANTIATE_TEST_SUITE_P(
    All,
    GrammarModels,
    testing::Values("smollm2-135m", "qwen2.5-coder-0.5b", "gemma3-270m"),
    [](const auto& info) {
      std::string name = info.param;
      for (char& c : name) {
        c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
      }
      return name;
    });

}  // namespace
}  // namespace rapid
