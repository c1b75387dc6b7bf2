#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <random>
#include <thread>

#include "cache/disk_tier.h"
#include "unit/fake_state.h"
#include "unit/temp_folder.h"

namespace rapid {
namespace {

namespace fs = std::filesystem;
using test::fake_builders;
using test::fake_set;
using test::Layers;
using test::set_is_of;
using test::Tokens;

const std::vector<Layers> kModels = {{0}, {0, -1}, {6, 0}, {6, 0, -1}};

Tokens random_tokens(std::mt19937& random, size_t count) {
  Tokens out(count);
  for (auto& token : out) {
    token = static_cast<int32_t>(random() % 3);
  }
  return out;
}

// The n-th conversation's tokens: a front shared by some, then its own.
Tokens prompt_of(unsigned n) {
  std::mt19937 front(n % 5);
  Tokens out = random_tokens(front, 60);
  std::mt19937 rest(n / 3 + 1000);
  const Tokens own = random_tokens(rest, 10 + n % 90);
  out.insert(out.end(), own.begin(), own.end());
  return out;
}

uint64_t folder_bytes(const fs::path& folder) {
  uint64_t total = 0;
  std::error_code gone;
  for (const auto& entry : fs::directory_iterator(folder, gone)) {
    const auto size = entry.file_size(gone);
    total += gone ? 0 : size;
  }
  return total;
}

fs::path any_segment(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".safetensors") {
      return entry.path();
    }
  }
  return {};
}

class DiskTierTest : public testing::Test {
 protected:
  DiskTierOptions options(uint64_t cap = 64u << 20) const {
    return {.folder = folder(), .fingerprint = "a model", .byte_cap = cap};
  }
  fs::path folder() const { return folder_.path() / "disk"; }
  std::unique_ptr<DiskTier> opened(uint64_t cap = 64u << 20) const {
    auto tier = DiskTier::open(options(cap));
    EXPECT_TRUE(tier) << tier.error().what;
    return tier ? std::move(*tier) : nullptr;
  }

  test::TempFolder folder_;
};

// What is found must be right; returns its length.
int checked_length(
    DiskTier& tier, const Layers& model, const Tokens& tokens, size_t limit) {
  const auto place = tier.find(tokens, limit);
  EXPECT_LE(place.length, static_cast<int>(limit));
  if (place.length == 0) {
    return 0;
  }
  auto states = tier.load(tokens, place, fake_builders(model));
  if (!states) {
    return -1;
  }
  EXPECT_TRUE(set_is_of(
      *states, std::span(tokens).first(static_cast<size_t>(place.length))));
  return place.length;
}

TEST_F(DiskTierTest, IsWarmAfterARestart) {
  for (const Layers& model : kModels) {
    fs::remove_all(folder());
    {
      auto tier = opened();
      for (unsigned n = 0; n < 40; ++n) {
        EXPECT_TRUE(tier->save(prompt_of(n), fake_set(model, prompt_of(n))));
      }
    }
    auto tier = opened();
    for (unsigned n = 0; n < 40; ++n) {
      const Tokens tokens = prompt_of(n);
      EXPECT_EQ(
          checked_length(*tier, model, tokens, tokens.size()),
          static_cast<int>(tokens.size()));
    }
    EXPECT_EQ(tier->stats().damaged, 0u);
  }
}

// Against the definition: of all that was saved, the longest that a state
// rewinds to.
TEST_F(DiskTierTest, FindsWhatTheNaiveCacheFinds) {
  for (const Layers& model : kModels) {
    fs::remove_all(folder());
    auto tier = opened();
    std::mt19937 random(11);
    std::vector<std::pair<Tokens, int>> saved;
    for (int step = 0; step < 150; ++step) {
      Tokens tokens;
      if (!saved.empty() && random() % 4 > 0) {
        tokens = saved[random() % saved.size()].first;
        tokens.resize(random() % (tokens.size() + 1));
      }
      const Tokens more = random_tokens(random, 1 + random() % 30);
      tokens.insert(tokens.end(), more.begin(), more.end());
      const size_t limit = tokens.size() - random() % 2;
      int best = 0;
      for (const auto& [known, floor] : saved) {
        const auto differs = std::mismatch(
            known.begin(), known.end(), tokens.begin(), tokens.end());
        const int usable = static_cast<int>(std::min<size_t>(
            static_cast<size_t>(differs.first - known.begin()), limit));
        best = usable >= floor ? std::max(best, usable) : best;
      }
      ASSERT_EQ(checked_length(*tier, model, tokens, limit), best);
      const auto states = fake_set(model, tokens);
      int floor = 1;
      for (const auto& state : states) {
        floor = std::max(floor, state->rewind_floor());
      }
      ASSERT_TRUE(tier->save(tokens, states));
      saved.emplace_back(tokens, floor);
      tier->flush();
    }
    EXPECT_EQ(tier->stats().skipped, 0u);
  }
}

