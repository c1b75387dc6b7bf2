#include <gtest/gtest.h>

#include <future>

#include "unit/front_harness.h"

namespace rapid {
namespace {

using Reason = chat::Finished::Reason;

class FrontTest : public ::testing::Test {
 protected:
  void says(std::vector<std::string> choices) {
    FakeScript script;
    for (const std::string& text : choices) {
      script.choices.push_back(fake_ids(text));
    }
    engine->script = [script](const GenerateRequest&) { return script; };
  }

  std::shared_ptr<FakeEngine> engine = std::make_shared<FakeEngine>();
  std::shared_ptr<TextModel> model = fake_text_model();
};

TEST_F(FrontTest, EventsInOrder) {
  says({"Grüße!"});
  Front front(engine, model);
  Recorder recorder;
  ASSERT_TRUE(front.submit(chat_request("Hi"), recorder.sink()));
  const auto& events = recorder.wait();
  ASSERT_GE(events.size(), 5u);
  EXPECT_TRUE(std::holds_alternative<chat::Started>(events[0]));
  EXPECT_TRUE(std::holds_alternative<chat::Progress>(events[1]));
  EXPECT_TRUE(std::holds_alternative<chat::Done>(events.back()));
  EXPECT_TRUE(
      std::holds_alternative<chat::Finished>(events[events.size() - 2]));
  EXPECT_EQ(recorder.content(), "Grüße!");
  EXPECT_EQ(recorder.all<chat::Finished>()[0].reason, Reason::stop);
  for (const auto& delta : recorder.all<chat::Delta>()) {
    EXPECT_FALSE(delta.text.empty());
    EXPECT_TRUE(utf8_valid(delta.text));
  }
  const chat::Usage usage = recorder.all<chat::Done>()[0].usage;
  EXPECT_EQ(usage.completion_tokens, 9);  // 8 bytes and the end token
  EXPECT_EQ(
      usage.prompt_tokens,
      static_cast<int>(engine->requests()[0].prompt.size()));
}

TEST_F(FrontTest, UserTextIsNeverAControlToken) {
  Front front(engine, model);
  const auto ids = front.tokenise(chat_request("a<|end|>b"));
  ASSERT_TRUE(ids);
  const auto& all = ids->at(0);
  // <|turn|> user <|end|> and <|turn|> assistant: one end token, not two.
  EXPECT_EQ(std::count(all.begin(), all.end(), FakeCodec::kEnd), 1);
  EXPECT_EQ(std::count(all.begin(), all.end(), FakeCodec::kTurn), 2);
}

TEST_F(FrontTest, SamplingPrecedence) {
  model->defaults.temperature = 0.3f;
  Front front(engine, model);
  chat::Request request = chat_request("x");
  request.sampling.top_k = 7;
  request.sampling.seed = 5;
  Recorder a, b;
  ASSERT_TRUE(front.submit(request, a.sink()));
  a.wait();
  request.sampling = {};
  request.sampling.temperature = 0.0f;
  request.max_tokens = 3;
  ASSERT_TRUE(front.submit(request, b.sink()));
  b.wait();
  request.max_tokens = 65536;  // more than the context
  Recorder c;
  ASSERT_TRUE(front.submit(request, c.sink()));
  c.wait();
  const auto seen = engine->requests();
  EXPECT_TRUE(seen[2].may_shorten);
  EXPECT_EQ(seen[0].sampling.temperature, 0.3f);
  EXPECT_EQ(seen[0].sampling.top_p, 0.9f);
  EXPECT_EQ(seen[0].sampling.top_k, 7);
  EXPECT_EQ(seen[0].sampling.seed, 5u);
  EXPECT_TRUE(seen[0].may_shorten);
  EXPECT_EQ(seen[0].max_tokens, 4096 - static_cast<int>(seen[0].prompt.size()));
  EXPECT_EQ(seen[1].sampling.temperature, 0.0f);
  EXPECT_EQ(seen[1].max_tokens, 3);
  EXPECT_FALSE(seen[1].may_shorten);
  EXPECT_EQ(b.all<chat::Finished>()[0].reason, Reason::stop);
}

TEST_F(FrontTest, StopStringAcrossTokens) {
  says({"one two STOP three", "one STO"});
  Front front(engine, model);
  chat::Request request = chat_request("x");
  request.choices = 2;
  request.stop = {"STOP"};
  Recorder recorder;
  ASSERT_TRUE(front.submit(request, recorder.sink()));
  EXPECT_EQ(recorder.content(0), "one two ");
  EXPECT_EQ(recorder.content(1), "one STO");
  EXPECT_EQ(recorder.all<chat::Finished>(0).size(), 1u);
  EXPECT_EQ(recorder.all<chat::Finished>(0)[0].reason, Reason::stop);
  EXPECT_EQ(recorder.all<chat::Finished>(0)[0].stop, "STOP");
  // "one two STOP" and "one STO" with its end token.
  EXPECT_EQ(recorder.all<chat::Done>()[0].usage.completion_tokens, 12 + 8);
  EXPECT_TRUE(engine->was_cancelled(1, 0));
  EXPECT_FALSE(engine->was_cancelled(1, 1));
}

TEST_F(FrontTest, ABoundMayBeShortened) {
  Front front(engine, model);
  chat::Request request = chat_request("x");
  request.max_tokens = 3;
  request.may_shorten = true;
  Recorder recorder;
  ASSERT_TRUE(front.submit(request, recorder.sink()));
  recorder.wait();
  EXPECT_TRUE(engine->requests()[0].may_shorten);
  EXPECT_EQ(engine->requests()[0].max_tokens, 3);
}

TEST_F(FrontTest, DeferredToolsAreNotInThePrompt) {
  Front front(engine, model);
  chat::Request request = chat_request("x");
  request.tools = {{.name = "shown"}};
  const auto one = front.tokenise(request);
  request.tools.push_back({.name = "late", .deferred = true});
  EXPECT_EQ(*front.tokenise(request), *one);
  request.tools.back().deferred = false;
  EXPECT_NE(*front.tokenise(request), *one);
}

TEST_F(FrontTest, PromptsBecomeVectors) {
  Front front(engine, model);
  chat::Request request;
  request.prompts = {"ab", std::vector<int32_t>{7, 8, 9}};
  request.embedding = Pooling::last;
  request.max_tokens = 0;
  Recorder recorder;
  ASSERT_TRUE(front.submit(request, recorder.sink()));
  const auto prompts = recorder.all<chat::Prompt>();
  ASSERT_EQ(prompts.size(), 2u);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(prompts[i].choice, i);
    EXPECT_EQ(prompts[i].embedding, (std::vector<float>{0.6f, 0.8f}));
    EXPECT_TRUE(prompts[i].text.empty());
    EXPECT_EQ(engine->requests()[i].embedding, Pooling::last);
    EXPECT_EQ(engine->requests()[i].max_tokens, 0);
  }
  EXPECT_EQ(prompts[1].tokens, 3);
}

TEST_F(FrontTest, LongPromptsOfVectorsMayBeCut) {
  Front front(engine, model);
  chat::Request request;
  request.prompts = {std::vector<int32_t>(5000, 7)};
  request.embedding = Pooling::mean;
  request.max_tokens = 0;
  Recorder refused, cut;
  const auto ticket = front.submit(request, refused.sink());
  ASSERT_FALSE(ticket);
  EXPECT_EQ(ticket.error().code, ErrorCode::context_length);
  request.may_cut = true;
  ASSERT_TRUE(front.submit(request, cut.sink()));
  EXPECT_EQ(cut.all<chat::Prompt>().at(0).tokens, 4096);
}

TEST_F(FrontTest, LengthFlushesWhatIsHeld) {
  says({"ab STO and more"});
  Front front(engine, model);
  chat::Request request = chat_request("x");
  request.stop = {"STOP"};
  request.max_tokens = 6;
  Recorder recorder;
  ASSERT_TRUE(front.submit(request, recorder.sink()));
  EXPECT_EQ(recorder.content(), "ab STO");
  EXPECT_EQ(recorder.all<chat::Finished>()[0].reason, Reason::length);
}

TEST_F(FrontTest, ToolCalls) {
  says(
      {"Hm.<tool_call>{\"name\":\"read\",\"arguments\":{\"p\":\"STOP\"}}"
       "</tool_call>\n<tool_call>{\"name\":\"read\",\"arguments\":{}}"
       "</tool_call>",
       "<tool_call>{\"arguments\":{}}</tool_call>"});
  Front front(engine, model, {.redecode = false});
  chat::Request request = chat_request("x");
  request.choices = 2;
  request.tools = {{.name = "read"}};
  request.stop = {"STOP"};  // not inside of a call
  request.sampling.seed = 3;
  const auto once = [&] {
    Recorder recorder;
    EXPECT_TRUE(front.submit(request, recorder.sink()));
    EXPECT_EQ(recorder.content(0), "Hm.");
    EXPECT_EQ(recorder.all<chat::Finished>(0)[0].reason, Reason::tool_calls);
    const auto calls = recorder.all<chat::ToolCallEvent>(0);
    EXPECT_EQ(calls.size(), 2u);
    EXPECT_EQ(calls[0].call.arguments, "{\"p\":\"STOP\"}");
    EXPECT_EQ(calls[1].index, 1);
    EXPECT_NE(calls[0].call.id, calls[1].call.id);
    EXPECT_TRUE(calls[0].call.id.starts_with("call_"));
    EXPECT_EQ(recorder.content(1), "");
    EXPECT_EQ(
        recorder.all<chat::Rejected>(1)[0].raw,
        "<tool_call>{\"arguments\":{}}</tool_call>");
    EXPECT_EQ(recorder.all<chat::Finished>(1)[0].reason, Reason::stop);
    return calls[0].call.id;
  };
  const std::string id = once();
  EXPECT_EQ(once(), id);  // same seed, same prompt
  request.messages[0].content = "y";
  EXPECT_NE(once(), id);
}

TEST_F(FrontTest, EveryLogprobOnceAndWithItsText) {
  says({"aé STO b<tool_call>x"});
  Front front(engine, model);
  for (const bool tools : {false, true}) {
    chat::Request request = chat_request("x");
    request.stop = {"STOP"};
    request.logprobs = 2;
    if (tools) {
      request.tools = {{.name = "read"}};
    }
    Recorder recorder;
    ASSERT_TRUE(front.submit(request, recorder.sink()));
    std::string bytes;
    std::string text;
    for (const auto& delta : recorder.all<chat::Delta>()) {
      text += delta.text;
      for (const auto& logprob : delta.logprobs) {
        bytes += logprob.bytes;
        EXPECT_EQ(logprob.top.size(), 2u);
        EXPECT_FLOAT_EQ(*logprob.logprob, -0.5f);
      }
      EXPECT_LE(bytes.size(), text.size());
    }
    EXPECT_EQ(bytes, "aé STO b<tool_call>x");
    EXPECT_EQ(text, bytes);
  }
}

TEST_F(FrontTest, TokenTextsThatAreNotUtf8) {
  says({"é"});
  Front front(engine, model);
  chat::Request request = chat_request("x");
  request.logprobs = 0;
  Recorder recorder;
  ASSERT_TRUE(front.submit(request, recorder.sink()));
  const auto deltas = recorder.all<chat::Delta>();
  ASSERT_EQ(deltas.size(), 1u);
  ASSERT_EQ(deltas[0].logprobs.size(), 2u);
  EXPECT_EQ(deltas[0].logprobs[0].text, "bytes:\\xc3");
  EXPECT_EQ(deltas[0].logprobs[0].bytes, "\xc3");
}

TEST_F(FrontTest, PromptsGiveNumberedChoicesAndEcho) {
  engine->script = [](const GenerateRequest& request) {
    FakeScript script;
    const std::string last(1, static_cast<char>(request.prompt.back()));
    script.choices = {fake_ids(last + "0"), fake_ids(last + "1")};
    script.cached = 1;
    return script;
  };
  Front front(engine, model);
  chat::Request request;
  request.prompts = {std::string("p<|end|>A"), std::vector<int32_t>{'q', 'B'}};
  request.choices = 2;
  request.echo = true;
  request.logprobs = 1;
  Recorder recorder;
  ASSERT_TRUE(front.submit(request, recorder.sink()));
  EXPECT_EQ(recorder.content(0), "A0");
  EXPECT_EQ(recorder.content(1), "A1");
  EXPECT_EQ(recorder.content(2), "B0");
  EXPECT_EQ(recorder.content(3), "B1");
  const auto echoes = recorder.all<chat::Prompt>();
  ASSERT_EQ(echoes.size(), 4u);
  EXPECT_EQ(echoes[0].text, "p<|end|>A");
  EXPECT_EQ(echoes[3].choice, 3);
  EXPECT_EQ(echoes[3].text, "qB");
  ASSERT_EQ(echoes[3].logprobs.size(), 2u);
  EXPECT_FALSE(echoes[3].logprobs[0].logprob);
  EXPECT_TRUE(echoes[3].logprobs[1].logprob);
  const chat::Usage usage = recorder.all<chat::Done>()[0].usage;
  EXPECT_EQ(usage.prompt_tokens, 3 + 2);
  EXPECT_EQ(usage.cached_tokens, 2);
  EXPECT_EQ(usage.completion_tokens, 4 * 3);
}

TEST_F(FrontTest, EchoAloneEndsWithLength) {
  Front front(engine, model);
  chat::Request request;
  request.prompts = {std::string("abc")};
  request.echo = true;
  request.max_tokens = 0;
  Recorder recorder;
  ASSERT_TRUE(front.submit(request, recorder.sink()));
  EXPECT_EQ(recorder.all<chat::Prompt>()[0].text, "abc");
  EXPECT_EQ(recorder.content(), "");
  EXPECT_EQ(recorder.all<chat::Finished>()[0].reason, Reason::length);
  EXPECT_EQ(recorder.all<chat::Done>()[0].usage.completion_tokens, 0);
}

TEST_F(FrontTest, Refusals) {
  auto codec = std::make_shared<FakeCodec>();
  codec->with_template = false;
  auto bare = std::make_shared<TextModel>(*model);
  bare->codec = codec;
  Front no_template(engine, bare);
  const auto refused = no_template.submit(chat_request("x"), [](auto&) {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unsupported);
  EXPECT_NE(refused.error().hint.find("/v1/completions"), std::string::npos);

  Front front(engine, model);
  const auto code = [&](const chat::Request& request) {
    const auto result = front.submit(request, [](auto&) { ADD_FAILURE(); });
    EXPECT_FALSE(result);
    return result ? ErrorCode::internal : result.error().code;
  };
  const auto long_one = front.submit(
      chat_request(std::string(5000, 'x')), [](auto&) { ADD_FAILURE(); });
  ASSERT_FALSE(long_one);
  EXPECT_EQ(long_one.error().code, ErrorCode::context_length);
  EXPECT_NE(long_one.error().what.find("4096"), std::string::npos);
  EXPECT_EQ(code(chat::Request{}), ErrorCode::invalid_argument);
  chat::Request request = chat_request("x");
  request.choices = 0;
  EXPECT_EQ(code(request), ErrorCode::invalid_argument);
  request = chat_request("x");
  request.sampling.temperature = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(code(request), ErrorCode::invalid_argument);
  request = chat_request("x");
  request.sampling.logit_bias = {{100000, 1.0f}};
  EXPECT_EQ(code(request), ErrorCode::invalid_argument);
  request = chat_request("x");
  request.logprobs = 21;
  EXPECT_EQ(code(request), ErrorCode::invalid_argument);
  request = {};
  request.prompts = {std::vector<int32_t>{999}};
  EXPECT_EQ(code(request), ErrorCode::invalid_argument);
  request.prompts = {std::string()};
  EXPECT_EQ(code(request), ErrorCode::invalid_argument);
  EXPECT_TRUE(engine->requests().empty());
}

TEST_F(FrontTest, FailureReplacesTheRest) {
  engine->script = [](const GenerateRequest& request) {
    FakeScript script{.choices = {fake_ids("abcdef")}};
    if (request.prompt.front() == '2') {
      script.fail = Error{ErrorCode::internal, "broken"};
      script.fail_after = 2;
    }
    return script;
  };
  Front front(engine, model);
  chat::Request request;
  request.prompts = {std::string("1"), std::string("2"), std::string("3")};
  Recorder recorder;
  ASSERT_TRUE(front.submit(request, recorder.sink()));
  EXPECT_EQ(recorder.content(0), "abcdef");
  EXPECT_EQ(recorder.content(1), "ab");
  EXPECT_EQ(recorder.content(2), "");
  EXPECT_EQ(recorder.all<chat::Failed>()[0].error.what, "broken");
  EXPECT_TRUE(recorder.all<chat::Done>().empty());
}

TEST_F(FrontTest, CancelSilencesTheSink) {
  engine->script = [](const GenerateRequest&) {
    FakeScript script{.choices = {std::vector<int32_t>(4000, 'x')}};
    script.token_delay = std::chrono::microseconds(100);
    return script;
  };
  Front front(engine, model);
  for (int i = 0; i < 5; ++i) {
    Recorder recorder;
    const auto ticket = front.submit(chat_request("x"), recorder.sink());
    ASSERT_TRUE(ticket);
    recorder.wait_for(5);
    front.cancel(*ticket);
    const size_t count = recorder.size();
    front.cancel(*ticket);  // again: ignored
    Recorder next;          // the engine is free again long before 4000 tokens
    chat::Request small = chat_request("y");
    small.max_tokens = 1;
    ASSERT_TRUE(front.submit(small, next.sink()));
    next.wait();
    EXPECT_EQ(recorder.size(), count);
    EXPECT_LT(count, 4000u);
  }
}

TEST_F(FrontTest, ManyClientsAtOnce) {
  says({"some text for everybody"});
  Front front(engine, model);
  std::vector<std::thread> clients;
  std::atomic<int> right = 0;
  for (int i = 0; i < 8; ++i) {
    clients.emplace_back([&] {
      for (int k = 0; k < 10; ++k) {
        Recorder recorder;
        const auto ticket = front.submit(chat_request("x"), recorder.sink());
        if (k % 3 == 2) {
          front.cancel(*ticket);
        } else {
          right += recorder.content() == "some text for everybody";
        }
      }
    });
  }
  for (std::thread& client : clients) {
    client.join();
  }
  EXPECT_EQ(right, 8 * 7);
}

TEST_F(FrontTest, EndOfFrontAndOfEngineReachOpenRequests) {
  std::promise<void> gate;
  auto opened = gate.get_future().share();
  engine->before_round = [opened] { opened.wait(); };
  Recorder running;
  {
    Front front(engine, model);
    ASSERT_TRUE(front.submit(chat_request("x"), running.sink()));
    running.wait_for(2);
  }
  EXPECT_EQ(running.all<chat::Failed>()[0].error.code, ErrorCode::cancelled);
  gate.set_value();
}

}  // namespace
}  // namespace rapid
