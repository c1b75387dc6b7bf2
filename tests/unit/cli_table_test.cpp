#include <gtest/gtest.h>

#include <stdexcept>

#include "cli/progress.h"
#include "cli/table.h"

namespace rapid {
namespace {

TEST(Table, PadsByCharactersAndLeavesNoTrailingBlanks) {
  Table table({{"NAME"}, {"SIZE", Table::Align::right}, {"WHAT"}});
  table.row({"h\xC3\xA9", "5 B", "x"});
  table.row({"longer", "12.0 kB", ""});
  EXPECT_EQ(
      table.text(),
      "NAME       SIZE  WHAT\n"
      "h\xC3\xA9          5 B  x\n"
      "longer  12.0 kB\n");
  EXPECT_THROW(table.row({"one"}), std::logic_error);
}

TEST(Units, Bytes) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(999), "999 B");
  EXPECT_EQ(human_bytes(1000), "1.0 kB");
  EXPECT_EQ(human_bytes(98362432), "98.4 MB");
  EXPECT_EQ(human_bytes(999'960'000), "1.0 GB");
  EXPECT_EQ(human_bytes(UINT64_MAX), "18446744.1 TB");
}

TEST(Units, SecondsAndCounts) {
  EXPECT_EQ(human_seconds(0.45), "450 ms");
  EXPECT_EQ(human_seconds(4.21), "4.2 s");
  EXPECT_EQ(human_seconds(59.97), "1 min 0 s");
  EXPECT_EQ(human_seconds(200), "3 min 20 s");
  EXPECT_EQ(human_seconds(7260), "2 h 1 min");
  EXPECT_EQ(human_count(134'515'008), "134.5 M");
  EXPECT_EQ(human_count(12), "12");
}

TEST(Progress, OneLineWithRateAndTimeLeft) {
  const ProgressState state{
      .what = "m.gguf", .done = 25'000'000, .total = 100'000'000, .rate = 5e6};
  const std::string line = progress_line(state, 100);
  EXPECT_EQ(
      line,
      "m.gguf  [=======                       ]   25 %  25.0 MB of 100.0 MB  "
      "5.0 MB/s  15.0 s left");
  for (const size_t width : {10, 40, 60, 79}) {
    EXPECT_LE(progress_line(state, width).size(), width);
  }
}

TEST(Progress, UnknownTotalAndRate) {
  EXPECT_EQ(progress_line({.what = "m", .done = 2'000'000}, 80), "m  2.0 MB");
  EXPECT_EQ(
      progress_line({.what = "m", .done = 5, .total = 4}, 20),
      "m  100 %  5 B of 4 B");
}

}  // namespace
}  // namespace rapid
