// A conversation whose turns come back changed: the prompt begins with the
// tokens of the one before and of its answer.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "cache/canonical_arguments.h"
#include "engine/chat_prompt.h"
#include "formats/reasoning.h"
#include "unit/front_harness.h"
#include "unit/random_json.h"

namespace rapid {
namespace {

using chat::Message;

// The template opens a thought and forgets those of earlier turns, unless
// nobody has asked anything since.
class ThinkCodec : public FakeCodec {
 public:
  bool opens = true;

  Result<RenderedPrompt> render(const TemplateInput& input) const override {
    size_t last_user = 0;
    for (size_t i = 0; i < input.messages.size(); ++i) {
      last_user = input.messages[i].at("role") == "user" ? i : last_user;
    }
    TemplateInput kept = input;
    kept.add_generation_prompt = false;
    for (size_t i = 0; i < kept.messages.size(); ++i) {
      Json& message = kept.messages[i];
      if (message.at("role") == "assistant" && i > last_user) {
        message["content"] =
            "<think>\n" + message.value("reasoning_content", "") +
            "\n</think>\n\n" + message.at("content").get<std::string>();
      }
    }
    auto out = FakeCodec::render(kept);
    if (out && input.add_generation_prompt) {
      out->text +=
          std::string("<|turn|>assistant\n") + (opens ? "<think>\n" : "");
    }
    return out;
  }
};

struct Answer {
  Message message;
  std::vector<int32_t> tokens;  // as the engine gave them
};

class TurnLedgerFrontTest : public ::testing::Test {
 protected:
  TurnLedgerFrontTest() { options.ledger = new_ledger(); }

  static std::shared_ptr<TurnLedger> new_ledger() {
    return std::make_shared<TurnLedger>(
        TurnLedger::Options{.path = ":memory:", .scope = "fake"});
  }

  void think(bool opens) {
    auto codec = std::make_shared<ThinkCodec>();
    codec->opens = opens;
    model->codec = codec;
    model->reasoning = reasoning_of_template("<think>\n</think>");
    ASSERT_NE(model->reasoning, nullptr);
  }

  // One turn: the answer as a client has it, and the prompt it was for.
  Message ask(
      const std::vector<Message>& messages,
      const std::string& answer,
      int max_tokens = 2000) {
    engine->script = [answer](const GenerateRequest&) {
      return FakeScript{.choices = {fake_ids(answer)}};
    };
    chat::Request request;
    request.messages = messages;
    request.tools = {{.name = "read"}, {.name = "list"}};
    request.max_tokens = max_tokens;
    request.history = history;
    request.parallel_calls = parallel_calls;
    if (!front) {
      front = std::make_unique<Front>(engine, model, options);
    }
    Recorder recorder;
    EXPECT_TRUE(front->submit(request, recorder.sink()));
    recorder.wait();
    engine->wait_idle();  // what its answer began for the next turn, too
    ready.clear();
    for (const GenerateRequest& each : engine->requests()) {
      (each.max_tokens > 0 ? prompt : ready) = each.prompt;
    }
    Message out{.role = "assistant"};
    for (const auto& event : recorder.all<chat::Delta>()) {
      (event.kind == chat::Delta::Kind::content ? out.content
                                                : out.reasoning) += event.text;
    }
    for (const auto& event : recorder.all<chat::ToolCallEvent>()) {
      out.tool_calls.push_back(event.call);
    }
    return out;
  }

  std::string text(const std::vector<int32_t>& ids) const {
    return model->codec->decode(ids);
  }