TEST_F(DiskTierTest, WritesASharedPrefixOnce) {
  auto tier = opened();
  std::mt19937 random(1);
  Tokens tokens = random_tokens(random, 4000);
  uint64_t state_bytes = 0;
  for (int turn = 0; turn < 50; ++turn) {
    const Tokens more = random_tokens(random, 41);
    tokens.insert(tokens.end(), more.begin(), more.end());
    const auto states = fake_set({0, 0}, tokens);
    state_bytes = states[0]->bytes() + states[1]->bytes();
    ASSERT_TRUE(tier->save(tokens, states));
  }
  tier->flush();
  const auto stats = tier->stats();
  // A partly filled page per layer and a header each turn.
  EXPECT_LT(stats.written_bytes, state_bytes + 50 * 1500);
  EXPECT_GE(stats.written_bytes, state_bytes);
  EXPECT_EQ(checked_length(*tier, {0, 0}, tokens, 5000), 5000);
}

TEST_F(DiskTierTest, NeverHoldsMoreThanTheCap) {
  constexpr uint64_t kCap = 600000;
  auto tier = opened(kCap);
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> most = 0;
  std::thread watcher([&] {
    while (!stop) {
      most = std::max<uint64_t>(most, folder_bytes(folder()));
    }
  });
  int found = 0;
  for (unsigned n = 0; n < 400; ++n) {
    tier->save(prompt_of(n), fake_set({0, 0, 0}, prompt_of(n)));
    if (n % 7 == 0) {
      tier->flush();
      found += checked_length(*tier, {0, 0, 0}, prompt_of(n), 1000) > 60;
    }
  }
  tier->flush();
  stop = true;
  watcher.join();
  EXPECT_LE(most, kCap);
  EXPECT_GT(tier->stats().evictions, 20u);
  EXPECT_GT(found, 50);
  tier.reset();
  tier = opened(kCap / 3 * 2);  // a smaller cap later
  EXPECT_LE(folder_bytes(folder()), kCap / 3 * 2);
  EXPECT_TRUE(tier->clear());
  EXPECT_EQ(tier->stats().segments, 0u);
}

TEST_F(DiskTierTest, KnowsAfterARestartWhatWasUsedLast) {
  const Tokens a = {1, 2, 3};
  const Tokens a_longer = {1, 2, 3, 4, 5};
  const Tokens b = {7, 8, 9};
  {
    auto tier = opened();
    for (const Tokens& tokens : {a, a_longer, b}) {
      tier->save(tokens, fake_set({0}, tokens));
      tier->flush();
    }
    EXPECT_EQ(checked_length(*tier, {0}, a_longer, 9), 5);
  }
  auto tier = opened();
  EXPECT_EQ(tier->recent(9), (std::vector<Tokens>{a_longer, b}));
  EXPECT_EQ(tier->recent(1), (std::vector<Tokens>{a_longer}));
}

TEST_F(DiskTierTest, AnotherFingerprintStartsEmpty) {
  {
    auto tier = opened();
    tier->save(prompt_of(1), fake_set({0}, prompt_of(1)));
  }
  ASSERT_FALSE(any_segment(folder()).empty());
  auto other = options();
  other.fingerprint = "the next engine";
  auto tier = DiskTier::open(other);
  ASSERT_TRUE(tier);
  EXPECT_EQ((*tier)->find(prompt_of(1), 1000).length, 0);
  EXPECT_TRUE(any_segment(folder()).empty());
}

TEST_F(DiskTierTest, AFolderHasOneOwner) {
  auto tier = opened();
  const auto second = DiskTier::open(options());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::busy);
}

// Every byte of a segment, one after another.
TEST_F(DiskTierTest, ADamagedSegmentIsDroppedAndNeverServed) {
  const Tokens tokens = prompt_of(3);
  {
    auto tier = opened();
    tier->save(tokens, fake_set({6, 0, -1}, tokens));
  }
  const fs::path pristine = folder_.path() / "pristine";
  fs::copy(folder(), pristine, fs::copy_options::recursive);
  const auto size = fs::file_size(any_segment(folder()));
  int dropped = 0;
  for (size_t at = 0; at < size; at += 37) {
    fs::remove_all(folder());
    fs::copy(pristine, folder(), fs::copy_options::recursive);
    {
      std::fstream file(
          any_segment(folder()),
          std::ios::in | std::ios::out | std::ios::binary);
      file.seekg(static_cast<std::streamoff>(at));
      const int byte = file.get();
      file.seekp(static_cast<std::streamoff>(at));
      file.put(static_cast<char>(byte ^ (1 << (at % 8))));
    }
    auto tier = opened();
    const int length = checked_length(*tier, {6, 0, -1}, tokens, 1000);
    ASSERT_EQ(length, -1) << "byte " << at;
    ASSERT_EQ(tier->find(tokens, 1000).length, 0);
    ASSERT_TRUE(any_segment(folder()).empty());
    ++dropped;
  }
  EXPECT_GT(dropped, 30);
}

