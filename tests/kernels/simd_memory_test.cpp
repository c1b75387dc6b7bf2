// Memory of panels, and the loops that measure the machine.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "simd/panel_memory.h"
#include "simd/simd.h"

namespace rapid {
namespace {

bool all_are(const uint8_t* p, size_t count, uint8_t value) {
  return std::all_of(p, p + count, [&](uint8_t b) { return b == value; });
}

TEST(PanelMemory, PiecesAreApartAndZeroed) {
  std::vector<std::shared_ptr<uint8_t>> pieces;
  std::vector<size_t> sizes;
  for (int i = 0; i < 60; ++i) {
    // Some larger than what shares a chunk.
    sizes.push_back(i % 20 == 19 ? size_t{9} << 20 : 1000 + 37777 * size_t(i));
    pieces.push_back(take_panel_memory(sizes.back()));
    uint8_t* p = pieces.back().get();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(p) % 64, 0u);
    ASSERT_TRUE(all_are(p, sizes.back(), 0)) << i;
    std::memset(p, i + 1, sizes.back());
  }
  // What one leaves takes nothing from its neighbours.
  for (size_t i = 0; i < pieces.size(); i += 2) {
    pieces[i].reset();
  }
  for (size_t i = 1; i < pieces.size(); i += 2) {
    ASSERT_TRUE(all_are(pieces[i].get(), sizes[i], uint8_t(i + 1))) << i;
  }
}

TEST(PanelMemory, NothingIsAPiece) {
  EXPECT_NE(take_panel_memory(0).get(), nullptr);
}

TEST(PanelMemory, TooMuchThrows) {
  EXPECT_THROW(take_panel_memory(size_t{1} << 60), std::bad_alloc);
}

TEST(Peaks, ReadsEveryByte) {
  for (const Isa isa : available_isas()) {
    set_isa(isa);
    std::vector<uint8_t> data(4096 + 2048);  // room to ask ahead
    EXPECT_EQ(kernel_table().read_all(data.data(), 4096), 0u);
    for (const size_t at : {size_t{0}, size_t{777}, size_t{4095}}) {
      data[at] = 5;
      EXPECT_NE(kernel_table().read_all(data.data(), 4096), 0u)
          << isa_name(isa) << " " << at;
      data[at] = 0;
    }
  }
  set_isa(available_isas().back());
}

TEST(Peaks, CountWhatTheyMultiply) {
  std::array<uint8_t, 768> data;
  data.fill(3);
  for (const Isa isa : available_isas()) {
    set_isa(isa);
    for (const PeakWork work :
         {kernel_table().int8_work, kernel_table().float_work}) {
      std::array<float, 12> sink = {};
      const int64_t once = work(data.data(), 1, sink.data());
      EXPECT_GE(once, 48) << isa_name(isa);
      EXPECT_EQ(work(data.data(), 50, sink.data()), 50 * once);
      EXPECT_GT(sink[0], 0) << isa_name(isa);
    }
  }
  set_isa(available_isas().back());
  if (const PeakWork work = bfloat_work()) {
    std::array<float, 12> sink = {};
    EXPECT_EQ(work(data.data(), 50, sink.data()), 50 * 12 * 64);
    EXPECT_GT(sink[0], 0);
  }
}

}  // namespace
}  // namespace rapid
