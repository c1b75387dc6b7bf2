// The messages between front and worker: every value comes back, no bytes do
// harm.
#include <gtest/gtest.h>

#include <random>

#include "../fuzz/wire_target.h"
#include "../fuzz/wire_values.h"
#include "engine/wire.h"

namespace rapid {
namespace {

std::string body(const WireMessage& message) {
  return encode(message).substr(sizeof(uint32_t));
}

// One encoding of each value, so equal bytes are equal values.
TEST(Wire, EveryValueComesBack) {
  RandomValues values(1);
  for (int i = 0; i < 20000; ++i) {
    const WireMessage message = values.message();
    const auto again = decode(body(message));
    ASSERT_TRUE(again) << again.error().what;
    EXPECT_EQ(again->index(), message.index());
    EXPECT_EQ(encode(*again), encode(message));
  }
}

TEST(Wire, FieldsAreWhatTheyWere) {
  GenerateRequest request;
  request.prompt = {1, 2, 70000};
  request.sampling.seed = 99;
  request.sampling.logit_bias = {{5, -1.5f}};
  request.grammar = {GrammarSource::Kind::regex, "a\0b"};
  request.lane = "agent";
  request.adapter = "sql";
  request.logprobs = 3;
  request.resume = {2, 1, 1};
  request.embedding = Pooling::first;
  const auto message = decode(body(WireSubmit{7, request}));
  ASSERT_TRUE(message);
  const auto& got = std::get<WireSubmit>(*message);
  EXPECT_EQ(got.id, 7u);
  EXPECT_EQ(got.request.prompt, request.prompt);
  EXPECT_EQ(got.request.sampling.seed, 99u);
  EXPECT_EQ(got.request.sampling.logit_bias, request.sampling.logit_bias);
  EXPECT_EQ(got.request.grammar, request.grammar);
  EXPECT_EQ(got.request.lane, "agent");
  EXPECT_EQ(got.request.adapter, "sql");
  EXPECT_EQ(got.request.logprobs, 3);
  EXPECT_FALSE(got.request.prompt_logprobs);
  EXPECT_EQ(got.request.embedding, Pooling::first);
  EXPECT_EQ(got.request.resume->choice, 2);
  EXPECT_EQ(got.request.resume->answered, 1);
  EXPECT_EQ(got.request.resume->grammar_replay, 1);
}

TEST(Wire, CutMessagesAreErrors) {
  RandomValues values(2);
  for (int i = 0; i < 300; ++i) {
    const std::string whole = body(values.message());
    for (size_t length = 0; length < whole.size(); ++length) {
      EXPECT_FALSE(decode(whole.substr(0, length)));
    }
    EXPECT_FALSE(decode(whole + "x"));
  }
}

TEST(Wire, DamagedAndRandomBytesDoNoHarm) {
  RandomValues values(3);
  std::mt19937_64 random(4);
  for (int i = 0; i < 50000; ++i) {
    std::string bytes = body(values.message());
    if (i % 4 == 0) {
      for (char& c : bytes) {
        c = static_cast<char>(random());
      }
      bytes[0] = static_cast<char>(random() % 10);
    } else if (!bytes.empty()) {
      for (int flips = 1 + static_cast<int>(random() % 3); flips > 0; --flips) {
        bytes[random() % bytes.size()] = static_cast<char>(random());
      }
    }
    fuzz_wire(std::as_bytes(std::span(bytes)));
  }
}

TEST(Wire, ACountWithoutItsElementsIsAnError) {
  std::string bytes = body(WireLoadFailed{{ErrorCode::io, "abc"}});
  const uint64_t huge = ~uint64_t{0} / 2;
  bytes.replace(2, sizeof(huge), reinterpret_cast<const char*>(&huge), 8);
  EXPECT_FALSE(decode(bytes));
}

TEST(Wire, AnotherVersionIsAnError) {
  const auto got = decode(body(WireHello{kWireVersion + 1, {}}));
  ASSERT_FALSE(got);
  EXPECT_NE(got.error().what.find("version"), std::string::npos);
}

TEST(Wire, MessagesComeOutOfAnyCutOfAStream) {
  RandomValues values(5);
  std::mt19937_64 random(6);
  std::string stream;
  std::vector<std::string> want;
  for (int i = 0; i < 200; ++i) {
    want.push_back(encode(values.message()));
    stream += want.back();
  }
  WireReader reader;
  std::vector<std::string> got;
  for (size_t at = 0; at < stream.size();) {
    const size_t count = 1 + random() % 40;
    reader.feed(std::string_view(stream).substr(at, count));
    at += count;
    while (true) {
      const auto message = reader.next();
      ASSERT_TRUE(message);
      if (!*message) {
        break;
      }
      got.push_back(encode(**message));
    }
  }
  EXPECT_EQ(got, want);
  WireReader nonsense;
  nonsense.feed("\xff\xff\xff\xff");
  EXPECT_FALSE(nonsense.next());
}

}  // namespace
}  // namespace rapid
