// Which models are in memory, who waits for them, and what they hear.
#include <future>

#include "pool_fakes.h"

namespace rapid {
namespace {

// Two of 100 MiB with 192 more each do not fit together.
std::map<std::string, uint64_t> three() {
  return {{"a", 100}, {"b", 100}, {"c", 100}};
}
constexpr uint64_t kForOne = 400;
constexpr uint64_t kForTwo = 700;
constexpr uint64_t kForThree = 1200;

TEST(ModelPool, TheFirstIsLoadedAndOthersIfTheyFit) {
  PoolBench bench(three(), kForTwo);
  bench.start({{"a"}, {"b"}, {"c"}});
  EXPECT_TRUE(bench.becomes("a", ModelState::loaded));
  EXPECT_TRUE(bench.becomes("b", ModelState::loaded));
  const auto list = bench.pool->list();
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[2].state, ModelState::evicted);
  EXPECT_EQ(list[0].memory_bytes + list[1].memory_bytes, kForTwo * kMega);
  EXPECT_EQ(bench.pool->find("")->card().name, "a");
  EXPECT_EQ(bench.pool->find("default")->card().name, "a");
  EXPECT_EQ(bench.pool->find("/models/b")->card().name, "b");
  EXPECT_EQ(bench.pool->find("d"), nullptr);
}

TEST(ModelPool, OneModelHasTheWholeLimitLessTheFront) {
  PoolBench bench({{"a", 100}}, 1000);
  bench.models->front_mega = 40;
  bench.settings.front_growth = 10 * kMega;
  bench.start({{"a"}});
  EXPECT_TRUE(bench.becomes("a", ModelState::loaded));
  EXPECT_EQ(bench.pool->list()[0].memory_bytes, 950 * kMega);
}

TEST(ModelPool, RequestsWaitWhileItLoads) {
  PoolBench bench(three(), kForOne);
  bench.models->block("a");
  bench.start({{"a"}});
  Asked first(*bench.pool, "a", "1");
  Asked second(*bench.pool, "default", "2");
  EXPECT_TRUE(eventually([&] {
    return first.waited().starts_with("a: reading") &&
           second.waited().starts_with("a: reading");
  })) << first.waited();
  EXPECT_EQ(bench.state("a"), ModelState::loading);
  EXPECT_EQ(bench.pool->status("a")->open_requests, 2);
  bench.models->release("a");
  EXPECT_TRUE(eventually([&] {
    bench.models->answer_all();
    return first.ended() && second.ended();
  }));
  EXPECT_EQ(first.text(), "a:1");
  EXPECT_EQ(second.text(), "a:2");
  EXPECT_EQ(bench.models->loads["a"], 1) << "one load for all";
}

TEST(ModelPool, TheLeastRecentlyUsedGivesWay) {
  PoolBench bench(three(), kForTwo);
  bench.models->at_once = true;
  bench.start({{"a"}, {"b"}, {"c"}});
  EXPECT_TRUE(bench.becomes("b", ModelState::loaded));
  EXPECT_EQ(Asked(*bench.pool, "a", "1").text(), "a:1");
  Asked third(*bench.pool, "c", "2");
  EXPECT_TRUE(eventually([&] { return third.ended(); }));
  EXPECT_EQ(third.text(), "c:2");
  EXPECT_EQ(bench.state("a"), ModelState::loaded);
  EXPECT_EQ(bench.state("b"), ModelState::evicted) << "used before a";
  EXPECT_TRUE(bench.pool->list()[1].known) << "its card stays";
}

TEST(ModelPool, BusyModelsAreNotEvictedButDrained) {
  PoolBench bench(three(), kForOne);
  bench.start({{"a"}, {"b"}});
  EXPECT_TRUE(bench.becomes("a", ModelState::loaded));
  Asked running(*bench.pool, "a", "1");
  Asked other(*bench.pool, "b", "2");
  // Once b has waited, a takes nothing new.
  std::optional<Asked> late;
  EXPECT_TRUE(eventually([&] {
    late.emplace(*bench.pool, "a", "3");
    if (late->waited().empty()) {
      late->cancel();
    }
    return !late->waited().empty();
  }));
  EXPECT_FALSE(running.ended()) << "what runs goes on";
  EXPECT_EQ(bench.state("a"), ModelState::loaded);
  bench.models->running("a")->answer();
  EXPECT_EQ(running.text(), "a:1");
  EXPECT_TRUE(eventually([&] {
    const auto b = bench.models->running("b");
    return b && b->open() == 1;
  }));
  EXPECT_EQ(bench.state("a"), ModelState::loading) << "its turn comes again";
  EXPECT_FALSE(late->ended());
  bench.models->running("b")->answer();
  EXPECT_EQ(other.text(), "b:2");
  EXPECT_TRUE(eventually([&] {
    bench.models->answer_all();
    return late->ended();
  }));
  EXPECT_EQ(late->text(), "a:3");
  EXPECT_EQ(bench.models->loads["a"], 2);
}

TEST(ModelPool, ADrainedModelGoesOnWhenTheOtherIsNotWantedAnyMore) {
  PoolBench bench(three(), kForOne);
  bench.start({{"a"}, {"b"}});
  EXPECT_TRUE(bench.becomes("a", ModelState::loaded));
  Asked running(*bench.pool, "a", "1");
  Asked other(*bench.pool, "b", "2");
  std::optional<Asked> late;
  EXPECT_TRUE(eventually([&] {
    late.emplace(*bench.pool, "a", "3");
    if (late->waited().empty()) {
      late->cancel();
    }
    return !late->waited().empty();
  }));
  other.cancel();
  EXPECT_TRUE(
      eventually([&] { return bench.models->running("a")->open() > 1; }));
  bench.models->running("a")->answer();
  EXPECT_EQ(late->text(), "a:3");
  EXPECT_EQ(bench.models->loads["b"], 0);
}

TEST(ModelPool, PinnedModelsStayAndTheOtherIsRefusedWithNumbers) {
  PoolBench bench({{"a", 200}, {"b", 250}}, kForOne);
  bench.start({{.name = "a", .pinned = true}, {.name = "b"}});
  EXPECT_TRUE(bench.becomes("a", ModelState::loaded));
  Asked other(*bench.pool, "b", "2");
  EXPECT_TRUE(eventually([&] { return other.ended(); }));
  ASSERT_TRUE(other.error());
  EXPECT_EQ(other.error()->code, ErrorCode::too_large);
  EXPECT_EQ(
      other.error()->what,
      "b needs 250 MiB or more, 0 MiB are available: the memory limit is 400 "
      "MiB, pinned models hold 400");
  EXPECT_EQ(bench.state("b"), ModelState::failed);
  EXPECT_EQ(bench.state("a"), ModelState::loaded);
  // Unpinned it goes, though nobody asked b again before.
  std::atomic<bool> done = false;
  EXPECT_TRUE(
      bench.pool->load({.model = "a", .pin = false}, [&](const auto& status) {
        done = static_cast<bool>(status) && !status->pinned;
      }));
  EXPECT_TRUE(done);
  Asked again(*bench.pool, "b", "3");
  EXPECT_TRUE(eventually([&] {
    bench.models->answer_all();
    return again.ended();
  }));
  EXPECT_EQ(again.text(), "b:3");
}

TEST(ModelPool, AModelOverTheLimitIsRefusedBeforeAnybodyGoes) {
  PoolBench bench({{"a", 100}, {"b", 900}}, kForOne);
  bench.start({{"a"}, {"b"}});
  EXPECT_TRUE(bench.becomes("a", ModelState::loaded));
  Asked other(*bench.pool, "b", "2");
  EXPECT_TRUE(eventually([&] { return other.ended(); }));
  EXPECT_EQ(other.error()->code, ErrorCode::too_large);
  EXPECT_EQ(bench.models->loads["b"], 0);
  EXPECT_EQ(bench.state("a"), ModelState::loaded);
}

// Two fit by the guess, but need more than half.
TEST(ModelPool, AnEngineThatNeedsMoreThanGuessedIsSeatedAgain) {
  PoolBench bench(three(), kForTwo);
  bench.models->least_mega = 450;
  bench.models->at_once = true;
  bench.start({{"a"}, {"b"}});
  EXPECT_TRUE(eventually([&] {
    const auto list = bench.pool->list();
    return list[0].state == ModelState::loaded || list[0].loads > 0 ||
           list[0].state == ModelState::failed;
  }));
  for (const char* name : {"b", "a", "b"}) {
    Asked asked(*bench.pool, name, "1");
    EXPECT_TRUE(eventually([&] { return asked.ended(); }));
    EXPECT_EQ(asked.text(), std::string(name) + ":1");
    EXPECT_EQ(bench.state(name), ModelState::loaded);
  }
  EXPECT_EQ(bench.state("a"), ModelState::evicted);
}

TEST(ModelPool, WhatIsTooLittleIsToldWhenNobodyCanGo) {
  PoolBench bench({{"a", 100}, {"b", 100}}, kForTwo);
  bench.start({{.name = "a", .pinned = true}, {"b"}});
  EXPECT_TRUE(bench.becomes("a", ModelState::loaded));
  EXPECT_TRUE(bench.becomes("b", ModelState::loaded));
  std::atomic<bool> gone = false;
  EXPECT_TRUE(bench.pool->unload("b", [&](const auto&) { gone = true; }));
  EXPECT_TRUE(eventually([&] { return gone.load(); }));
  bench.models->least_mega = 500;
  Asked asked(*bench.pool, "b", "1");
  EXPECT_TRUE(eventually([&] { return asked.ended(); }));
  EXPECT_EQ(asked.error()->what, "b cannot work with that");
  EXPECT_EQ(bench.state("a"), ModelState::loaded);
}

TEST(ModelPool, AFailedLoadTellsWhyAndTheServerLivesOn) {
  PoolBench bench(three(), kForThree);
  bench.settings.retry_seconds = 1000;
  bench.models->fail("b", Error{ErrorCode::corrupt, "b is broken", "", "b"});
  bench.models->block("b");
  bench.start({{"a"}, {"b"}});
  EXPECT_TRUE(bench.becomes("a", ModelState::loaded));
  Asked waits(*bench.pool, "b", "1");
  bench.models->release("b");
  EXPECT_TRUE(eventually([&] { return waits.ended(); }));
  EXPECT_EQ(waits.error()->what, "b is broken");
  EXPECT_EQ(waits.error()->code, ErrorCode::unsupported) << "not our bug";
  const auto status = *bench.pool->status("b");
  EXPECT_EQ(status.state, ModelState::failed);
  EXPECT_EQ(status.reason, "b is broken");
  EXPECT_EQ(status.memory_bytes, 0u);
  EXPECT_EQ(Asked(*bench.pool, "b", "2").error()->what, "b is broken")
      << "at once";
  EXPECT_EQ(bench.models->loads["b"], 1);
  // Who asks for it by name gets another try.
  bench.models->fail("b", std::nullopt);
  std::atomic<bool> done = false;
  EXPECT_TRUE(bench.pool->load({.model = "b"}, [&](const auto& loaded) {
    done = static_cast<bool>(loaded);
  }));
  EXPECT_TRUE(eventually([&] { return done.load(); }));
  EXPECT_EQ(bench.state("b"), ModelState::loaded);
}

TEST(ModelPool, AModelThatNeverLoadedLeavesTheList) {
  PoolBench bench(three(), kForThree);
  bench.settings.failure_seconds = 0.05;
  bench.start({{"a"}});
  EXPECT_TRUE(bench.becomes("a", ModelState::loaded));
  bench.models->fail("b", Error{ErrorCode::corrupt, "b is broken"});
  const auto load = [&] {
    std::promise<Result<ModelStatus>> promise;
    EXPECT_TRUE(bench.pool->load(
        {.model = "b"}, [&](const auto& done) { promise.set_value(done); }));
    return promise.get_future().get();
  };
  EXPECT_EQ(load().error().what, "b is broken");
  const std::vector<std::string> left = {"a"};
  EXPECT_TRUE(eventually([&] { return bench.pool->names() == left; }));
  EXPECT_EQ(bench.pool->find("b"), nullptr);
  EXPECT_EQ(bench.pool->list().size(), 1u);
  // A handle that a route still holds brings it back.
  bench.models->block("b");
  EXPECT_TRUE(bench.pool->load({.model = "b"}, [](const auto&) {}));
  const auto handle = bench.pool->find("b");
  ASSERT_NE(handle, nullptr);
  bench.models->release("b");
  EXPECT_TRUE(eventually([&] { return bench.pool->names() == left; }));
  bench.models->fail("b", std::nullopt);
  EXPECT_TRUE(handle->submit({}, [](const auto&) {}));
  EXPECT_TRUE(bench.becomes("b", ModelState::loaded));
}

TEST(ModelPool, AFailureIsListedForWhoDidNotWait) {
  PoolBench bench(three(), kForThree);
  bench.settings.failure_seconds = 1000;
  bench.start({{"a"}});
  bench.models->fail("b", Error{ErrorCode::corrupt, "b is broken"});
  EXPECT_TRUE(bench.pool->load({.model = "b"}, [](const auto&) {}));
  EXPECT_TRUE(bench.becomes("b", ModelState::failed));
  EXPECT_EQ(bench.pool->status("b")->reason, "b is broken");
  EXPECT_TRUE(bench.pool->unload("b", [](const auto&) {}));
}

TEST(ModelPool, TheLimitOfTheWaitIsKept) {
  PoolBench bench(three(), kForOne);
  bench.settings.most_waiting = 2;
  bench.settings.most_wait_seconds = 0.2;
  bench.models->block("a");
  bench.start({{"a"}});
  Asked first(*bench.pool, "a", "1");
  Asked second(*bench.pool, "a", "2");
  Asked third(*bench.pool, "a", "3");
  ASSERT_TRUE(third.error());
  EXPECT_EQ(third.error()->code, ErrorCode::busy);
  EXPECT_EQ(third.error()->what, "2 requests wait for a already");
  EXPECT_TRUE(eventually([&] { return first.ended() && second.ended(); }));
  EXPECT_EQ(first.error()->code, ErrorCode::busy);
  bench.models->release("a");
  EXPECT_TRUE(bench.becomes("a", ModelState::loaded));
}

TEST(ModelPool, IdleModelsAreUnloadedAndComeBack) {
  PoolBench bench(three(), kForThree);
  bench.settings.idle_ttl = 0.1;
  bench.start({{"a"}, {.name = "b", .pinned = true}});
  EXPECT_TRUE(bench.becomes("a", ModelState::loaded));
  Asked running(*bench.pool, "a", "1");
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_EQ(bench.state("a"), ModelState::loaded) << "it is at work";
  bench.models->running("a")->answer();
  EXPECT_TRUE(bench.becomes("a", ModelState::evicted));
  EXPECT_EQ(bench.state("b"), ModelState::loaded) << "it is pinned";
  Asked again(*bench.pool, "a", "2");
  EXPECT_TRUE(eventually([&] {
    bench.models->answer_all();
    return again.ended();
  }));
  EXPECT_EQ(again.text(), "a:2");
  EXPECT_TRUE(bench.becomes("a", ModelState::evicted));
  const EngineStats stats = bench.pool->find("a")->stats();
  EXPECT_EQ(stats.generated_tokens, 2u) << "counters outlive an unload";
}

TEST(ModelPool, RequestsThatWaitCanBeCancelled) {
  PoolBench bench(three(), kForOne);
  bench.models->block("a");
  bench.start({{"a"}});
  Asked first(*bench.pool, "a", "1");
  Asked second(*bench.pool, "a", "2");
  first.cancel();
  bench.models->release("a");
  EXPECT_TRUE(eventually([&] {
    bench.models->answer_all();
    return second.ended();
  }));
  EXPECT_FALSE(first.ended());
  EXPECT_EQ(bench.pool->status("a")->open_requests, 0);
  Asked third(*bench.pool, "a", "3");
  third.cancel();
  EXPECT_EQ(bench.models->running("a")->cancelled, 1);
}

TEST(ModelPool, WhatIsWrongWithARequestComesBackInBothWays) {
  PoolBench bench(three(), kForOne);
  bench.models->block("a");
  bench.start({{"a"}});
  Asked early(*bench.pool, "a", "refused");
  EXPECT_FALSE(early.waited().empty());
  bench.models->release("a");
  EXPECT_TRUE(eventually([&] { return early.ended(); }));
  EXPECT_EQ(early.error()->what, "not this one");
  EXPECT_TRUE(bench.becomes("a", ModelState::loaded));
  Asked late(*bench.pool, "a", "refused");
  EXPECT_EQ(late.error()->what, "not this one");
  EXPECT_EQ(bench.pool->status("a")->open_requests, 0);
}

TEST(ModelPool, LoadTakesModelsOnDiskAndUnloadDropsThem) {
  PoolBench bench(three(), kForOne);
  bench.start({{"a"}});
  EXPECT_TRUE(bench.becomes("a", ModelState::loaded));
  const auto missing = bench.pool->load({.model = "x"}, [](const auto&) {
    ADD_FAILURE() << "an Error is all there is";
  });
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  std::atomic<int> done = 0;
  EXPECT_TRUE(bench.pool->load(
      {.model = "b", .pin = true, .ttl = 5}, [&](const auto& status) {
        EXPECT_TRUE(status);
        EXPECT_EQ(status->state, ModelState::loaded);
        EXPECT_TRUE(status->pinned);
        EXPECT_EQ(status->ttl_seconds, 5);
        ++done;
      }));
  EXPECT_TRUE(eventually([&] { return done == 1; }));
  EXPECT_EQ(bench.pool->list().size(), 2u);
  EXPECT_EQ(bench.state("a"), ModelState::evicted);
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(bench.pool->unload("b", [&](const auto& status) {
      EXPECT_TRUE(status);
      EXPECT_EQ(status->state, ModelState::evicted);
      ++done;
    }));
    EXPECT_TRUE(eventually([&] { return done == 2 + i; }));
  }
  EXPECT_TRUE(eventually([&] {
    EXPECT_TRUE(
        bench.pool->find("b") == nullptr ||
        bench.pool->unload("b", [](const auto&) {}));
    return bench.pool->list().size() == 1;
  })) << "it came by a request";
  EXPECT_FALSE(bench.pool->unload("b", [](const auto&) {}));
}

