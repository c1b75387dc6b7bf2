#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agents/registry.h"
#include "bench/report_html.h"
#include "bench/served_bench.h"
#include "unit/tiny_http.h"

namespace rapid {
namespace {

using test::TinyHttp;
using testing::HasSubstr;

std::string http(const std::string& body, const char* status = "200 OK") {
  return std::string("HTTP/1.1 ") + status +
         "\r\ncontent-type: text/event-stream\r\ncontent-length: " +
         std::to_string(body.size()) + "\r\nconnection: close\r\n\r\n" + body;
}

std::string chunk(const Json& delta, const Json& finish = nullptr) {
  return "data: " +
         dump_json(
             {{"choices",
               Json::array({{{"delta", delta}, {"finish_reason", finish}}})}}) +
         "\n\n";
}

std::string call_of(const char* name, const char* arguments) {
  return chunk(
             {{"tool_calls",
               Json::array(
                   {{{"index", 0},
                     {"id", "c1"},
                     {"function", {{"name", name}, {"arguments", ""}}}}})}}) +
         chunk(
             {{"tool_calls",
               Json::array(
                   {{{"index", 0},
                     {"function", {{"arguments", arguments}}}}})}}) +
         chunk(Json::object(), "tool_calls") + "data: [DONE]\n\n";
}

constexpr const char* kUsage =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,"
    "\"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_tokens\":4}}}"
    "\n\ndata: [DONE]\n\n";

TEST(ChatStream, IsTheSameHoweverItIsCut) {
  const std::string body = ": keep-alive\n\n" + chunk({{"role", "assistant"}}) +
                           chunk({{"content", "Hel"}}) +
                           chunk({{"content", "lo"}}, "stop") + kUsage;
  for (const size_t step : {size_t{1}, size_t{7}, body.size()}) {
    ChatStream stream(0);
    for (size_t end = step; end < body.size() + step; end += step) {
      stream.feed(std::string_view(body).substr(0, end), 1);
    }
    const ServedAnswer answer = std::move(stream).finish(2);
    EXPECT_EQ(answer.content, "Hello");
    EXPECT_EQ(answer.chunks, 2);
    EXPECT_EQ(answer.finish_reason, "stop");
    EXPECT_EQ(answer.cached_tokens, 4);
    EXPECT_EQ(answer.completion_tokens, 2);
    EXPECT_EQ(answer.ttft_seconds, 1);
  }
}

TEST(ServedBench, MeasuresAServer) {
  TinyHttp server([&](const std::string&) {
    return http(
        chunk({{"content", "a"}}) + chunk({{"content", "b"}}, "length") +
        kUsage);
  });
  int restarts = 0;
  TrialOptions options{.prompts = {8, 16}, .generate = 2, .runs = 2};
  options.restart = [&] {
    ++restarts;
    return Status();
  };
  const auto speeds = served_speed({.url = server.url("/v1/")}, options);
  ASSERT_TRUE(speeds) << speeds.error().what;
  ASSERT_EQ(speeds->size(), 2u);
  EXPECT_EQ(restarts, 2);
  EXPECT_EQ((*speeds)[1].prompt_tokens, 9);
  EXPECT_GT((*speeds)[0].cold_ttft_seconds, 0);
  EXPECT_TRUE((*speeds)[0].restart_ttft_seconds);
  // A warm-up and two runs of two requests, one after the restart.
  EXPECT_EQ(server.requests().size(), 2u * 7);
  EXPECT_THAT(server.requests()[0], HasSubstr("POST /v1/chat/completions"));
  EXPECT_THAT(server.requests()[0], HasSubstr("\"stream\":true"));
}

TEST(ServedBench, CountsRightCalls) {
  TinyHttp server([&](const std::string& request) {
    if (request.find("Paris") != std::string::npos) {
      return http(call_of("get_weather", "{\"city\": \"Paris\"}"));
    }
    if (request.find("Tokyo") != std::string::npos) {
      return http(call_of("get_weather", "{\"city\": \"Kyoto\"}"));
    }
    if (request.find("git status") != std::string::npos) {
      return http("{\"error\": \"no\"}", "500 Internal Server Error");
    }
    if (request.find("Dentist") != std::string::npos) {
      return http(call_of("set_timer", "{\"minutes\": 10"));
    }
    return http(chunk({{"content", "I would rather talk."}}, "stop"));
  });
  const auto score = tool_score({.url = server.url()}, 1, {});
  ASSERT_TRUE(score) << score.error().what;
  EXPECT_EQ(score->asked, 12);
  EXPECT_EQ(score->called, 3);
  EXPECT_EQ(score->right_name, 2);
  EXPECT_EQ(score->valid, 2);
  EXPECT_EQ(score->right, 1);
  EXPECT_EQ(score->failed, 1);
  EXPECT_EQ(score->quiet, 2);
  EXPECT_EQ(score->wrong.size(), 11u);
  EXPECT_EQ(to_json(*score)["success_percent"], 8.3);
}

TEST(ServedBench, TalksAsAnAgentDoes) {
  const auto agent = AgentRegistry::global().find("hermes");
  ASSERT_TRUE(agent);
  const AgentTraffic traffic = (*agent)->traffic(13000);
  EXPECT_EQ(traffic.request["tools"].size(), 16u);
  // About four letters a token.
  const size_t letters =
      dump_json(traffic.request).size() + traffic.system.size();
  EXPECT_GT(letters, 40000u);
  EXPECT_LT(letters, 80000u);
  int asked = 0;
  TinyHttp server([&](const std::string&) {
    ++asked;
    return asked == 2 ? http(call_of("no_such_tool", "{}"))
           : asked % 2 == 0
               ? http(call_of("terminal", "{\"b\": 1, \"a\": 2}"))
               : http(chunk({{"content", "Done."}}, "stop") + kUsage);
  });
  const auto score = talk_score({.url = server.url()}, traffic, 6, 32, {});
  ASSERT_TRUE(score) << score.error().what;
  EXPECT_EQ(score->turns, 6);
  EXPECT_EQ(score->calls, 3);
  EXPECT_EQ(score->broken_calls, 1);
  EXPECT_FALSE(score->stable());
  EXPECT_EQ(score->cached_tokens, 3 * 4);
  // The history holds the call with its keys in order, and its result.
  const std::string last = server.requests().back();
  EXPECT_THAT(last, HasSubstr("{\\\"a\\\":2,\\\"b\\\":1}"));
  EXPECT_THAT(last, HasSubstr("\"tool_call_id\":\"c1\""));
  EXPECT_THAT(last, HasSubstr("\"max_tokens\":32"));
}

TEST(ServedBench, SaysWhatAServerSays) {
  TinyHttp refuses(
      [](const std::string&) { return http("too long", "400 Bad Request"); });
  const auto answer = ask({.url = refuses.url()}, Json::object());
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().what, HasSubstr("400: too long"));
  TinyHttp other([](const std::string&) { return http("<html>"); });
  EXPECT_EQ(
      ask({.url = other.url()}, Json::object()).error().code,
      ErrorCode::corrupt);
}

TEST(ReportHtml, IsOnePageWithoutTheNetwork) {
  const std::string page = report_html(
      {{"model", "<a>&\"b\""},
       {"points",
        Json::array(
            {{{"prompt", 128},
              {"batch", 1},
              {"prefill_tps", 500.0},
              {"decode_tps", nullptr},
              {"ttft_ms", 12.5}}})},
       {"servers",
        Json::array(
            {{{"name", "ours"},
              {"speed",
               Json::array(
                   {{{"words", 100},
                     {"cold_ttft_ms", 50.0},
                     {"warm_ttft_ms", 5.0},
                     {"restart_ttft_ms", nullptr},
                     {"decode_tps", 10.0}}})},
              {"tools", {{"success_percent", 91.7}}}}})}});
  EXPECT_THAT(page, HasSubstr("&lt;a&gt;&amp;&quot;b&quot;"));
  EXPECT_THAT(page, HasSubstr("500.0 tok/s"));
  EXPECT_THAT(page, HasSubstr("91.7 %"));
  EXPECT_THAT(page, HasSubstr("ours, 100 words, again"));
  EXPECT_EQ(page.find("http"), std::string::npos);
  EXPECT_EQ(page.find("<script"), std::string::npos);
  EXPECT_THAT(report_html(Json::object()), HasSubstr("</html>"));
}

}  // namespace
}  // namespace rapid
