// The speculator on a machine made up: what steps cost and how often guesses
// are right is the test's. Time is counted, nothing waits.
#include <gtest/gtest.h>

#include <list>
#include <random>

#include "speculation/speculator.h"

namespace rapid {
namespace {

struct Machine {
  double plain = 0.016;  // a step of one row
  double row = 0.004;    // each row more, guess or not
  double seconds(int rows, int guesses) const {
    return plain + row * (rows - 1 + guesses);
  }
};

// Guesses whose first is right with `first`, the others with `later`.
class Chancy final : public Proposer {
 public:
  Draft propose(
      std::span<const int32_t>, int most, const DraftTerms&) override {
    Draft out;
    for (int i = 0; i < most; ++i) {
      out.tokens.push_back(i);
      out.kinds.push_back(i == 0 ? 2 : 5);
    }
    return out;
  }
};

struct Stream {
  double first = 0;
  double later = 0;
  std::unique_ptr<Drafter> drafter;
  int tokens = 0;
  double seconds = 0;
  double plain_seconds = 0;
};

class World {
 public:
  explicit World(Machine machine) : machine(machine) {}

  Stream& add(double first, double later) {
    Stream& out = streams.emplace_back();
    out.first = first;
    out.later = later;
    out.drafter = std::make_unique<Drafter>(
        std::make_unique<Chancy>(), speculator.acceptance());
    return out;
  }

  void step(bool noisy = false) {
    std::vector<Drafter*> rows;
    for (Stream& each : streams) {
      rows.push_back(each.drafter.get());
    }
    const DraftTerms terms = speculator.begin(rows, true);
    for (Drafter* each : rows) {
      each->draft({}, 16, terms);
    }
    speculator.choose(rows);
    int guesses = 0;
    const int count = static_cast<int>(rows.size());
    for (Stream& each : streams) {
      const int kept = static_cast<int>(each.drafter->kept().size());
      guesses += kept;
      std::vector<int32_t> came;
      while (static_cast<int>(came.size()) < kept &&
             chance() < (came.empty() ? each.first : each.later)) {
        came.push_back(static_cast<int32_t>(came.size()));
      }
      // The next is right too, once in a while: guesses told or not.
      const bool right = static_cast<int>(came.size()) == kept &&
                         chance() < (came.empty() ? each.first : each.later);
      came.push_back(right ? static_cast<int32_t>(came.size()) : -1);
      each.drafter->follow(came);
      each.tokens += static_cast<int>(came.size());
      each.plain_seconds +=
          static_cast<double>(came.size()) * machine.seconds(count, 0);
    }
    double took = machine.seconds(count, guesses);
    took *= noisy ? 0.9 + 0.2 * chance() + (chance() < 0.01 ? 5 : 0) : 1;
    speculator.measured(rows, took);
    for (Stream& each : streams) {
      each.seconds += machine.seconds(count, guesses);
    }
  }
  void run(int tokens, bool noisy = false) {
    while (streams.front().tokens < tokens) {
      step(noisy);
    }
  }
  double chance() {
    return std::uniform_real_distribution<double>(0, 1)(random);
  }

