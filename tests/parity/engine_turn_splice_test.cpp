// Real chat templates: a turn that the ledger knows is spliced so that the
// prompt begins with the one before and its answer, or stays as rendered.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "engine/chat_prompt.h"
#include "text/chat_template.h"

namespace rapid {
namespace {

using chat::Message;

// A token is a byte.
class TemplateCodec : public TextCodec {
 public:
  explicit TemplateCodec(std::shared_ptr<const ChatTemplate> chat, Json extra)
      : chat_(std::move(chat)), extra_(std::move(extra)) {}

  std::vector<int32_t> encode(
      std::string_view text, const EncodeOptions&) const override {
    std::vector<int32_t> ids;
    for (const char c : text) {
      ids.push_back(static_cast<unsigned char>(c));
    }
    return ids;
  }
  std::string decode(std::span<const int32_t> ids) const override {
    std::string out;
    for (const int32_t id : ids) {
      out += static_cast<char>(id);
    }
    return out;
  }
  std::string token_bytes(int32_t id) const override {
    return std::string(1, static_cast<char>(id));
  }
  int32_t size() const override { return 256; }
  std::unique_ptr<TextStream> stream(
      std::span<const std::string>) const override {
    return nullptr;
  }
  std::string_view template_source() const override { return chat_->source(); }
  Result<RenderedPrompt> render(const TemplateInput& input) const override {
    TemplateInput filled = input;
    filled.extra.update(extra_);
    return chat_->render(filled);
  }

 private:
  std::shared_ptr<const ChatTemplate> chat_;
  Json extra_;
};

std::string folder() {
  const char* given = std::getenv("RAPID_MLX_TEST_TEMPLATES");
  return given != nullptr
             ? given
             : std::string(RAPID_MLX_SOURCE_DIR) + "/.deps/templates";
}

std::shared_ptr<TextModel> text_model(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream source;
  source << file.rdbuf();
  auto chat =
      ChatTemplate::compile(source.str(), {.bos = "<s>", .eos = "</s>"});
  EXPECT_TRUE(chat) << path;
  auto model = std::make_shared<TextModel>();
  Json extra = Json::object();
  if (path.string().find("firefunction") != std::string::npos) {
    extra["functions"] = "[]";
    extra["datetime"] = "today";
  }
  const auto codec = std::make_shared<TemplateCodec>(*chat, extra);
  const auto render = [&](const TemplateInput& input) {
    return codec->render(input);
  };
  model->name = path.stem();
  model->codec = codec;
  model->history.support = probe_template(render);
  model->history.knows_developer =
      source.str().find("developer") != std::string::npos;
  model->turn_marks = probe_turn_marks(
      render,
      {"</s>",
       "<|im_end|>",
       "<|eot_id|>",
       "<|eom_id|>",
       "<|eot|>",
       "<|eom|>",
       "<|return|>",
       "<|call|>",
       "<end_of_turn>",
       "<turn|>",
       "<|endoftext|>",
       "[e~[",
       "<|user|>",
       "<|observation|>",
       "<|end_of_text|>",
       "<|end_of_role|>"});
  std::erase_if(model->turn_marks.ends, [&](const std::string& end) {
    return end == "<|end_of_role|>";  // none, though it looks like one
  });
  return model;
}

// One conversation; every text in it is a word of its own.
std::vector<Message> conversation(bool calls, bool silent_results) {
  std::vector<Message> out = {
      {.role = "system", .content = "wordsystem"},
      {.role = "user", .content = "wordfirst"},
      {.role = "assistant", .content = "wordplain"},
      {.role = "user", .content = "wordsecond \"quoted\""}};
  if (calls) {
    out.push_back({.role = "assistant", .content = "wordbeside"});
    out.back().tool_calls = {{"call_1", "look", R"({"city":"wordcity"})"}};
    out.push_back(
        {.role = "tool",
         .content = silent_results ? "" : "wordresult",
         .tool_call_id = "call_1"});
    out.push_back({.role = "assistant"});
    out.back().tool_calls = {{"call_2", "look", R"({"city":"wordtown"})"}};
    out.push_back(
        {.role = "tool", .content = "{\"a\": 1}", .tool_call_id = "call_2"});
    out.push_back({.role = "assistant"});
    out.back().tool_calls = {{"call_3", "look", "{}"}};
    out.push_back(
        {.role = "tool", .content = "wordthird", .tool_call_id = "call_3"});
  }
  out.push_back({.role = "assistant", .content = "wordanswer"});
  out.push_back({.role = "user", .content = "wordlast"});
  return out;
}

struct Counts {
  int exact = 0;
  int declined = 0;
  int moved = 0;  // the template itself changed what was before
};

class Walk {
 public:
  Walk(const TextModel& model, bool calls, Counts& counts)
      : model_(model), calls_(calls), counts_(counts) {}

  void run(const std::vector<Message>& all) {
    std::vector<int32_t> want;
    EnginePrompt before;
    for (size_t i = 0; i < all.size(); ++i) {
      if (all[i].role != "assistant") {
        continue;
      }
      const auto prompt = build({all.begin(), all.begin() + i});
      if (!prompt) {
        return;
      }
      if (!want.empty()) {
        check(*prompt, before, want);
      }
      const std::string made = fmt::format("\x01turn{}\x01", i);
      const auto tokens = model_.codec->encode(made, {});
      ledger_.record(
          prompt->chain, ledger_turn(all[i]), tokens, true, prompt->head);
      last_ = static_cast<int>(i);
      want = prompt->ids;
      want.insert(want.end(), tokens.begin(), tokens.end());
      before = *prompt;
    }
    if (const auto prompt = build(all)) {
      check(*prompt, before, want);
      words(*prompt, all);
    }
  }

