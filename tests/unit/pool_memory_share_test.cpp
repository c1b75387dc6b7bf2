// How a limit is shared: arithmetic without threads.
#include <gtest/gtest.h>

#include <random>

#include "pool/memory_share.h"

namespace rapid {
namespace {

using Kind = SeatDecision::Kind;
using Phase = Seat::Phase;

Seat out(uint64_t least, uint64_t good, bool expected = true) {
  return {.need = {least, good}, .expected = expected};
}
Seat in(uint64_t share, double last_used, bool busy = false) {
  return {
      .need = {share / 2, share},
      .share = share,
      .phase = Phase::in,
      .busy = busy,
      .last_used = last_used};
}

TEST(MemoryShare, OneModelGetsEverything) {
  const std::vector<Seat> seats = {out(10, 20)};
  EXPECT_EQ(memory_share(seats, 0, 1000), 1000u);
  EXPECT_EQ(memory_share(seats, 0, 15), 15u);
  EXPECT_EQ(memory_share(seats, 0, 9), 0u);
}

TEST(MemoryShare, ModelsThatFitGetTheSameSpareRoomInAnyOrder) {
  std::vector<Seat> seats = {out(100, 200), out(50, 100), out(10, 100)};
  for (const size_t i : {2, 0, 1}) {
    seats[i].share = memory_share(seats, i, 1000);
    seats[i].phase = Phase::in;
  }
  EXPECT_EQ(seats[0].share, 400u);
  EXPECT_EQ(seats[1].share, 300u);
  EXPECT_EQ(seats[2].share, 300u);
}

TEST(MemoryShare, NoRoomIsKeptForWhatCannotBeThereToo) {
  const std::vector<Seat> seats = {
      out(100, 200), out(500, 900), out(10, 50, false)};
  EXPECT_EQ(memory_share(seats, 0, 1000), 1000u);
}

TEST(SeatDecision, LoadsWhereThereIsRoom) {
  const std::vector<Seat> seats = {in(300, 1), out(100, 200)};
  EXPECT_EQ(decide_seat(seats, 1, 500).kind, Kind::load);
  EXPECT_EQ(decide_seat(seats, 1, 500).available, 200u);
  EXPECT_EQ(decide_seat(seats, 1, 499).kind, Kind::wait);
}

TEST(SeatDecision, IdleOnesGoLeastRecentlyUsedFirst) {
  const std::vector<Seat> seats = {
      in(100, 3), in(100, 1), in(100, 2), out(50, 150)};
  const auto decision = decide_seat(seats, 3, 310);
  EXPECT_EQ(decision.kind, Kind::wait);
  EXPECT_EQ(decision.evict, (std::vector<size_t>{1, 2}));
  EXPECT_TRUE(decision.drain.empty());
}

TEST(SeatDecision, PinnedOnesStayAndBusyOnesAreDrainedLast) {
  std::vector<Seat> seats = {in(100, 1), in(100, 2, true), out(150, 150)};
  EXPECT_EQ(decide_seat(seats, 2, 200).evict, std::vector<size_t>{0});
  EXPECT_EQ(decide_seat(seats, 2, 200).drain, std::vector<size_t>{1});
  seats[0].pinned = true;
  const auto decision = decide_seat(seats, 2, 200);
  EXPECT_EQ(decision.kind, Kind::refuse);
  EXPECT_EQ(decision.available, 100u);
  EXPECT_TRUE(decision.evict.empty()) << "nobody goes in vain";
}

TEST(SeatDecision, WhatIsOnItsWayIsWaitedFor) {
  std::vector<Seat> seats = {in(200, 1), out(150, 150)};
  seats[0].phase = Phase::leaving;
  EXPECT_EQ(decide_seat(seats, 1, 200).kind, Kind::wait);
  seats[0].phase = Phase::arriving;
  EXPECT_EQ(decide_seat(seats, 1, 200).kind, Kind::wait);
  seats[0].pinned = true;
  EXPECT_EQ(decide_seat(seats, 1, 200).kind, Kind::refuse);
}

TEST(SeatDecision, TakesLessThanGoodWhenNobodyCanGo) {
  std::vector<Seat> seats = {in(100, 1), out(60, 150)};
  seats[0].pinned = true;
  const auto decision = decide_seat(seats, 1, 180);
  EXPECT_EQ(decision.kind, Kind::load);
  EXPECT_EQ(decision.available, 80u);
}

TEST(MemoryNeed, IsMeasuredAfterTheFirstLoad) {
  const MemoryNeed guess = memory_need(1000 << 20, std::nullopt, 0);
  EXPECT_EQ(guess.least, uint64_t{1000} << 20);
  EXPECT_GT(guess.good, uint64_t{1100} << 20);
  MemoryFacts facts;
  facts.weight_bytes = 100 << 20;
  facts.process_bytes = 30 << 20;
  facts.row_bytes = 1 << 14;
  facts.layers = 10;
  facts.prefill_chunk = 512;
  facts.most_choices = 4;
  facts.model_context = 32768;
  facts.states.add({.count = 10, .page_bytes = 1 << 16, .page_tokens = 16});
  const MemoryNeed known = memory_need(1000 << 20, facts, 7 << 20);
  EXPECT_GE(known.least, uint64_t{137} << 20);
  EXPECT_LT(known.least, uint64_t{145} << 20);
  // 4,096 tokens are 256 pages of 640 KiB.
  EXPECT_GE(known.good, known.least + (uint64_t{159} << 20));
  EXPECT_LT(known.good, known.least + (uint64_t{180} << 20));
}

// Whatever comes: shares stay within the room, nobody pinned or busy goes,
// and whoever could get in does not wait for nothing.
TEST(SeatDecision, HoldsItsPromisesOverRandomSeats) {
  std::mt19937 draw(7);
  for (int round = 0; round < 20000; ++round) {
    const uint64_t room = draw() % 1000;
    std::vector<Seat> seats;
    uint64_t held = 0;
    for (unsigned i = 0; i < 1 + draw() % 5; ++i) {
      Seat seat = out(draw() % 400, 0, draw() % 2 != 0);
      seat.need.good = seat.need.least + draw() % 200;
      seat.pinned = draw() % 4 == 0;
      if (draw() % 2 != 0) {
        seat.phase = static_cast<Phase>(1 + draw() % 3);
        seat.share = draw() % (room - held + 1);
        seat.busy = draw() % 2 != 0;
        seat.last_used = draw() % 100;
        held += seat.share;
      }
      seats.push_back(seat);
    }
    seats.push_back(out(draw() % 500, 500));
    const size_t wanted = seats.size() - 1;
    const auto decision = decide_seat(seats, wanted, room);
    for (const size_t i : decision.evict) {
      ASSERT_TRUE(
          seats[i].phase == Phase::in && !seats[i].busy && !seats[i].pinned);
    }
    for (const size_t i : decision.drain) {
      ASSERT_TRUE(
          seats[i].phase == Phase::in && seats[i].busy && !seats[i].pinned);
    }
    const uint64_t share = memory_share(seats, wanted, room);
    ASSERT_LE(held + share, room);
    if (decision.kind == Kind::load) {
      ASSERT_GE(share, seats[wanted].need.least);
      ASSERT_GE(decision.available, share);
    } else if (decision.kind == Kind::wait) {
      bool moving = false;
      for (const Seat& seat : seats) {
        moving = moving || seat.phase == Phase::leaving ||
                 seat.phase == Phase::arriving;
      }
      ASSERT_TRUE(moving || !decision.evict.empty() || !decision.drain.empty());
    } else {
      ASSERT_LT(decision.available, seats[wanted].need.least);
    }
  }
}

}  // namespace
}  // namespace rapid