  Machine machine;
  Speculator speculator{Speculating::where_it_pays};
  std::list<Stream> streams;
  std::mt19937 random{11};
};

double speedup(const Stream& stream) {
  return stream.plain_seconds / stream.seconds;
}

TEST(Speculator, CopiesAreMuchFaster) {
  World world({});
  Stream& stream = world.add(0.97, 0.97);
  world.run(400);
  EXPECT_GT(speedup(stream), 2.2);
}

TEST(Speculator, BadGuessesCostUnderTwoPercent) {
  for (const double right : {0.0, 0.1, 0.2, 0.3, 0.5}) {
    for (const double row : {0.0005, 0.004, 0.012, 0.016, 0.03}) {
      World world({.plain = 0.016, .row = row});
      Stream& stream = world.add(right, right);
      world.run(150);
      EXPECT_GT(speedup(stream), 0.98) << right << " " << row;
    }
  }
}

// Guesses that were good and then are bad give back no more than they won.
TEST(Speculator, ATurnForTheWorse) {
  World world({});
  Stream& stream = world.add(0.95, 0.95);
  world.run(200);
  const double won = stream.plain_seconds - stream.seconds;
  stream.first = stream.later = 0;
  world.run(600);
  EXPECT_GT(stream.plain_seconds - stream.seconds, 0.8 * won);
}

TEST(Speculator, ShortAnswersTogetherCostUnderTwoPercent) {
  World world({.plain = 0.016, .row = 0.012});
  double seconds = 0;
  double plain = 0;
  for (int i = 0; i < 60; ++i) {
    world.streams.clear();
    Stream& stream = world.add(0.3, 0.3);
    world.run(20);
    seconds += stream.seconds;
    plain += stream.plain_seconds;
  }
  EXPECT_GT(plain / seconds, 0.98);
}

TEST(Speculator, NobodyPaysForAnothersGuesses) {
  World world({.plain = 0.016, .row = 0.006});
  Stream& plain = world.add(0, 0);
  Stream& copies = world.add(0.97, 0.97);
  for (int i = 0; i < 400; ++i) {
    world.step();
  }
  EXPECT_GT(speedup(plain), 0.98);
  EXPECT_GE(speedup(copies), 0.98);
}

TEST(Speculator, ManyCopiesWinTogether) {
  World world({.plain = 0.016, .row = 0.002});
  for (int i = 0; i < 4; ++i) {
    world.add(0.97, 0.97);
  }
  world.run(600);
  for (const Stream& each : world.streams) {
    EXPECT_GT(speedup(each), 1.4);
  }
}

TEST(Speculator, ABusyMachineIsNoReason) {
  World world({});
  Stream& stream = world.add(0.97, 0.97);
  world.run(2000, true);
  EXPECT_GT(speedup(stream), 2);
  World slow({.plain = 0.016, .row = 0.02});
  Stream& bound = slow.add(0.3, 0.3);
  slow.run(2000, true);
  EXPECT_GT(speedup(bound), 0.98);
}

// What guesses cost was measured while something else ran.
TEST(Speculator, AHighPriceIsMeasuredAgain) {
  World world({.plain = 0.016, .row = 0.03});
  Stream& stream = world.add(0.9, 0.9);
  world.run(300);
  world.machine.row = 0.002;
  const int before = stream.tokens;
  const double then = stream.seconds;
  world.run(before + 4000);
  const double plain = 4000 * world.machine.seconds(1, 0);
  EXPECT_GT(plain / (stream.seconds - then), 1.5);
}

TEST(Speculator, AlwaysIsAlways) {
  Speculator speculator{Speculating::always};
  Drafter drafter(std::make_unique<Chancy>(), speculator.acceptance());
  std::vector<Drafter*> rows = {&drafter};
  drafter.draft({}, 5, speculator.begin(rows, false));
  speculator.choose(rows);
  EXPECT_EQ(drafter.kept().size(), 5u);
  drafter.follow(std::vector<int32_t>{0, 1, 9});
  speculator.measured(rows, 1);
  EXPECT_EQ(speculator.counts().drafted, 5u);
  EXPECT_EQ(speculator.counts().accepted, 2u);
}

TEST(Drafter, LearnsFromGuessesThatStayedBehind) {
  Acceptance all;
  Drafter drafter(std::make_unique<Chancy>(), &all);
  const double before = all.chance(2);
  for (int i = 0; i < 20; ++i) {
    drafter.draft({}, 1);
    drafter.follow(std::vector<int32_t>{7});
  }
  EXPECT_LT(all.chance(2), before / 2);
  EXPECT_EQ(drafter.came(), 1);
  EXPECT_EQ(drafter.accepted(), 0);
}

}  // namespace
}  // namespace rapid
