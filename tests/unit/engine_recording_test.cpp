// What a recorder writes comes back, answers as the engine did, and is
// compared token by token.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "engine/recording.h"
#include "engine/replay.h"
#include "engine/replay_model.h"
#include "engine/request_json.h"
#include "engine/request_recorder.h"
#include "temp_folder.h"
#include "unit/front_harness.h"

namespace rapid {
namespace {

using test::TempFolder;
using testing::HasSubstr;

constexpr const char* kBad = "<tool_call>{\"arguments\":{}}</tool_call>";
constexpr const char* kGood =
    "<tool_call>{\"name\":\"read\",\"arguments\":{\"p\":1}}</tool_call>";

// What a client would see, without times.
std::string shown(const std::vector<chat::Event>& events) {
  std::string out;
  const auto add = [&](const char* kind, int choice, const std::string& text) {
    out += std::string(kind) + std::to_string(choice) + ":" + text + "\n";
  };
  std::map<int, std::string> text;
  for (const chat::Event& event : events) {
    if (const auto* delta = std::get_if<chat::Delta>(&event)) {
      text[delta->choice] += delta->text;
      for (const chat::TokenLogprob& one : delta->logprobs) {
        text[delta->choice] += "[" + one.text + " " +
                               std::to_string(one.logprob.value_or(0)) + " " +
                               std::to_string(one.top.size()) + "]";
      }
    } else if (const auto* call = std::get_if<chat::ToolCallEvent>(&event)) {
      add("call", call->choice, call->call.id + call->call.arguments);
    } else if (const auto* bad = std::get_if<chat::Rejected>(&event)) {
      add("rejected", bad->choice, bad->raw);
    } else if (const auto* end = std::get_if<chat::Finished>(&event)) {
      add("text", end->choice, text[end->choice]);
      add("end", end->choice, std::to_string(static_cast<int>(end->reason)));
    } else if (const auto* failed = std::get_if<chat::Failed>(&event)) {
      add("failed", 0, text[0] + failed->error.what);
    } else if (const auto* done = std::get_if<chat::Done>(&event)) {
      add("tokens",
          done->usage.prompt_tokens,
          std::to_string(done->usage.completion_tokens));
    }
  }
  return out;
}

class RecordingTest : public ::testing::Test {
 protected:
  void says(std::vector<std::string> choices) {
    FakeScript script;
    for (const std::string& text : choices) {
      script.choices.push_back(fake_ids(text));
    }
    engine->script = [script](const GenerateRequest&) { return script; };
  }

  // What the client saw; the recording is written when it is back.
  std::string record(const chat::Request& request) {
    auto recorder =
        RequestRecorder::start(folder.path() / "r", model, false, "test");
    EXPECT_TRUE(recorder);
    Recorder seen;
    {
      Front front((*recorder)->wrap(engine), model, {.recorder = *recorder});
      EXPECT_TRUE(front.submit(request, seen.sink()));
      seen.wait();
    }
    (*recorder)->flush();
    return shown(seen.wait());
  }

  std::vector<Recording> recordings() {
    auto out = read_recordings(folder.path() / "r");
    EXPECT_TRUE(out) << out.error().what;
    return out ? *std::move(out) : std::vector<Recording>();
  }

  // The same request answered from the recordings.
  std::string served(const chat::Request& request, bool strict = true) {
    const auto shelf = std::make_shared<ReplayShelf>(recordings(), strict);
    const int number = shelf->choose(request).number;
    if (number < 0) {
      return "none";
    }
    chat::Request asked = request;
    ask_for(shelf->at(number), number, asked);
    Front front(replay_engine(shelf), replay_model(shelf));
    Recorder seen;
    EXPECT_TRUE(front.submit(asked, seen.sink()));
    return shown(seen.wait());
  }