 private:
  std::optional<EnginePrompt> build(std::vector<Message> messages) {
    chat::Request request;
    request.messages = std::move(messages);
    if (calls_) {
      Json parameters = Json::object();
      parameters["type"] = "object";
      parameters["properties"]["city"]["type"] = "string";
      request.tools = {
          {.name = "look", .description = "A tool", .parameters = parameters}};
    }
    auto prompts = build_prompts(model_, request, {.ledger = &ledger_});
    EXPECT_TRUE(prompts) << model_.name << prompts.error().what;
    return prompts ? std::optional(prompts->at(0)) : std::nullopt;
  }

  void check(
      const EnginePrompt& prompt,
      const EnginePrompt& before,
      const std::vector<int32_t>& want) {
    if (std::ranges::find(prompt.retokenised, last_) !=
        prompt.retokenised.end()) {
      ++counts_.declined;
      if (prompt.spliced == 0) {
        EXPECT_EQ(model_.codec->decode(prompt.ids), prompt.text);
      }
      return;
    }
    const auto parts = std::ranges::mismatch(want, prompt.ids).in1;
    if (parts == want.end()) {
      ++counts_.exact;
      return;
    }
    // Then the text in front was rendered otherwise, without any ledger.
    const auto front = before.text.substr(
        0,
        before.text.size() - std::min(before.text.size(), before.head.size()));
    const bool same = prompt.text.starts_with(front);
    EXPECT_FALSE(same) << model_.name << ":\n"
                       << model_.codec->decode(want) << "\n--\n"
                       << model_.codec->decode(prompt.ids);
    ++counts_.moved;
  }

  // A turn that was spliced is gone; everything else is there, in the
  // template's order.
  void words(const EnginePrompt& prompt, const std::vector<Message>& all) {
    const std::string text = model_.codec->decode(prompt.ids);
    std::map<size_t, std::string> rest;
    for (size_t i = 0; i < all.size(); ++i) {
      const bool spliced =
          all[i].role == "assistant" &&
          std::ranges::find(prompt.retokenised, static_cast<int>(i)) ==
              prompt.retokenised.end();
      std::vector<std::string> mine = {
          all[i].content.substr(0, all[i].content.find(' '))};
      for (const auto& call : all[i].tool_calls) {
        const size_t at = call.arguments.find("word");
        mine.push_back(
            at == std::string::npos ? "" : call.arguments.substr(at, 8));
      }
      std::erase(mine, "");
      for (const std::string& word : mine) {
        if (spliced) {
          EXPECT_EQ(text.find(word), std::string::npos) << model_.name << text;
        } else if (const size_t at = prompt.text.find(word); at != text.npos) {
          rest[at] = word;
        }
      }
      if (spliced) {
        const std::string made = fmt::format("\x01turn{}\x01", i);
        const size_t at = text.find(made);
        ASSERT_NE(at, std::string::npos) << model_.name << text;
        const auto behind = std::string_view(text).substr(at + made.size());
        EXPECT_TRUE(std::ranges::any_of(
            model_.turn_marks.ends,
            [&](const std::string& end) { return behind.starts_with(end); }))
            << model_.name << text;
      }
    }
    size_t last = 0;
    for (const auto& [place, word] : rest) {
      const size_t at = text.find(word, last);
      EXPECT_NE(at, std::string::npos) << model_.name << " " << word << text;
      last = at == std::string::npos ? last : at;
    }
  }

  const TextModel& model_;
  bool calls_;
  Counts& counts_;
  TurnLedger ledger_{{.path = ":memory:", .scope = "test"}};
  int last_ = -1;
};

TEST(TurnSplices, AreExactOrNotMade) {
  Counts all;
  int templates = 0;
  std::error_code none;
  for (const auto& entry :
       std::filesystem::directory_iterator(folder(), none)) {
    if (entry.path().extension() != ".jinja") {
      continue;
    }
    const auto model = text_model(entry.path());
    Counts mine;
    for (const bool silent : {false, true}) {
      Walk(*model, false, mine).run(conversation(false, silent));
      Walk(*model, true, mine).run(conversation(true, silent));
    }
    if (std::getenv("RAPID_MLX_TEST_VERBOSE") != nullptr) {
      fmt::print(
          "{:50} exact {:2} declined {:2} moved {:2}\n",
          model->name,
          mine.exact,
          mine.declined,
          mine.moved);
    }
    all.exact += mine.exact;
    all.declined += mine.declined;
    all.moved += mine.moved;
    ++templates;
  }
  if (templates == 0) {
    GTEST_SKIP() << "no templates in " << folder();
  }
  fmt::print(
      "{} templates: {} turns exact, {} declined, {} behind a change\n",
      templates,
      all.exact,
      all.declined,
      all.moved);
  EXPECT_GE(all.exact, 10 * templates * 3 / 4);
}

}  // namespace
}  // namespace rapid
