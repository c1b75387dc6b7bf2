#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hub/safetensors.h"
#include "unit/temp_folder.h"

namespace rapid {
namespace {

using test::safetensors;
using test::TempFolder;
using testing::ElementsAre;
using testing::HasSubstr;

Result<SafetensorsHeader> parse(const std::string& file) {
  return parse_safetensors(std::as_bytes(std::span(file)));
}

std::string failure(
    const std::string& file, ErrorCode code = ErrorCode::corrupt) {
  auto header = parse(file);
  if (header) {
    return "it parsed";
  }
  EXPECT_EQ(header.error().code, code) << header.error().what;
  return header.error().what;
}

std::string entry(
    const std::string& dtype, const std::string& shape, int begin, int end) {
  return R"({"dtype":")" + dtype + R"(","shape":)" + shape +
         R"(,"data_offsets":[)" + std::to_string(begin) + "," +
         std::to_string(end) + "]}";
}

std::string one(const std::string& description, size_t data) {
  return safetensors(R"({"t":)" + description + "}", std::string(data, 'x'));
}

TEST(Safetensors, TakesTheNullMetadataThatMlxWrites) {
  const std::string file = safetensors(
      R"({"__metadata__":null,"a":)" + entry("U8", "[1]", 0, 1) + "}", "x");
  auto header = parse(file);
  ASSERT_TRUE(header) << header.error().what;
  EXPECT_TRUE(header->metadata.empty());
  EXPECT_EQ(header->tensors.size(), 1u);
}

TEST(Safetensors, ReadsTensorsAndMetadata) {
  const std::string file = safetensors(
      R"({"__metadata__":{"format":"mlx"},"b":)" +
          entry("BF16", "[2,3]", 4, 16) + R"(,"a":)" +
          entry("U32", "[1]", 0, 4) + R"(,"none":)" +
          entry("F32", "[0,7]", 16, 16) + R"(,"scalar":)" +
          entry("BOOL", "[]", 16, 17) + "}   ",
      "0123456789abcdefg");
  auto header = parse(file);
  ASSERT_TRUE(header) << header.error().what;
  EXPECT_EQ(header->metadata.at("format"), "mlx");
  ASSERT_EQ(header->tensors.size(), 4u);
  const TensorView& b = header->tensors[0];
  EXPECT_EQ(b.name, "b");
  EXPECT_EQ(b.type, TensorType::bf16);
  EXPECT_THAT(b.shape, ElementsAre(2, 3));
  EXPECT_EQ(static_cast<char>(b.bytes[0]), '4');
  EXPECT_EQ(b.bytes.size(), 12u);
  EXPECT_EQ(header->tensors[2].elements(), 0);
  EXPECT_EQ(header->tensors[3].elements(), 1);
}

TEST(Safetensors, EveryTruncationIsAnErrorNotACrash) {
  const std::string file = one(entry("F16", "[4]", 0, 8), 8);
  ASSERT_TRUE(parse(file));
  for (size_t n = 0; n < file.size(); ++n) {
    // A copy of its own size, so that a read past the end is seen.
    EXPECT_FALSE(parse(std::string(file, 0, n))) << n;
  }
}

TEST(Safetensors, RefusesBadHeaders) {
  std::string long_header = one(entry("F16", "[4]", 0, 8), 8);
  long_header.replace(0, 8, "\xff\xff\xff\xff\xff\xff\xff\xff");
  EXPECT_THAT(failure(long_header), HasSubstr("header claims"));
  EXPECT_THAT(failure(safetensors("[1]", "")), HasSubstr("not a JSON object"));
  EXPECT_THAT(failure(safetensors("{\"a", "")), HasSubstr("not valid JSON"));
  EXPECT_THAT(
      failure(safetensors(std::string(5000, '['), "")), HasSubstr("deeper"));
  EXPECT_THAT(
      failure(safetensors(R"({"__metadata__":{"a":1}})", "")),
      HasSubstr("not a string"));
  EXPECT_THAT(failure(one("7", 0)), HasSubstr("tensor t"));
  EXPECT_THAT(failure(one(R"({"shape":[]})", 0)), HasSubstr("no dtype"));
}

TEST(Safetensors, RefusesBadTensors) {
  EXPECT_THAT(
      failure(one(entry("F32", "[3]", 0, 8), 8)), HasSubstr("needs 12 bytes"));
  EXPECT_THAT(failure(one(entry("F32", "[2]", 0, 8), 4)), HasSubstr("outside"));
  EXPECT_THAT(failure(one(entry("F32", "[2]", 8, 0), 8)), HasSubstr("outside"));
  EXPECT_THAT(
      failure(one(entry("F32", "[-1]", 0, 4), 4)),
      HasSubstr("impossible shape"));
  EXPECT_THAT(
      failure(one(entry("F32", "[4294967296,4294967296]", 0, 4), 4)),
      HasSubstr("impossible shape"));
  EXPECT_THAT(
      failure(one(entry("F32", "2", 0, 8), 8)), HasSubstr("no valid shape"));
  EXPECT_THAT(
      failure(one(entry("F8_E5M2", "[8]", 0, 8), 8), ErrorCode::unsupported),
      HasSubstr("tensor t has type F8_E5M2"));
}

TEST(Safetensors, RefusesOverlapsHolesAndTwins) {
  const std::string a = R"({"a":)" + entry("U8", "[4]", 0, 4);
  EXPECT_THAT(
      failure(safetensors(
          a + R"(,"b":)" + entry("U8", "[4]", 2, 6) + "}", "012345")),
      HasSubstr("overlaps"));
  EXPECT_THAT(
      failure(safetensors(
          a + R"(,"b":)" + entry("U8", "[1]", 5, 6) + "}", "012345")),
      HasSubstr("belongs to no tensor"));
  EXPECT_THAT(failure(safetensors(a + "}", "012345")), HasSubstr("2 bytes"));
  EXPECT_FALSE(parse(
      safetensors(a + R"(,"a":)" + entry("U8", "[2]", 4, 6) + "}", "012345")));
}

std::string shard(const std::string& name) {
  return safetensors(
      R"({")" + name + R"(":)" + entry("U8", "[1]", 0, 1) + "}", "x");
}

TEST(SafetensorsFolder, ReadsShardsByIndex) {
  TempFolder folder;
  folder.write("model-1.safetensors", shard("a"));
  folder.write("model-2.safetensors", shard("b"));
  folder.write("other.safetensors", shard("a"));
  folder.write(
      "model.safetensors.index.json",
      R"({"weight_map":{"a":"model-1.safetensors",
                         "b":"model-2.safetensors"}})");
  auto tensors = open_safetensors_folder(folder.path().string());
  ASSERT_TRUE(tensors) << tensors.error().what;
  ASSERT_EQ(tensors->size(), 2u);
  EXPECT_EQ((*tensors)[1].name, "b");
  EXPECT_TRUE((*tensors)[1].file);
}

