// Replays tests/fuzz/corpus/formats in every build.
#include <gtest/gtest.h>

#include <filesystem>

#include "fuzz/format_target.h"
#include "unit/temp_folder.h"

namespace rapid {
namespace {

TEST(FormatCorpus, Replays) {
  int replayed = 0;
  for (const auto& entry : std::filesystem::directory_iterator(
           RAPID_MLX_TEST_DATA "/fuzz/corpus/formats")) {
    fuzz_formats(test::read_all(entry.path()));
    ++replayed;
  }
  EXPECT_GE(replayed, 50);
}

}  // namespace
}  // namespace rapid