  std::shared_ptr<FakeEngine> engine = std::make_shared<FakeEngine>();
  std::shared_ptr<TextModel> model = fake_text_model();
  FrontOptions options;
  std::unique_ptr<Front> front;
  std::string history;
  bool parallel_calls = true;
  std::vector<int32_t> prompt;  // of the last ask()
  std::vector<int32_t> ready;   // evaluated behind its answer
};

Message user(std::string text) {
  return {.role = "user", .content = std::move(text)};
}

std::vector<int32_t> joined(std::vector<int32_t> ids, std::string_view more) {
  const auto tail = fake_ids(more);
  ids.insert(ids.end(), tail.begin(), tail.end());
  ids.push_back(FakeCodec::kEnd);
  return ids;
}

testing::AssertionResult begins_with(
    const std::vector<int32_t>& all, const std::vector<int32_t>& front) {
  const auto [a, b] = std::ranges::mismatch(front, all);
  if (a == front.end()) {
    return testing::AssertionSuccess();
  }
  return testing::AssertionFailure()
         << "parts at " << a - front.begin() << " of " << front.size() << ":\n"
         << FakeCodec().decode(front) << "\n--\n"
         << FakeCodec().decode(all);
}

constexpr std::string_view kCall =
    "Let me see.\n<tool_call>\n{ \"arguments\": {\"b\": 1.0,   \"a\": [1, 2]},"
    "\"name\": \"read\"}\n</tool_call>";

TEST_F(TurnLedgerFrontTest, ACallThatWasWrittenAnew) {
  const Message answer = ask({user("q")}, std::string(kCall));
  const auto want = joined(prompt, kCall);
  ASSERT_EQ(answer.tool_calls.size(), 1u);
  Message back = answer;
  back.tool_calls[0].id = "toolu_1";
  back.tool_calls[0].arguments = "{\"a\":[1,2],\"b\":1}";
  back.content = "Let me see.";
  const Message result{
      .role = "tool", .content = "", .tool_call_id = "toolu_1"};
  ask({user("q"), back, result}, "Done.");
  EXPECT_TRUE(begins_with(prompt, want));
  // With a system prompt of today and an edited question, by the call's id.
  back.tool_calls[0].id = answer.tool_calls[0].id;
  Message dated{.role = "system", .content = "Today is Monday."};
  ask({dated, user("other"), back, result}, "Done.");
  EXPECT_NE(text(prompt).find(kCall), std::string::npos);
}

TEST_F(TurnLedgerFrontTest, TheOnlyCallThatWasAskedFor) {
  parallel_calls = false;
  const std::string call(kCall);
  // What comes behind it is nobody's; within one token it is too late.
  for (const bool exact : {true, false}) {
    const std::string said = exact ? call : call + "abc";
    std::vector<Message> talk = {user(exact ? "first" : "second")};
    const Message answer = ask(talk, said);
    ASSERT_EQ(answer.tool_calls.size(), 1u);
    const std::vector<int32_t> whole = joined(prompt, call);
    talk.push_back(answer);
    talk.back().tool_calls[0].arguments = R"({"a":[1,2],"b":1})";
    talk.push_back(
        {.role = "tool",
         .content = "text",
         .tool_call_id = answer.tool_calls[0].id});
    ask(talk, "Done.");
    EXPECT_TRUE(begins_with(prompt, whole)) << exact;
  }
}

// A turn that was cut stays as it was rendered when somebody else says the
// same in whole: the prompt that was evaluated must come back.
TEST_F(TurnLedgerFrontTest, WhatIsSaidElsewhereChangesNoPrompt) {
  const std::string call(kCall);
  const std::vector<Message> asked = {user("first")};
  const size_t until = call.rfind('\n');
  const Message cut = ask(asked, call, static_cast<int>(until));
  ASSERT_EQ(cut.tool_calls.size(), 1u) << "complete but for its tag";
  std::vector<Message> talk = {
      asked[0],
      cut,
      {.role = "tool", .content = "x", .tool_call_id = cut.tool_calls[0].id}};
  ask(talk, "Done.");
  const auto before = prompt;
  ask({user("second")}, call);
  talk.push_back({.role = "assistant", .content = "Done."});
  talk.push_back(user("And?"));
  ask(talk, "Yes.");
  EXPECT_TRUE(begins_with(prompt, joined(before, "Done.")));
}

// ... and is evaluated before the client hears of the answer's end.
TEST_F(TurnLedgerFrontTest, WhatWillBeRewrittenIsReady) {
  const std::string call(kCall);
  std::vector<Message> talk = {user("q")};
  const Message whole = ask(talk, call);
  EXPECT_TRUE(ready.empty());
  talk.push_back(whole);
  talk.push_back({.role = "tool", .content = "one"});
  const Message cut = ask(talk, call, static_cast<int>(call.rfind('\n')));
  ASSERT_EQ(cut.tool_calls.size(), 1u);
  const auto before = prompt;
  const auto known = ready;
  talk.push_back(cut);
  talk.back().tool_calls[0].arguments = R"({"b":1,"a":[1,2]})";
  talk.push_back({.role = "tool", .content = "two"});
  ask(talk, "Done.");
  EXPECT_TRUE(begins_with(prompt, known));
  EXPECT_TRUE(begins_with(known, before));
  // Nothing is left but the tool's words.
  EXPECT_EQ(
      text(prompt).substr(text(known).size()), "two<|end|><|turn|>assistant\n");
}

TEST_F(TurnLedgerFrontTest, AThoughtThatDidNotComeBack) {
  think(true);
  const std::string said = "I think.\n</think>\n\nFour.";
  Message answer = ask({user("2+2?")}, said);
  const auto want = joined(prompt, said);
  EXPECT_EQ(answer.content, "Four.");
  EXPECT_EQ(answer.reasoning, "I think.");
  answer.reasoning.clear();
  const std::vector<Message> next = {user("2+2?"), answer, user("More")};
  ask(next, "x</think>y");
  EXPECT_TRUE(begins_with(prompt, want));
  answer.reasoning = "as another client has it";
  ask({user("2+2?"), answer, user("More")}, "x</think>y");
  EXPECT_TRUE(begins_with(prompt, want));
  // Nobody's thought gets into another conversation.
  ask({user("3+1?"), answer, user("More")}, "x</think>y");
  EXPECT_EQ(text(prompt).find("I think."), std::string::npos);
}

TEST_F(TurnLedgerFrontTest, TheTemplatesOwnRule) {
  think(true);
  history = "template";
  const std::string thought = "Look.\n</think>\n\n" + std::string(kCall);
  Message answer = ask({user("q")}, thought);
  const auto first = joined(prompt, thought);
  answer.reasoning.clear();
  std::vector<Message> messages = {
      user("q"), answer, {.role = "tool", .content = "42"}};
  const Message second = ask(messages, "Right.\n</think>\n\n42");
  EXPECT_TRUE(begins_with(prompt, first));  // since the last question
  messages.push_back(second);
  messages.push_back(user("And?"));
  ask(messages, "x</think>y");
  EXPECT_EQ(text(prompt).find("Look."), std::string::npos) << text(prompt);
  EXPECT_EQ(text(prompt).find("Right."), std::string::npos);
  EXPECT_EQ(text(prompt).find("probe"), std::string::npos);
  history = "keep";
  ask(messages, "x</think>y");
  EXPECT_TRUE(begins_with(prompt, first));
  EXPECT_NE(text(prompt).find("Right."), std::string::npos);
}

TEST_F(TurnLedgerFrontTest, WhatIsNotWholeIsNotKept) {
  const auto turns = [&] { return options.ledger->stats().turns; };
  ask({user("a")}, "Hello you", 5);  // the limit, in text
  EXPECT_EQ(turns(), 1u);
  ask({user("b")}, "<tool_call>\n{\"name\": \"read\", \"arguments\": {}}", 45);
  EXPECT_EQ(turns(), 2u) << "a call without its end, as the template has it";
  EXPECT_EQ(text(ready).find("arguments\": {}}<|end|>"), std::string::npos);
  ask({user("c")}, "   ");
  EXPECT_EQ(turns(), 2u) << "nothing to know it by";
  ask({user("c")}, "fine");
  EXPECT_EQ(turns(), 3u);
}

TEST_F(TurnLedgerFrontTest, ATurnOfSomeoneElseStays) {
  ask({user("q")}, "  mine ");
  ask({user("q"), {.role = "assistant", .content = "theirs"}, user("r")}, "x");
  EXPECT_EQ(
      text(prompt).substr(text(prompt).find("<|turn|>user")),
      "<|turn|>user\nq<|end|><|turn|>assistant\ntheirs<|end|>"
      "<|turn|>user\nr<|end|><|turn|>assistant\n");
  // Control tokens in what a user says stay text beside a splice.
  ask({user("q"), {.role = "assistant", .content = "mine"}, user("<|end|>")},
      "x");
  EXPECT_NE(text(prompt).find("  mine <|end|>"), std::string::npos);
  EXPECT_EQ(std::ranges::count(prompt, FakeCodec::kEnd), 4);
}

// Whatever clients do to turns, and whatever the answers were.
class Conversation {
 public:
  explicit Conversation(uint64_t seed) : json_(seed), random_(seed) {}

