#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hub/gguf.h"
#include "unit/gguf_writer.h"

namespace rapid {
namespace {

using test::GgufWriter;
using testing::ElementsAre;
using testing::HasSubstr;

enum : uint32_t { kU32 = 4, kI32 = 5, kF32 = 6, kBool = 7, kU64 = 10 };

std::string failure(const GgufWriter& file, ErrorCode code) {
  auto parsed = GgufFile::parse(file.bytes());
  if (parsed) {
    return "it parsed";
  }
  EXPECT_EQ(parsed.error().code, code) << parsed.error().what;
  return parsed.error().what;
}

std::string corrupt(const GgufWriter& file) {
  return failure(file, ErrorCode::corrupt);
}

GgufWriter small_model() {
  GgufWriter file;
  file.header(2, 4)
      .text("general.architecture", "toy")
      .value<uint32_t>("toy.block_count", kU32, 7)
      .value<float>("toy.epsilon", kF32, 0.5f)
      .value<uint8_t>("toy.flag", kBool, 1)
      .tensor("a", {64, 3}, 2, 0)  // Q4_0
      .tensor("b", {5}, 0, 128)    // F32
      .data(148, 1);
  return file;
}

TEST(Gguf, ReadsValuesAndTensors) {
  const GgufWriter file = small_model();
  auto parsed = GgufFile::parse(file.bytes());
  ASSERT_TRUE(parsed) << parsed.error().what;
  const GgufFile& g = **parsed;
  EXPECT_EQ(g.architecture(), "toy");
  EXPECT_EQ(g.number("toy.block_count"), 7);
  EXPECT_EQ(g.number("toy.epsilon"), 0.5);
  EXPECT_EQ(g.number("toy.flag"), 1);
  EXPECT_EQ(g.number("absent"), std::nullopt);
  EXPECT_EQ(g.string("toy.block_count"), std::nullopt);
  ASSERT_EQ(g.tensors().size(), 2u);
  EXPECT_EQ(g.tensors()[0].type, TensorType::q4_0);
  EXPECT_THAT(g.tensors()[0].shape, ElementsAre(3, 64));
  EXPECT_EQ(g.tensors()[0].bytes.size(), 6u * 18);
  EXPECT_EQ(
      g.tensors()[1].bytes.data(),
      file.bytes().data() + file.bytes().size() - 20);
}

TEST(Gguf, ReadsVersion2AndRefusesOthers) {
  EXPECT_TRUE(GgufFile::parse(GgufWriter().header(0, 0, 2).bytes()));
  EXPECT_THAT(
      failure(GgufWriter().header(0, 0, 1), ErrorCode::unsupported),
      HasSubstr("version 1"));
  EXPECT_THAT(
      failure(GgufWriter().header(0, 0, 0x03000000), ErrorCode::unsupported),
      HasSubstr("big-endian"));
}

TEST(Gguf, EveryTruncationIsAnErrorNotACrash) {
  const GgufWriter file = small_model();
  for (size_t n = 0; n < file.bytes().size(); ++n) {
    auto parsed = GgufFile::parse(file.bytes().first(n));
    ASSERT_FALSE(parsed) << n;
    EXPECT_EQ(parsed.error().code, ErrorCode::corrupt) << n;
  }
}

TEST(Gguf, BoundsCountsAndLengthsBeforeAllocating) {
  EXPECT_THAT(corrupt(GgufWriter().header(0, ~0ull)), HasSubstr("metadata"));
  EXPECT_THAT(corrupt(GgufWriter().header(~0ull, 0)), HasSubstr("tensors"));
  GgufWriter name;
  name.header(0, 1).put<uint64_t>(~0ull).data(64);
  EXPECT_THAT(corrupt(name), HasSubstr("a metadata key"));
  for (const uint32_t type : {0u, 4u, 8u, 10u, 12u}) {
    GgufWriter array;
    array.header(0, 1).put_string("k").put<uint32_t>(9).put(type);
    array.put<uint64_t>(~0ull / 2).data(64);
    EXPECT_THAT(corrupt(array), HasSubstr("metadata k")) << type;
  }
}

TEST(Gguf, RefusesWhatItCannotHold) {
  GgufWriter nested;
  nested.header(0, 1).put_string("k").put<uint32_t>(9).put<uint32_t>(9);
  nested.put<uint64_t>(1).data(64);
  EXPECT_THAT(
      failure(nested, ErrorCode::unsupported), HasSubstr("array of arrays"));
  EXPECT_THAT(
      corrupt(GgufWriter().header(0, 1).value<uint64_t>("k", kU64, ~0ull)),
      HasSubstr("too large"));
  EXPECT_THAT(
      corrupt(GgufWriter().header(0, 1).value<uint64_t>("k", 13, 0)),
      HasSubstr("unknown value type 13"));
}

TEST(Gguf, RefusesDuplicates) {
  GgufWriter keys;
  keys.header(0, 2).value<uint32_t>("k", kU32, 1).value<uint32_t>("k", kU32, 2);
  EXPECT_THAT(corrupt(keys), HasSubstr("k occurs twice"));
  GgufWriter names;
  names.header(2, 0).tensor("t", {1}, 0, 0).tensor("t", {1}, 0, 32).data(64);
  EXPECT_THAT(corrupt(names), HasSubstr("tensor t occurs twice"));
}

TEST(Gguf, RefusesBadTensors) {
  const auto one =
      [](std::vector<uint64_t> dims, uint32_t type, uint64_t offset) {
        GgufWriter file;
        file.header(1, 0).tensor("blk.0.w", dims, type, offset).data(256);
        return file;
      };
  EXPECT_THAT(corrupt(one({1, 1, 1, 1, 1}, 0, 0)), HasSubstr("5 dimensions"));
  EXPECT_THAT(corrupt(one({0}, 0, 0)), HasSubstr("impossible dimension"));
  EXPECT_THAT(
      corrupt(one({1ull << 40, 1ull << 40}, 0, 0)), HasSubstr("impossible"));
  EXPECT_THAT(corrupt(one({~0ull}, 0, 0)), HasSubstr("impossible"));
  EXPECT_THAT(corrupt(one({33}, 2, 0)), HasSubstr("rows of 33"));
  EXPECT_THAT(corrupt(one({}, 2, 0)), HasSubstr("rows of 1"));
  EXPECT_THAT(corrupt(one({4}, 0, 8)), HasSubstr("multiple of 32"));
  EXPECT_THAT(corrupt(one({4}, 0, ~31ull)), HasSubstr("outside the file"));
  EXPECT_THAT(corrupt(one({65}, 0, 0)), HasSubstr("outside the file"));
}

TEST(Gguf, RefusesOverlap) {
  GgufWriter file;
  file.header(2, 0).tensor("a", {16}, 0, 0).tensor("b", {16}, 0, 32).data(128);
  EXPECT_THAT(corrupt(file), HasSubstr("overlap"));
}

TEST(Gguf, NamesUnsupportedTypeAndTensor) {
  GgufWriter known;
  known.header(1, 0).tensor("blk.0.w", {256}, 23, 0).data(256);
  const std::string what = failure(known, ErrorCode::unsupported);
  EXPECT_THAT(what, HasSubstr("blk.0.w"));
  EXPECT_THAT(what, HasSubstr("IQ4_XS"));
  GgufWriter unknown;
  unknown.header(1, 0).tensor("blk.0.w", {256}, 4711, 0).data(256);
  EXPECT_THAT(failure(unknown, ErrorCode::unsupported), HasSubstr("type 4711"));
}

TEST(Gguf, ObeysAlignment) {
  const auto aligned = [](uint32_t to) {
    GgufWriter file;
    file.header(1, 1).value<uint32_t>("general.alignment", kU32, to);
    file.tensor("a", {2}, 0, 0).data(8, 9, 256);
    return file;
  };
  const GgufWriter good = aligned(256);
  auto parsed = GgufFile::parse(good.bytes());
  ASSERT_TRUE(parsed) << parsed.error().what;
  EXPECT_EQ((*parsed)->tensors()[0].bytes[0], std::byte{9});
  for (const uint32_t bad : {0u, 24u, 1u << 31}) {
    EXPECT_THAT(corrupt(aligned(bad)), HasSubstr("power of two"));
  }
}

GgufWriter with_tokens(uint64_t more) {
  GgufWriter file;
  file.header(0, 2 + more)
      .text("tokenizer.ggml.model", "gpt2")
      .texts("tokenizer.ggml.tokens", {"a", "b", "<end>"});
  return file;
}

TEST(GgufVocabulary, ReadsEveryField) {
  GgufWriter file = with_tokens(7);
  file.text("tokenizer.ggml.pre", "toy")
      .numbers<int32_t>("tokenizer.ggml.token_type", kI32, {1, 0, 3})
      .numbers<float>("tokenizer.ggml.scores", kF32, {-1, -2.5f, 0})
      .texts("tokenizer.ggml.merges", {"a b"})
      .value<uint32_t>("tokenizer.ggml.eos_token_id", kU32, 2)
      .value<uint32_t>("tokenizer.ggml.bos_token_id", kU32, ~0u)
      .value<uint8_t>("tokenizer.ggml.add_space_prefix", kBool, 0);
  auto parsed = GgufFile::parse(file.bytes());
  ASSERT_TRUE(parsed) << parsed.error().what;
  auto v = (*parsed)->vocabulary();
  ASSERT_TRUE(v) << v.error().what;
  EXPECT_THAT(v->tokens, ElementsAre("a", "b", "<end>"));
  EXPECT_THAT(v->scores, ElementsAre(-1, -2.5f, 0));
  EXPECT_THAT(v->merges, ElementsAre("a b"));
  EXPECT_EQ(v->kinds[1], Vocabulary::Kind::normal);
  EXPECT_EQ(v->kinds[2], Vocabulary::Kind::control);
  EXPECT_EQ(v->pre, "toy");
  EXPECT_EQ(v->eos, 2);
  EXPECT_EQ(v->bos, -1);
  EXPECT_TRUE(v->add_bos);  // scored, and nothing said
  EXPECT_FALSE(v->add_space_prefix);
}

TEST(GgufVocabulary, RefusesWhatDoesNotFit) {
  const auto refused = [](const GgufWriter& file) {
    auto parsed = GgufFile::parse(file.bytes());
    EXPECT_TRUE(parsed);
    auto v = (*parsed)->vocabulary();
    return v ? std::string("it was read") : v.error().what;
  };
  EXPECT_THAT(refused(GgufWriter().header(0, 0)), HasSubstr("no tokenizer"));
  GgufWriter kinds = with_tokens(1);
  kinds.numbers<int32_t>("tokenizer.ggml.token_type", kI32, {1});
  EXPECT_THAT(refused(kinds), HasSubstr("1 entries for 3 tokens"));
  GgufWriter kind = with_tokens(1);
  kind.numbers<int32_t>("tokenizer.ggml.token_type", kI32, {1, 1, 99});
  EXPECT_THAT(refused(kind), HasSubstr("holds 99"));
  GgufWriter id = with_tokens(1);
  id.value<uint32_t>("tokenizer.ggml.eos_token_id", kU32, 3);
  EXPECT_THAT(refused(id), HasSubstr("is 3, but there are 3 tokens"));
}

}  // namespace
}  // namespace rapid
