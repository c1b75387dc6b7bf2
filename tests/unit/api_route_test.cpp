// The table, listings, health, and what run_request does with refusals.
#include <gtest/gtest.h>

#include "api_fakes.h"

namespace rapid {
namespace {

void nothing(
    const HttpRequest&, const std::shared_ptr<ResponseStream>&, ApiContext&) {}

TEST(RouteTable, FindsExactThenLongestPattern) {
  RouteTable table;
  table.add({.method = "GET", .path = "/a/*", .handler = nothing});
  table.add({.method = "GET", .path = "/a/b/*", .handler = nothing});
  table.add({.method = "POST", .path = "/a/b", .handler = nothing});
  EXPECT_EQ(table.find("GET", "/a/x/y").tail, "x/y");
  EXPECT_EQ(table.find("GET", "/a/b/c").tail, "c");
  EXPECT_EQ(table.find("GET", "/a/b").tail, "b");
  EXPECT_EQ(table.find("POST", "/a/b").route->path, "/a/b");
  EXPECT_EQ(table.find("HEAD", "/a/q").route->method, "GET");
  EXPECT_EQ(table.find("GET", "/a/").route, nullptr);
  EXPECT_TRUE(table.find("GET", "/b").allowed.empty());
  const auto wrong = table.find("PUT", "/a/b");
  EXPECT_EQ(wrong.route, nullptr);
  EXPECT_EQ(wrong.allowed, std::vector<std::string>{"POST"});
}

TEST(RouteTable, RefusesDuplicatesAndEmptyHandlers) {
  RouteTable table;
  table.add({.method = "GET", .path = "/a", .handler = nothing});
  EXPECT_THROW(
      table.add({.method = "GET", .path = "/a", .handler = nothing}),
      std::logic_error);
  EXPECT_THROW(table.add({.method = "GET", .path = "/b"}), std::logic_error);
}

TEST(Models, ListAndRetrieve) {
  Api api;
  const Json list = api.json(api.call("GET", "/v1/models"));
  EXPECT_EQ(list["object"], "list");
  EXPECT_EQ(list["data"][0]["id"], "tiny");
  EXPECT_EQ(list["data"][0]["max_model_len"], 2048);
  EXPECT_EQ(list["data"][0]["owned_by"], "rapid-mlx");
  for (const char* name : {"tiny", "org/tiny", "default"}) {
    const auto one = api.call("GET", std::string("/v1/models/") + name);
    EXPECT_EQ(api.json(one)["id"], "tiny") << name;
  }
  const auto other = api.call("GET", "/v1/models/other");
  EXPECT_EQ(other->status, 404);
  EXPECT_EQ(api.json(other)["error"]["code"], "model_not_found");
}

TEST(Models, TellFormatsAndLimits) {
  Api api;
  const auto model = [&] {
    return api.json(api.call("GET", "/v1/models/tiny"));
  };
  const Json plain = model();
  EXPECT_TRUE(plain["tool_call_parser"].is_null());
  EXPECT_TRUE(plain["reasoning_parser"].is_null());
  EXPECT_EQ(plain["capabilities"], Json({"completion", "chat"}));
  api.backend->card_.format = "hermes";
  api.backend->card_.format_why = "the chat template renders a call this way";
  api.backend->card_.reasoning = "qwen3";
  api.backend->card_.vocabulary = 300;
  const Json full = model();
  EXPECT_EQ(full["tool_call_parser"], "hermes");
  EXPECT_EQ(
      full["tool_call_parser_reason"],
      "the chat template renders a call this way");
  EXPECT_EQ(full["reasoning_parser"], "qwen3");
  EXPECT_EQ(full["context_window"], 2048);
  EXPECT_EQ(full["vocab_size"], 300);
  EXPECT_EQ(
      full["capabilities"], Json({"completion", "chat", "tools", "reasoning"}));
}

TEST(Health, TellsLoadingStuckAndFit) {
  Api api;
  EXPECT_EQ(api.call("GET", "/health")->status, 200);
  api.backend->stats_.last_progress_seconds = 100;
  EXPECT_EQ(api.call("GET", "/health")->status, 200) << "idle is not stuck";
  api.backend->stats_.running = 1;
  EXPECT_EQ(api.call("GET", "/health")->status, 503);
  api.backend->stats_.last_progress_seconds = 59;
  EXPECT_EQ(api.call("GET", "/health")->status, 200);
  api.context.set_backend(nullptr);
  EXPECT_EQ(api.call("GET", "/health")->status, 503);
}

TEST(Metrics, ArePrometheusText) {
  Api api;
  api.backend->stats_.generated_tokens = 41;
  api.backend->front_stats_.redecoded = 3;
  const auto reply = api.call("GET", "/metrics");
  EXPECT_EQ(reply->status, 200);
  const std::string& text = reply->body;
  EXPECT_NE(text.find("\nrapid_mlx_ready 1\n"), text.npos) << text;
  EXPECT_NE(text.find("\nrapid_mlx_generated_tokens_total 41\n"), text.npos);
  EXPECT_NE(text.find("\nrapid_mlx_calls_redecoded_total 3\n"), text.npos);
  EXPECT_NE(
      text.find("# TYPE rapid_mlx_calls_redecoded_total counter\n"), text.npos);
  api.context.set_backend(nullptr);
  EXPECT_EQ(api.call("GET", "/metrics")->status, 200) << "while loading, too";
}

TEST(Banner, NamesEveryEndpoint) {
  Api api;
  const auto reply = api.call("HEAD", "/");
  EXPECT_EQ(reply->status, 200);
  EXPECT_EQ(api.json(reply)["name"], "rapid-mlx");
  EXPECT_EQ(api.json(reply)["endpoints"].size(), api.table.routes().size());
}

TEST(Loading, WorkIsAskedToComeBack) {
  Api api;
  api.context.set_backend(nullptr);
  const auto reply = api.call("POST", "/v1/completions", R"({"prompt":"a"})");
  EXPECT_EQ(reply->status, 429);
  EXPECT_EQ(reply->headers.at("retry-after"), "1");
}

TEST(RunRequest, RefusalIsTheDialectsError) {
  Api api;
  api.backend->refusal = Error{
      ErrorCode::context_length,
      "the prompt has 9000 tokens",
      "shorten it",
      "messages"};
  for (const char* stream : {"true", "false"}) {
    const auto reply = api.call(
        "POST",
        "/v1/completions",
        std::string(R"({"prompt":"a","stream":)") + stream + "}");
    EXPECT_EQ(reply->status, 400);
    EXPECT_EQ(
        reply->body,
        R"({"error":{"message":"the prompt has 9000 tokens. Shorten it",)"
        R"("type":"invalid_request_error","code":"context_length_exceeded",)"
        R"("param":"messages"}})");
    EXPECT_FALSE(reply->disconnect);
  }
}

TEST(RunRequest, CancelsWhenTheClientLeaves) {
  Api api;
  const auto reply = api.call("POST", "/v1/completions", R"({"prompt":"a"})");
  ASSERT_TRUE(reply->disconnect);
  EXPECT_TRUE(api.backend->cancelled.empty());
  reply->disconnect();
  EXPECT_EQ(api.backend->cancelled, std::vector<Ticket>{7});
}

TEST(Errors, StatusOfEveryCode) {
  EXPECT_EQ(http_status(ErrorCode::invalid_argument), 400);
  EXPECT_EQ(http_status(ErrorCode::not_found), 404);
  EXPECT_EQ(http_status(ErrorCode::unauthorized), 401);
  EXPECT_EQ(http_status(ErrorCode::too_large), 413);
  EXPECT_EQ(http_status(ErrorCode::context_length), 400);
  EXPECT_EQ(http_status(ErrorCode::unsupported), 400);
  EXPECT_EQ(http_status(ErrorCode::busy), 429);
  EXPECT_EQ(http_status(ErrorCode::internal), 500);
}

}  // namespace
}  // namespace rapid