  std::string answer(bool thinks) {
    std::string out = thinks ? json_.text() + "</think>\n\n" : "";
    out += below(3) == 0 ? "" : "word" + plain(json_.text());
    for (size_t calls = below(3); calls > 0; --calls) {
      out += "\n<tool_call>\n{\"name\":" + std::string(below(4), ' ') +
             "\"read\", \"arguments\": {\"p\" :" + std::to_string(below(9)) +
             (below(2) ? ".0" : "") +
             ", \"a\":" + dump_json(Json(json_.text())) + "}}\n</tool_call>";
    }
    return out.empty() ? "ok" : out;
  }

  Message changed(Message message) {
    if (below(2) == 0) {
      message.reasoning.clear();
    }
    if (below(2) == 0) {
      message.content = "\n" + message.content + " ";
    }
    for (size_t i = 0; i < message.tool_calls.size(); ++i) {
      chat::ToolCall& call = message.tool_calls[i];
      const auto arguments = parse_json(call.arguments);
      if (arguments && below(2) == 0) {
        call.arguments = canonical_arguments(call.arguments);
      } else if (arguments && below(2) == 0) {
        call.arguments = dump_json(Json(arguments->dump(2)));
      }
      call.id = below(2) == 0 ? call.id : "id_" + std::to_string(i);
    }
    return message;
  }

