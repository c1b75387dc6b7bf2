// The routes over a pool: which model they speak of, and what they tell.
#include "api_fakes.h"
#include "pool_fakes.h"

namespace rapid {
namespace {

constexpr uint64_t kForOne = 400;

class PoolRoutes : public testing::Test {
 protected:
  PoolRoutes() : bench_({{"a", 100}, {"b", 100}, {"c", 100}}, kForOne) {
    bench_.models->at_once = true;
    bench_.start({{"a"}, {"b"}});
    api_.context.set_models(bench_.pool);
    EXPECT_TRUE(bench_.becomes("a", ModelState::loaded));
  }

  std::shared_ptr<FakeStream> call(
      const std::string& method,
      const std::string& path,
      const std::string& body = "") {
    auto stream = api_.call(method, path, body);
    // What the pool answers comes from another thread.
    EXPECT_TRUE(eventually([&] {
      return stream->status != 0 || stream->ended;
    })) << path;
    return stream;
  }
  Json json(const std::shared_ptr<FakeStream>& stream) {
    return api_.json(stream);
  }
  Json model(const std::string& name) {
    return json(call("GET", "/v1/models/" + name));
  }

  PoolBench bench_;
  Api api_;
};

TEST_F(PoolRoutes, ModelsTellHowTheyStand) {
  const Json list = json(call("GET", "/v1/models"))["data"];
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0]["id"], "a");
  EXPECT_EQ(list[0]["state"], "loaded");
  EXPECT_EQ(list[0]["context_length"], kForOne);
  EXPECT_EQ(list[0]["memory_bytes"], kForOne * kMega);
  EXPECT_EQ(list[1]["id"], "b");
  EXPECT_EQ(list[1]["state"], "evicted");
  EXPECT_FALSE(list[1].contains("context_length")) << "nobody knows it yet";
  EXPECT_EQ(model("default")["id"], "a");
  EXPECT_EQ(model("b")["state"], "evicted");
  const auto other = call("GET", "/v1/models/x");
  EXPECT_EQ(other->status, 404);
  EXPECT_EQ(
      json(other)["error"]["message"],
      "the model \"x\" is not loaded here. Use \"a\", \"b\" or \"default\"");
}

TEST_F(PoolRoutes, ARequestLoadsItsModel) {
  const auto reply = call(
      "POST", "/v1/completions", R"({"model":"b","prompt":"x","stream":true})");
  EXPECT_TRUE(reply->ended);
  EXPECT_TRUE(reply->started);
  EXPECT_FALSE(reply->notes.empty());
  EXPECT_EQ(model("b")["state"], "loaded");
  EXPECT_EQ(model("a")["state"], "evicted");
  EXPECT_EQ(model("a")["context_length"], kForOne) << "as it was";
  const auto unknown =
      call("POST", "/v1/completions", R"({"model":"c","prompt":"x"})");
  EXPECT_EQ(unknown->status, 404) << "c was not named";
  EXPECT_EQ(json(unknown)["error"]["code"], "model_not_found");
}

TEST_F(PoolRoutes, LoadAndUnload) {
  const auto loaded =
      call("POST", "/v1/models/load", R"({"model":"c","pin":true,"ttl":60})");
  EXPECT_EQ(loaded->status, 200);
  EXPECT_EQ(json(loaded)["state"], "loaded");
  EXPECT_EQ(json(loaded)["pinned"], true);
  EXPECT_EQ(json(loaded)["ttl_seconds"], 60);
  EXPECT_EQ(json(call("GET", "/v1/models"))["data"].size(), 3u);
  const auto refused = call("POST", "/v1/models/load", R"({"model":"b"})");
  EXPECT_EQ(refused->status, 413) << "c is pinned";
  EXPECT_EQ(json(refused)["error"]["code"], "too_large");
  EXPECT_EQ(model("b")["state"], "failed");
  EXPECT_NE(
      model("b")["reason"].dump().find("are available"), std::string::npos);
  const auto gone = call("POST", "/v1/models/unload", R"({"model":"c"})");
  EXPECT_EQ(gone->status, 200);
  EXPECT_EQ(json(gone)["state"], "evicted");
  const auto later =
      call("POST", "/v1/models/load", R"({"model":"b","wait":false})");
  EXPECT_EQ(later->status, 202);
  EXPECT_TRUE(bench_.becomes("b", ModelState::loaded));
  EXPECT_EQ(call("POST", "/v1/models/load", R"({"model":"x"})")->status, 404);
  for (const char* body :
       {R"({})",
        R"({"model":5})",
        R"({"model":"b","ttl":-1})",
        R"({"model":"b","pin":"yes"})",
        "["}) {
    EXPECT_EQ(call("POST", "/v1/models/load", body)->status, 400) << body;
  }
  EXPECT_EQ(call("POST", "/v1/models/unload", R"({"model":"x"})")->status, 404);
}

