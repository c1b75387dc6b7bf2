// The page at /, its files, and what its dashboard and model page read.
#include <gtest/gtest.h>

#include "api/activity.h"
#include "api/recipe.h"
#include "api/web_asset.h"
#include "api_fakes.h"
#include "scoped_env.h"
#include "temp_folder.h"

namespace rapid {
namespace {

constexpr WebAsset kScript = {
    "app-1.js", "text/javascript", "\"abc\"", "plain", "zipped", "brotli"};

FakeStream send(std::map<std::string, std::string> headers) {
  FakeStream stream;
  send_web_asset(kScript, HttpRequest{.headers = std::move(headers)}, stream);
  return stream;
}

TEST(WebAssets, GoOutInACodingThatTheClientTakes) {
  EXPECT_EQ(send({}).body, "plain");
  EXPECT_EQ(send({{"accept-encoding", "gzip, deflate, br"}}).body, "brotli");
  EXPECT_EQ(send({{"accept-encoding", "gzip;q=0.5, br;q=0"}}).body, "zipped");
  EXPECT_EQ(send({{"accept-encoding", "brr, gzipped"}}).body, "plain");
  auto zipped = send({{"accept-encoding", "gzip"}});
  EXPECT_EQ(zipped.headers["content-encoding"], "gzip");
  EXPECT_EQ(zipped.headers["etag"], "\"abc\"");
  EXPECT_NE(
      zipped.headers["cache-control"].find("immutable"), std::string::npos);
  const auto known = send({{"if-none-match", "W/\"x\", \"abc\""}});
  EXPECT_EQ(known.status, 304);
  EXPECT_EQ(known.body, "");
}

TEST(WebAssets, KeepForeignScriptsAndFramesOut) {
  auto sent = send({});
  const std::string& policy = sent.headers["content-security-policy"];
  for (const char* part :
       {"default-src 'none'",
        "script-src 'self';",
        "style-src 'self';",
        "connect-src 'self';",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'"}) {
    EXPECT_NE(policy.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(policy.find("unsafe"), std::string::npos);
  EXPECT_EQ(policy.find("http"), std::string::npos);
  EXPECT_EQ(sent.headers["x-content-type-options"], "nosniff");
}

TEST(WebAssets, APageIsForWhoAsksForOne) {
  EXPECT_TRUE(wants_page(
      {.headers = {{"accept", "text/html,application/xhtml+xml,*/*;q=0.8"}}}));
  EXPECT_FALSE(wants_page({.headers = {{"accept", "*/*"}}}));
  EXPECT_FALSE(wants_page({}));
}

TEST(WebAssets, EveryFileThatThePageNamesIsThere) {
  Api api;
  const WebAsset* page = find_web_asset("index.html");
  if (page == nullptr) {
    const auto listing = api.call("GET", "/");
    EXPECT_NE(listing->body.find("Node.js"), std::string::npos);
    GTEST_SKIP() << "a build without Node.js";
  }
  size_t files = 0;
  for (size_t at = page->plain.find("\"/ui/"); at != std::string_view::npos;
       at = page->plain.find("\"/ui/", at + 1)) {
    const auto path =
        page->plain.substr(at + 1, page->plain.find('"', at + 1) - at - 1);
    EXPECT_EQ(api.call("GET", std::string(path))->status, 200) << path;
    ++files;
  }
  EXPECT_EQ(files, 3u);
  EXPECT_EQ(api.call("GET", "/ui/nothing.js")->status, 404);
  EXPECT_EQ(page->plain.find("<script>"), std::string_view::npos);
  size_t zipped = 0;
  for (const WebAsset& asset : web_assets()) {
    zipped += asset.gzip.size();
    EXPECT_LE(asset.brotli.size(), asset.plain.size()) << asset.name;
  }
  EXPECT_LT(zipped, 300'000u);
}

chat::Done done_with(chat::CacheReport::Kind kind) {
  chat::Done done;
  done.usage.prompt_tokens = 20;
  done.usage.completion_tokens = 5;
  done.usage.cached_tokens = 12;
  done.usage.cache = chat::CacheReport{.kind = kind, .cost_tokens = 8};
  return done;
}

TEST(Activity, TellsOfRequestsAndTheCachesReasons) {
  Api api;
  ChatSink open;
  api.backend->script = [&](const chat::Request& request,
                            const ChatSink& sink) {
    sink(chat::Started{.prompt_tokens = 20});
    sink(chat::Progress{.done = 15, .total = 20, .cached = 12});
    if (request.lane == "agent-1") {
      open = sink;
      return;
    }
    sink(chat::Delta{.text = "hi"});
    sink(chat::Finished{});
    sink(done_with(chat::CacheReport::Kind::system_changed));
  };
  const std::string ask = R"({"messages":[{"role":"user","content":"x"}])";
  api.call("POST", "/v1/chat/completions", ask + "}");
  const auto left = api.call(
      "POST",
      "/v1/chat/completions",
      ask + R"(,"stream":true,"prompt_cache_key":"agent-1"})");
  Json seen = api.json(api.call("GET", "/v1/activity"));
  ASSERT_EQ(seen["requests"].size(), 2u) << seen;
  EXPECT_EQ(seen["requests"][0]["lane"], "agent-1");
  EXPECT_EQ(seen["requests"][0]["state"], "reading");
  EXPECT_EQ(seen["requests"][0]["prompt_done"], 15);
  EXPECT_TRUE(seen["requests"][0]["ttft_seconds"].is_null());
  const Json& first = seen["requests"][1];
  EXPECT_EQ(first["state"], "done");
  EXPECT_EQ(first["model"], "tiny");
  EXPECT_EQ(first["completion_tokens"], 5);
  EXPECT_EQ(first["cached_tokens"], 12);
  EXPECT_EQ(first["cache_miss_reason"], "system_changed");
  EXPECT_TRUE(first["ttft_seconds"].is_number());
  EXPECT_EQ(
      seen["cache_miss_reasons"]["system_changed"],
      Json({{"requests", 1}, {"cost_tokens", 8}}));

  left->disconnect();  // the client goes
  seen = api.json(api.call("GET", "/v1/activity"));
  EXPECT_EQ(seen["requests"][0]["state"], "stopped");
  EXPECT_EQ(
      seen["totals"],
      Json({{"requests", 2}, {"done", 1}, {"failed", 0}, {"stopped", 1}}));
  EXPECT_EQ(api.backend->cancelled, std::vector<Ticket>{7});

  api.backend->refusal = Error{ErrorCode::context_length, "too long"};
  api.call("POST", "/v1/chat/completions", ask + "}");
  seen = api.json(api.call("GET", "/v1/activity"));
  EXPECT_EQ(seen["requests"][0]["state"], "failed");
  EXPECT_EQ(seen["requests"][0]["trouble"], "too long");
}

TEST(Activity, ForgetsTheOldestButNoneUnderWay) {
  ActivityLog log;
  const auto open = log.begin({}, "m");
  for (int i = 0; i < 500; ++i) {
    log.on(*log.begin({}, "m"), chat::Done{});
  }
  const Json seen = log.json();
  EXPECT_EQ(seen["requests"].size(), 200u);
  EXPECT_EQ(seen["requests"].back()["number"], 1);
  EXPECT_EQ(seen["totals"]["requests"], 501);
}

TEST(Library, ListsTheCatalogue) {
  const test::TempFolder folder;
  const test::ScopedEnv home("RAPID_MLX_HOME", folder.path().string());
  Api api;
  api.backend->card_.memory.limit = 4'000'000'000;
  const Json list = api.json(api.call("GET", "/v1/library"));
  EXPECT_EQ(list["memory_limit_bytes"], 4'000'000'000);
  ASSERT_GT(list["data"].size(), 0u);
  for (const Json& one : list["data"]) {
    EXPECT_TRUE(one["name"].is_string());
    EXPECT_GT(one["bytes"], 0);
    EXPECT_TRUE(one["here"].is_boolean());
  }
}

TEST(Recipe, TellsWhatTheServerKnows) {
  Api api;
  EXPECT_EQ(api.call("GET", "/v1/recipe")->status, 400) << "nobody told it";
  set_recipe_source([](int context) { return Json{{"context", context}}; });
  EXPECT_EQ(api.json(api.call("GET", "/v1/recipe"))["context"], 0);
  EXPECT_EQ(api.json(api.call("GET", "/v1/recipe?ctx=4096"))["context"], 4096);
  for (const char* query : {"ctx=", "ctx=0", "ctx=x", "ctx=1x", "c=1", "ctx"}) {
    EXPECT_EQ(api.call("GET", std::string("/v1/recipe?") + query)->status, 400)
        << query;
  }
  set_recipe_source(nullptr);
}

}  // namespace
}  // namespace rapid