TEST_F(DiskTierTest, ACutOrMissingSegmentGoesWithWhatHangsOnIt) {
  const Tokens longer = prompt_of(3);
  const Tokens shorter(longer.begin(), longer.begin() + 50);
  for (const bool missing : {true, false}) {
    fs::remove_all(folder());
    {
      auto tier = opened();
      tier->save(shorter, fake_set({0}, shorter));
      tier->save(longer, fake_set({0}, longer));
      tier->flush();
      EXPECT_EQ(tier->stats().segments, 2u);
    }
    const auto first = folder() / "segment-1.safetensors";
    ASSERT_TRUE(fs::exists(first));
    if (missing) {
      fs::remove(first);
    } else {
      fs::resize_file(first, fs::file_size(first) / 2);
    }
    auto tier = opened();
    EXPECT_EQ(tier->find(longer, 1000).length, 0);
    EXPECT_TRUE(any_segment(folder()).empty());
  }
}

TEST_F(DiskTierTest, ADamagedIndexIsSetAside) {
  {
    auto tier = opened();
    tier->save(prompt_of(1), fake_set({0}, prompt_of(1)));
  }
  std::ofstream(folder() / "index.sqlite") << std::string(9000, '!');
  auto tier = opened();
  EXPECT_EQ(tier->find(prompt_of(1), 1000).length, 0);
  EXPECT_TRUE(any_segment(folder()).empty());
  EXPECT_TRUE(fs::exists(folder() / "index.sqlite.damaged"));
  EXPECT_TRUE(tier->save(prompt_of(1), fake_set({0}, prompt_of(1))));
  tier->flush();
  EXPECT_GT(checked_length(*tier, {0}, prompt_of(1), 1000), 0);
}

// In a child process, whose files may not grow: as on a full disk.
TEST_F(DiskTierTest, AFullDiskEndsSavingAndLosesNothing) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    auto tier = DiskTier::open(options());
    const Tokens before = prompt_of(1);
    (*tier)->save(before, fake_set({0}, before));
    (*tier)->flush();
    const rlimit limit{150000, 150000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    std::mt19937 random(5);
    const Tokens big = random_tokens(random, 30000);
    (*tier)->save(big, fake_set({0}, big));
    (*tier)->flush();
    const bool kept = checked_length(**tier, {0}, before, 1000) ==
                          static_cast<int>(before.size()) &&
                      (*tier)->stats().disabled &&
                      !(*tier)->save(prompt_of(2), fake_set({0}, prompt_of(2)));
    ::_exit(kept && !testing::Test::HasFailure() ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_TRUE(WIFEXITED(status));
  auto tier = opened();
  EXPECT_FALSE(fs::exists(folder() / "writing.tmp"));
  EXPECT_GT(checked_length(*tier, {0}, prompt_of(1), 1000), 0);
}

TEST_F(DiskTierTest, SurvivesBeingKilledAtAnyPoint) {
  std::mt19937 random(17);
  const Layers model = {6, 0, -1};
  constexpr uint64_t kCap = 700000;
  unsigned next = 0;
  size_t found = 0;
  for (int round = 0; round < 40; ++round) {
    const pid_t child = ::fork();
    if (child == 0) {
      auto tier = DiskTier::open(options(kCap));
      for (unsigned n = next; tier; ++n) {
        (*tier)->save(prompt_of(n), fake_set(model, prompt_of(n)));
        if (n % 3 == 0) {
          (*tier)->flush();
        }
      }
      ::_exit(1);
    }
    std::this_thread::sleep_for(
        std::chrono::microseconds(2000 + random() % 60000));
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    ASSERT_LE(folder_bytes(folder()), kCap);
    auto tier = opened(kCap);
    for (unsigned n = 0; n < next + 300; ++n) {
      const int length = checked_length(*tier, model, prompt_of(n), 1000);
      ASSERT_GE(length, 0) << "a crash left a damaged segment";
      found += length > 0 ? 1 : 0;
    }
    ASSERT_EQ(tier->stats().damaged, 0u);
    // What was written before stays readable; go on where it ended.
    next += static_cast<unsigned>(random() % 20);
  }
  EXPECT_GT(found, 200u);
}

}  // namespace
}  // namespace rapid