TEST(SafetensorsFolder, TellsWhatIsMissing) {
  TempFolder folder;
  const auto open = [&] {
    auto tensors = open_safetensors_folder(folder.path().string());
    EXPECT_FALSE(tensors);
    return tensors.error();
  };
  EXPECT_EQ(open().code, ErrorCode::not_found);
  folder.write("model-1.safetensors", shard("a"));
  const auto index = [&](const std::string& map) {
    folder.write(
        "model.safetensors.index.json", R"({"weight_map":{)" + map + "}}");
  };
  index(R"("b":"model-2.safetensors")");
  EXPECT_EQ(open().code, ErrorCode::not_found);
  EXPECT_THAT(open().what, HasSubstr("model-2.safetensors"));
  index(R"("b":"model-1.safetensors")");
  EXPECT_EQ(open().code, ErrorCode::corrupt);
  EXPECT_THAT(open().what, HasSubstr("tensor b should be in"));
  index(R"("a":"../model-1.safetensors")");
  EXPECT_THAT(open().what, HasSubstr("refused"));
  folder.write("model.safetensors.index.json", "{");
  EXPECT_THAT(open().what, HasSubstr("index.json: not valid JSON"));
}

TEST(SafetensorsFolder, RefusesOneNameInTwoFiles) {
  TempFolder folder;
  folder.write("model-1.safetensors", shard("a"));
  folder.write("model-2.safetensors", shard("a"));
  auto tensors = open_safetensors_folder(folder.path().string());
  ASSERT_FALSE(tensors);
  EXPECT_THAT(tensors.error().what, HasSubstr("is in model-1.safetensors"));
}

}  // namespace
}  // namespace rapid