  TempFolder folder;
  std::shared_ptr<FakeEngine> engine = std::make_shared<FakeEngine>();
  std::shared_ptr<TextModel> model = fake_text_model();
};

TEST_F(RecordingTest, IsOneFileWithWhatWasAskedAndSaid) {
  says({"Grüße <|end|> und mehr"});
  chat::Request request = chat_request("Hi");
  request.id = "chatcmpl-1/../x";
  request.sampling.seed = 18446744073709551615u;
  request.sampling.temperature = 0.1f;
  record(request);
  const auto all = recordings();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_TRUE(std::filesystem::exists(
      folder.path() / "r" / "000001-chatcmpl-1____x.json"));
  EXPECT_EQ(all[0].id, request.id);
  EXPECT_EQ(all[0].request["messages"][0]["content"], "Hi");
  ASSERT_EQ(all[0].runs.size(), 1u);
  const GenerateRequest& ran = all[0].runs[0].request;
  EXPECT_EQ(ran.prompt, engine->requests()[0].prompt);
  EXPECT_EQ(ran.sampling.seed, 18446744073709551615u);
  EXPECT_EQ(ran.sampling.temperature, 0.1f);
  EXPECT_EQ(
      all[0].runs[0].choices[0].tokens, fake_ids("Grüße <|end|> und mehr"));
}

TEST_F(RecordingTest, IsServedAsItWas) {
  says({"one two STOP three", "Grüße", "x" + std::string(kGood)});
  chat::Request request = chat_request("x");
  request.choices = 3;
  request.stop = {"STOP"};
  request.logprobs = 2;
  request.tools = {{.name = "read"}};
  const std::string seen = record(request);  // with a seed of its own
  EXPECT_THAT(seen, HasSubstr("text1:G[G"));
  EXPECT_THAT(seen, HasSubstr("{\"p\":1}"));
  EXPECT_EQ(served(request), seen);
}

TEST_F(RecordingTest, CallsThatWereDecodedAgainAreServedAsTheyWere) {
  engine->script = [](const GenerateRequest& wanted) {
    return FakeScript{
        .choices = {fake_ids(
            wanted.resume ? std::string(kGood) : "Hm. " + std::string(kBad))}};
  };
  chat::Request request = chat_request("x");
  request.tools = {{.name = "read"}};
  const std::string seen = record(request);
  EXPECT_EQ(recordings()[0].runs.size(), 2u);
  EXPECT_THAT(seen, HasSubstr("{\"p\":1}"));
  EXPECT_EQ(served(request), seen);
}

TEST_F(RecordingTest, FailuresAreServedAsTheyWere) {
  engine->script = [](const GenerateRequest&) {
    return FakeScript{
        .choices = {fake_ids("some text")},
        .fail = Error{ErrorCode::internal, "it broke"},
        .fail_after = 4};
  };
  const chat::Request request = chat_request("x");
  const std::string seen = record(request);
  EXPECT_THAT(seen, HasSubstr("it broke"));
  EXPECT_EQ(served(request), seen);
}

TEST_F(RecordingTest, CompletionsWithTheirPromptsAreServedAsTheyWere) {
  says({"and on"});
  chat::Request request;
  request.prompts = {std::string("Once"), std::vector<int32_t>{'a', 'b'}};
  request.echo = true;
  request.logprobs = 1;
  const std::string seen = record(request);
  EXPECT_EQ(recordings()[0].runs.size(), 2u);
  EXPECT_EQ(served(request), seen);
}

TEST_F(RecordingTest, AClientThatLeavesEndsItsRecording) {
  says({std::string(4000, 'a')});
  engine->before_round = [] {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  };
  auto recorder =
      RequestRecorder::start(folder.path() / "r", model, false, "test");
  ASSERT_TRUE(recorder);
  {
    Recorder seen;
    Recorder other;  // outlives the front, which may still call its sink
    Front front((*recorder)->wrap(engine), model, {.recorder = *recorder});
    const auto ticket = front.submit(chat_request("x"), seen.sink());
    seen.wait_for(10);
    front.cancel(*ticket);
    ASSERT_TRUE(front.submit(chat_request("y"), other.sink()));
    other.wait_for(5);
    // The front's end closes what is open.
  }
  engine.reset();
  (*recorder)->flush();
  const auto all = recordings();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_GE(all[0].runs[0].choices[0].tokens.size(), 5u);
  EXPECT_LT(all[0].runs[0].choices[0].tokens.size(), 4000u);
}

TEST_F(RecordingTest, NumbersGoOn) {
  record(chat_request("a"));
  record(chat_request("b"));
  const auto all = recordings();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[1].request["messages"][0]["content"], "b");
}

TEST_F(RecordingTest, AFullDiskLosesTheRecordingOnly) {
  auto recorder =
      RequestRecorder::start(folder.path() / "r", model, false, "test");
  ASSERT_TRUE(recorder);
  std::filesystem::remove_all(folder.path() / "r");
  Recorder seen;
  Front front((*recorder)->wrap(engine), model, {.recorder = *recorder});
  ASSERT_TRUE(front.submit(chat_request("x"), seen.sink()));
  EXPECT_EQ(seen.content(), "ok");
  (*recorder)->flush();
}

TEST_F(RecordingTest, ReplayComparesEveryToken) {
  says({"same as ever", "and this"});
  chat::Request request = chat_request("x");
  request.choices = 2;
  record(request);
  const auto never = [] { return false; };
  Recording recording = recordings()[0];
  auto result = replay(*engine, recording, never);
  ASSERT_TRUE(result);
  EXPECT_TRUE(result->same) << result->difference;
  EXPECT_EQ(result->tokens, 12 + 1 + 8 + 1);
  recording.runs[0].choices[1].tokens[3] = 'X';
  result = replay(*engine, recording, never);
  EXPECT_EQ(result->difference, "run 0, choice 1, token 3: 32, recorded 88");
  recording.runs[0].choices[1].tokens[3] = ' ';
  recording.runs[0].choices[0].tokens.pop_back();
  result = replay(*engine, recording, never);
  EXPECT_THAT(result->difference, HasSubstr("does not end as recorded"));
  // Cut off there by the client, it would be the same.
  recording.runs[0].choices[0].end = EngineChoiceEnd::Reason::cancelled;
  EXPECT_TRUE(replay(*engine, recording, never)->same);
  recording.runs[0].choices[0].tokens = fake_ids("same as ever and more");
  result = replay(*engine, recording, never);
  EXPECT_THAT(result->difference, HasSubstr("ends at token 12"));
}

TEST_F(RecordingTest, TheShelfGivesEachInOrder) {
  for (const char* answer : {"first", "second"}) {
    says({answer});
    record(chat_request("q"));
  }
  says({"third"});
  record(chat_request("other"));
  ReplayShelf shelf(recordings(), false);
  const auto choose = [&](const chat::Request& request) {
    const auto choice = shelf.choose(request);
    return std::pair(choice.number, choice.exact);
  };
  chat::Request q = chat_request("q");
  q.id = "another id";
  EXPECT_EQ(choose(q), std::pair(0, true));
  EXPECT_EQ(choose(q), std::pair(1, true));
  EXPECT_EQ(choose(q), std::pair(1, true)) << "the last again";
  q.max_tokens = 5;
  EXPECT_EQ(choose(q), std::pair(1, false)) << "other options";
  EXPECT_EQ(choose(chat_request("new")), std::pair(2, false)) << "the next";
  EXPECT_EQ(choose(chat_request("new")), std::pair(2, false)) << "and again";
  ReplayShelf strict(recordings(), true);
  EXPECT_EQ(strict.choose(chat_request("new")).number, -1);
  EXPECT_EQ(served(chat_request("new")), "none");
}

TEST(RecordingFile, WhatIsNoneIsAnError) {
  TempFolder folder;
  for (const char* text :
       {"{}", "[]", "3", "{\"recording\":2}", "{\"recording\":1,\"id\":3}"}) {
    const auto json = parse_json(text);
    ASSERT_TRUE(json);
    const auto recording = recording_from(*json);
    ASSERT_FALSE(recording) << text;
    EXPECT_EQ(recording.error().code, ErrorCode::corrupt);
  }
  const auto path = folder.write("a.json", "{\"recording\":");
  EXPECT_EQ(read_recordings(path).error().param, path.string());
  EXPECT_EQ(
      read_recordings(folder.path() / "no").error().code, ErrorCode::not_found);
  std::filesystem::create_directory(folder.path() / "empty");
  EXPECT_EQ(
      read_recordings(folder.path() / "empty").error().code,
      ErrorCode::not_found);
}

TEST_F(RecordingTest, WhatTheEngineCouldNotTakeIsAnError) {
  record(chat_request("x"));
  const Json good = to_json(recordings()[0]);
  const auto refused = [&](const char* pointer, const Json& value) {
    Json changed = good;
    changed[Json::json_pointer(pointer)] = value;
    return !recording_from(changed);
  };
  EXPECT_FALSE(refused("/id", "another"));
  EXPECT_TRUE(refused("/runs", Json::array()));
  EXPECT_TRUE(refused("/runs/0/n", 2));
  EXPECT_TRUE(refused("/runs/0/prompt", Json::array()));
  EXPECT_TRUE(refused("/runs/0/prompt/0", -1));
  EXPECT_TRUE(refused("/runs/0/prompt/0", 260));
  EXPECT_TRUE(refused("/runs/0/choices/0/tokens/0", 260));
  EXPECT_TRUE(refused("/runs/0/max_tokens", -1));
  EXPECT_TRUE(
      refused("/runs/0/prefilled/logprobs", {{nullptr, Json::array()}}));
  EXPECT_TRUE(refused("/runs/0/resume", {{"choice", 0}}));
  EXPECT_TRUE(refused("/model/vocabulary", 0));
  EXPECT_TRUE(refused("/text/x", "y"));
}

// Any bytes, anywhere: an error, or a recording that can be served.
TEST_F(RecordingTest, DamagedFilesDoNoHarm) {
  chat::Request request = chat_request("x");
  request.logprobs = 1;
  record(request);
  const std::string good = dump_json(to_json(recordings()[0]));
  std::mt19937 random(1);
  for (int i = 0; i < 3000; ++i) {
    std::string text = good;
    for (int flips = 1 + static_cast<int>(random() % 4); flips > 0; --flips) {
      text[random() % text.size()] = "0-\"[]{}:,azn."[random() % 13];
    }
    const auto json = parse_json(text);
    auto recording = json ? recording_from(*json) : Error{};
    if (recording) {
      std::ofstream(folder.path() / "r" / "000001.json") << text;
      EXPECT_NE(served(chat_request("y"), false), "");
    }
  }
}

}  // namespace
}  // namespace rapid