TEST_F(PoolRoutes, HealthAndMetricsKnowAllModels) {
  call("POST", "/v1/completions", R"({"model":"a","prompt":"x"})");
  call("POST", "/v1/completions", R"({"model":"b","prompt":"x"})");
  const auto health = call("GET", "/health");
  EXPECT_EQ(health->status, 200);
  EXPECT_EQ(json(health)["status"], "ok");
  EXPECT_EQ(json(health)["model"], "a");
  EXPECT_EQ(json(health)["models"], Json({{"a", "evicted"}, {"b", "loaded"}}));
  EXPECT_EQ(json(health)["generated_tokens"], 2);
  const std::string text = call("GET", "/metrics")->body;
  for (const char* line :
       {"rapid_mlx_ready 1\n",
        "rapid_mlx_generated_tokens_total 2\n",
        "rapid_mlx_model_loaded{model=\"a\"} 0\n",
        "rapid_mlx_model_loaded{model=\"b\"} 1\n",
        "rapid_mlx_model_generated_tokens_total{model=\"a\"} 1\n",
        "rapid_mlx_model_loads_total{model=\"b\"} 1\n"}) {
    EXPECT_NE(text.find(line), text.npos) << line << text;
  }
}

TEST_F(PoolRoutes, QueriesNameAModel) {
  EXPECT_EQ(call("DELETE", "/v1/cache?model=b")->status, 200);
  EXPECT_TRUE(eventually([&] { return bench_.models->has_forgotten("b"); }));
  EXPECT_EQ(bench_.models->running("a")->cleared, 0);
  EXPECT_EQ(call("DELETE", "/v1/cache")->status, 200);
  EXPECT_EQ(bench_.models->running("a")->cleared, 1);
  EXPECT_EQ(call("GET", "/v1/cache/stats?model=%62")->status, 200);
  EXPECT_EQ(call("GET", "/v1/cache/stats?model=x")->status, 404);
  EXPECT_EQ(call("GET", "/v1/cache/explain/r1?model=b")->status, 404);
  EXPECT_EQ(call("GET", "/v1/memory/plan?model=b&ctx=5")->status, 429)
      << "nothing is measured before a load";
}

// A request for an adapter waits for its model as others do.
TEST(PoolAdapters, AreKnownBeforeTheirModelIs) {
  PoolBench bench({{"a", 100}, {"b", 100}}, kForOne);
  bench.models->at_once = true;
  bench.start({{.name = "a"}, {.name = "b", .adapters = {"sql"}}});
  ASSERT_TRUE(bench.becomes("a", ModelState::loaded));
  Api api;
  api.context.set_models(bench.pool);
  const auto listed = list_with_adapters(*bench.pool);
  ASSERT_EQ(listed.size(), 3u);
  EXPECT_EQ(listed[2].card.id(), "b:sql");
  EXPECT_EQ(listed[2].card.parent, "b");
  EXPECT_EQ(status_for(api.context, "b:sql")->state, ModelState::evicted);
  EXPECT_TRUE(backend_for(api.context, "b:sql"));
  EXPECT_FALSE(backend_for(api.context, "a:sql"));
}

}  // namespace
}  // namespace rapid
