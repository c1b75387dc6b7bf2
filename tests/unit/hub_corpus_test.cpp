// Replays tests/fuzz/corpus in every build. Files named valid* must parse,
// all others must be refused; none may crash or trip a sanitizer.
#include <gtest/gtest.h>

#include <filesystem>

#include "fuzz/targets.h"
#include "unit/temp_folder.h"

namespace rapid {
namespace {

void replay(const char* format, bool (*parse)(std::span<const std::byte>)) {
  const std::filesystem::path folder =
      std::filesystem::path(RAPID_MLX_TEST_DATA "/fuzz/corpus") / format;
  int valid = 0;
  int refused = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string bytes = test::read_all(entry.path());
    const bool expected = entry.path().filename().string().starts_with("valid");
    EXPECT_EQ(parse(std::as_bytes(std::span(bytes))), expected) << entry.path();
    ++(expected ? valid : refused);
  }
  EXPECT_GE(valid, 2);
  EXPECT_GE(refused, 10);
}

TEST(Corpus, Gguf) {
  replay("gguf", fuzz_gguf);
}

TEST(Corpus, Safetensors) {
  replay("safetensors", fuzz_safetensors);
}

}  // namespace
}  // namespace rapid