TEST(ModelPool, OneThatIsFixedStaysAndIsAlone) {
  PoolBench bench({{"a", 100}, {"b", 100}}, kForOne);
  bench.models->at_once = true;
  bench.settings.fixed = true;
  bench.start({{"a"}});
  ASSERT_TRUE(bench.becomes("a", ModelState::loaded));
  const auto none = [](const auto&) { ADD_FAILURE() << "it was done"; };
  for (const LoadWish& wish :
       {LoadWish{.model = "b"}, LoadWish{.model = "a", .ttl = 5}}) {
    const Status refused = bench.pool->load(wish, none);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::unsupported);
  }
  EXPECT_EQ(bench.pool->unload("a", none).error().code, ErrorCode::unsupported);
  bool done = false;
  EXPECT_TRUE(bench.pool->load(
      {.model = "a", .pin = true}, [&](const auto&) { done = true; }));
  EXPECT_TRUE(done);
  EXPECT_EQ(bench.state("a"), ModelState::loaded);
}

TEST(ModelPool, TokenisingWaitsALittleForTheText) {
  PoolBench bench(three(), kForOne);
  bench.settings.block_seconds = 0.1;
  bench.models->block("b");
  bench.start({{"a"}, {"b"}});
  const auto backend = bench.pool->find("b");
  EXPECT_TRUE(bench.becomes("a", ModelState::loaded));
  const auto early = backend->tokenise({});
  ASSERT_FALSE(early);
  EXPECT_EQ(early.error().code, ErrorCode::busy);
  bench.models->release("b");
  EXPECT_TRUE(eventually([&] { return bool(backend->tokenise({})); }));
  EXPECT_EQ(bench.models->loads["b"], 1);
  bench.models->fail("a", Error{ErrorCode::io, "no disk"});
  EXPECT_TRUE(eventually([&] {
    const auto failed = bench.pool->find("a")->tokenise({});
    return !failed && failed.error().what == "no disk";
  }));
}