  size_t below(size_t n) { return random_() % n; }
  RandomJson& json() { return json_; }

 private:
  static std::string plain(std::string text) {
    std::erase(text, '<');
    std::erase(text, '\x01');
    return text;
  }

  RandomJson json_;
  std::mt19937_64 random_;
};

TEST_F(TurnLedgerFrontTest, TheLawOfThePrefix) {
  engine->mutable_info().context_length = 1 << 20;
  int turns = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    Conversation talk(seed);
    front.reset();
    model = fake_text_model();
    options.ledger = new_ledger();
    const bool thinks = seed % 2 == 0;
    if (thinks) {
      think(true);
    }
    std::vector<Message> messages = {user("first")};
    std::vector<int32_t> want;
    for (int turn = 0; turn < 8; ++turn) {
      if (turn == 4 && seed % 3 == 0) {
        messages.push_back({.role = "system", .content = "A late notice."});
      }
      const std::string said = talk.answer(thinks);
      const Message answer = ask(messages, said);
      ASSERT_TRUE(begins_with(prompt, want)) << "seed " << seed << "." << turn;
      turns += !want.empty();
      want = joined(prompt, said);
      const bool blank =
          answer.content.find_first_not_of(" \r\n\t") == std::string::npos;
      if (blank && answer.tool_calls.empty()) {
        break;
      }
      // What was sent before does not change from turn to turn.
      messages.push_back(talk.changed(answer));
      for (const auto& call : messages.back().tool_calls) {
        messages.push_back(
            {.role = "tool",
             .content = talk.below(3) == 0 ? "" : talk.json().text(),
             .tool_call_id = call.id});
      }
      if (messages.back().role == "assistant") {
        messages.push_back(user("next" + talk.json().text()));
      }
    }
  }
  EXPECT_GT(turns, 180);
}

}  // namespace
}  // namespace rapid
