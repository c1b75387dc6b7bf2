// The table, listings, health, and what run_request does with refusals.
#include <gtest/gtest.h>

#include <set>

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

TEST(RouteTable, OneOpenSegment) {
  RouteTable table;
  table.add({.method = "GET", .path = "/a/{id}", .handler = nothing});
  table.add({.method = "POST", .path = "/a/{id}/stop", .handler = nothing});
  table.add({.method = "POST", .path = "/a/all", .handler = nothing});
  EXPECT_EQ(table.find("GET", "/a/x").tail, "x");
  EXPECT_EQ(table.find("POST", "/a/x/stop").tail, "x");
  EXPECT_EQ(table.find("POST", "/a/all").route->path, "/a/all");
  EXPECT_EQ(table.find("GET", "/a/all").tail, "all");
  for (const char* path : {"/a/", "/a", "/a/x/y", "/a//stop", "/a/x/y/stop"}) {
    EXPECT_EQ(table.find("GET", path).route, nullptr) << path;
    EXPECT_EQ(table.find("POST", path).route, nullptr) << path;
  }
  EXPECT_EQ(
      table.find("PUT", "/a/x").allowed,
      (std::vector<std::string>{"GET", "HEAD"}));
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
  api.backend->stats_.trouble = "no such file";
  const auto down = api.call("GET", "/health");
  EXPECT_EQ(down->status, 503);
  EXPECT_NE(down->body.find("no such file"), std::string::npos);
  api.context.set_backend(nullptr);
  EXPECT_EQ(api.call("GET", "/health")->status, 503);
}

TEST(Metrics, ArePrometheusText) {
  Api api;
  api.backend->stats_.generated_tokens = 41;
  api.backend->front_stats_.redecoded = 3;
  api.backend->stats_.restarts = 7;
  const auto reply = api.call("GET", "/metrics");
  EXPECT_EQ(reply->status, 200);
  const std::string& text = reply->body;
  EXPECT_NE(text.find("\nrapid_mlx_ready 1\n"), text.npos) << text;
  EXPECT_NE(text.find("\nrapid_mlx_generated_tokens_total 41\n"), text.npos);
  EXPECT_NE(text.find("\nrapid_mlx_worker_restarts_total 7\n"), text.npos);
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
  for (const Route& route : api.table.routes()) {
    EXPECT_NE(reply->body.find(" " + route.path + " "), std::string::npos)
        << route.path;
  }
}

TEST(OpenApi, IsTheRouteTable) {
  Api api;
  const Json document = api.json(api.call("GET", "/openapi.json"));
  EXPECT_EQ(document["openapi"], "3.1.0");
  size_t operations = 0;
  std::set<std::string> ids;
  for (const auto& [path, methods] : document["paths"].items()) {
    EXPECT_EQ(path.find('*'), std::string::npos);
    for (const auto& [method, operation] : methods.items()) {
      ++operations;
      ids.insert(operation["operationId"]);
      EXPECT_NE(operation["summary"], "") << path;
      int in_path = 0;
      for (const Json& each : operation.value("parameters", Json::array())) {
        in_path += each["in"] == "path" ? 1 : 0;
      }
      EXPECT_EQ(in_path, path.find('{') != std::string::npos ? 1 : 0) << path;
      const bool json = operation["responses"]["200"].contains("content");
      const bool bare =  // text, files, or nothing at all
          path == "/" || path == "/metrics" || path == "/api/delete" ||
          path == "/ui/{name}";
      EXPECT_NE(json, bare) << path;
      EXPECT_TRUE(operation["responses"]["default"].contains("content"));
    }
  }
  EXPECT_EQ(operations, api.table.routes().size());
  EXPECT_EQ(ids.size(), operations) << "each has its own name";
  const Json& chat = document["paths"]["/v1/chat/completions"]["post"];
  const Json& body =
      chat["requestBody"]["content"]["application/json"]["schema"];
  EXPECT_EQ(body["required"], Json::array({"messages"}));
  EXPECT_EQ(body["properties"]["messages"]["type"], "array");
  EXPECT_EQ(chat["security"].size(), 2u);
  EXPECT_TRUE(document["paths"]["/health"]["get"]["security"].empty());
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

TEST(RunRequest, AStreamBeginsWhileItWaitsForItsModel) {
  Api api;
  api.backend->script = [](const chat::Request&, const ChatSink& sink) {
    sink(chat::Progress{.waiting_for = "loading tiny"});
  };
  const auto whole = api.call("POST", "/v1/completions", R"({"prompt":"a"})");
  EXPECT_FALSE(whole->started);
  EXPECT_EQ(whole->status, 0);
  const auto events =
      api.call("POST", "/v1/completions", R"({"prompt":"a","stream":true})");
  EXPECT_TRUE(events->started);
  EXPECT_EQ(events->notes, std::vector<std::string>{"loading tiny"});
  EXPECT_TRUE(events->events.empty());
}

TEST(Backends, TheOnlyOneIsFoundByItsNames) {
  Api api;
  for (const char* name : {"", "default", "tiny", "org/tiny"}) {
    EXPECT_TRUE(backend_for(api.context, name)) << name;
  }
  const auto other = backend_for(api.context, "other");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::not_found);
  EXPECT_EQ(other.error().hint, "use \"tiny\" or \"default\"");
  api.context.set_backend(nullptr);
  EXPECT_EQ(backend_for(api.context, "").error().code, ErrorCode::busy);
}

TEST(Backends, AnAdapterIsAModelToo) {
  Api api;
  api.backend->card_.adapters = {"sql", "law"};
  for (const char* name : {"tiny:sql", "org/tiny:sql", "default:sql"}) {
    const auto found = backend_for(api.context, name);
    ASSERT_TRUE(found) << name;
    EXPECT_EQ((*found)->card().id(), "tiny:sql");
    EXPECT_TRUE((*found)->submit({}, {}));
    EXPECT_EQ(api.backend->requests.back().adapter, "sql");
  }
  chat::Request both;
  both.adapter = "law";
  const auto named = backend_for(api.context, "tiny:sql");
  EXPECT_EQ((*named)->submit(both, {}).error().param, "adapter");
  const auto other = backend_for(api.context, "tiny:tax");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::not_found);
  EXPECT_EQ(other.error().param, "model");
  EXPECT_NE(other.error().hint.find("law"), std::string::npos);
  EXPECT_EQ(status_for(api.context, "tiny:law")->card.parent, "tiny");
  EXPECT_EQ(status_for(api.context, "tiny:tax").error().param, "model");
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