TEST(ModelPool, UnloadWaitsForWhatRuns) {
  PoolBench bench(three(), kForOne);
  bench.start({{"a"}});
  EXPECT_TRUE(bench.becomes("a", ModelState::loaded));
  Asked running(*bench.pool, "a", "1");
  std::atomic<bool> gone = false;
  EXPECT_TRUE(bench.pool->unload("a", [&](const auto&) { gone = true; }));
  Asked next(*bench.pool, "a", "2");
  EXPECT_FALSE(next.waited().empty()) << "for the load behind it";
  EXPECT_FALSE(gone);
  bench.models->running("a")->answer();
  EXPECT_TRUE(eventually([&] { return gone.load(); }));
  EXPECT_TRUE(eventually([&] {
    bench.models->answer_all();
    return next.ended();
  }));
  EXPECT_EQ(next.text(), "a:2");
}

TEST(ModelPool, CachesAreClearedAlsoWhereNothingIsLoaded) {
  PoolBench bench(three(), kForOne);
  bench.start({{"a"}, {"b"}});
  EXPECT_TRUE(bench.becomes("a", ModelState::loaded));
  bench.pool->find("a")->clear_cache();
  EXPECT_EQ(bench.models->running("a")->cleared, 1);
  bench.pool->find("b")->clear_cache();
  EXPECT_TRUE(eventually([&] { return bench.models->has_forgotten("b"); }));
  EXPECT_FALSE(bench.models->has_forgotten("a"));
}

TEST(ModelPool, StopFailsWhatIsOpen) {
  PoolBench bench(three(), kForOne);
  bench.start({{"a"}, {"b"}});
  EXPECT_TRUE(bench.becomes("a", ModelState::loaded));
  Asked running(*bench.pool, "a", "1");
  Asked waiting(*bench.pool, "b", "2");
  const auto backend = bench.pool->find("a");
  bench.models->running("a")->answer();
  bench.pool->stop();
  EXPECT_TRUE(waiting.ended());
  const auto late = backend->submit({}, [](const auto&) {});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::cancelled);
}

}  // namespace
}  // namespace rapid
