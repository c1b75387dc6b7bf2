#include "speculation/speculator.h"

#include <algorithm>

namespace rapid {
namespace {

// A gain under that is noise.
constexpr double kWorthIt = 1.05;
// Plain steps' time that a new row may lose, and all rows together at first.
constexpr double kRowGrant = 1;
constexpr double kFirstGrant = 4;
// What guesses cost may have been measured on a bad day: it is measured again
// where they would pay at this price (of a plain step each).
constexpr double kHopedFor = 0.2;
constexpr int kHopedGuesses = 3;
constexpr int kPatience = 64;
constexpr int kMostPatience = 1024;

}  // namespace

DraftTerms Speculator::begin(std::span<Drafter* const> rows, bool alone) {
  const auto is_new = [](const Drafter* row) { return !row->met; };
  if (!std::ranges::equal(rows, rows_) || std::ranges::any_of(rows, is_new)) {
    cost_.rows_changed();
    rows_.assign(rows.begin(), rows.end());
    std::ranges::for_each(rows, [](Drafter* row) { row->met = true; });
  }
  guesses_ = 0;
  alone_ = alone;
  const int count = static_cast<int>(rows.size());
  may_guess_ = !rows.empty() &&
               (mode_ == Speculating::always ||
                (alone && cost_.plain(count) > 0 && !cost_.stale(count)));
  if (!may_guess_) {
    return {};
  }
  grant(rows);
  if (mode_ == Speculating::always) {
    return {1, 0, 1e9};
  }
  return {
      cost_.plain(count),
      cost_.extra(count, 4) / 4,
      std::max(budget(rows), 0.0) / count};
}

void Speculator::choose(std::span<Drafter* const> rows) {
  // What was thought is paid, whatever comes of it.
  for (const Drafter* thinker : rows) {
    for (Drafter* row : rows) {
      row->account.charge(thinker->spent(), 0);
      account_.charge(thinker->spent(), 0);
    }
  }
  if (!may_guess_) {
    return;
  }
  const std::vector<Offer> offered = offers(rows);
  guesses_ =
      mode_ == Speculating::always
          ? static_cast<int>(offered.size())
          : how_many(offered, static_cast<int>(rows.size()), budget(rows));
  std::vector<int> kept(rows.size());
  for (int i = 0; i < guesses_; ++i) {
    ++kept[offered[static_cast<size_t>(i)].row];
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i]->keep(kept[i]);
  }
}

int Speculator::how_many(
    std::span<const Offer> offers, int rows, double budget) {
  if (offers.empty()) {
    return 0;
  }
  const int best = best_count(offers, rows, budget);
  if (best > 0) {
    patience_ = kPatience;
    return cost_.knows_guesses() ? best : 1;
  }
  if (!probe_due(offers, rows)) {
    return 0;
  }
  return cost_.extra(rows, 1) <= budget ? 1 : 0;
}

// The likeliest first; a row's own stay in order, as chances only fall.
std::vector<Speculator::Offer> Speculator::offers(
    std::span<Drafter* const> rows) const {
  std::vector<Offer> out;
  for (size_t i = 0; i < rows.size(); ++i) {
    double chance = 1;
    for (int j = 0; j < rows[i]->offered(); ++j) {
      chance *= rows[i]->chance(j);
      out.push_back({chance, i});
    }
  }
  std::ranges::stable_sort(out, [](const Offer& left, const Offer& right) {
    return left.chance > right.chance;
  });
  const size_t most = static_cast<size_t>(std::max(
      0,
      std::min(
          kMostOfStep, StepCost::kMostRows - static_cast<int>(rows.size()))));
  out.resize(std::min(out.size(), most));
  return out;
}

// With which the tokens of a second are most.
int Speculator::best_count(
    std::span<const Offer> offers, int rows, double budget) const {
  const double plain = cost_.plain(rows);
  double best = kWorthIt * rows / plain;
  double tokens = rows;
  int out = 0;
  for (int i = 0; i < static_cast<int>(offers.size()); ++i) {
    tokens += offers[static_cast<size_t>(i)].chance;
    const double extra = cost_.extra(rows, i + 1);
    const double rate = tokens / (plain + extra);
    if (extra <= budget && rate > best) {
      best = rate;
      out = i + 1;
    }
  }
  return out;
}

// What a step may cost more when all guesses are wrong.
double Speculator::budget(std::span<Drafter* const> rows) const {
  double out = account_.left() / static_cast<double>(rows.size());
  for (const Drafter* row : rows) {
    out = std::min(out, row->account.left());
  }
  return out;
}

bool Speculator::probe_due(std::span<const Offer> offers, int rows) {
  double tokens = rows;
  const size_t count = std::min<size_t>(kHopedGuesses, offers.size());
  for (size_t i = 0; i < count; ++i) {
    tokens += offers[i].chance;
  }
  const double price = 1 + kHopedFor * static_cast<double>(count);
  if (tokens < kWorthIt * price * rows || ++passed_ < patience_) {
    return false;
  }
  passed_ = 0;
  patience_ = std::min(2 * std::max(patience_, kPatience), kMostPatience);
  return true;
}

void Speculator::grant(std::span<Drafter* const> rows) {
  const double plain = cost_.plain(static_cast<int>(rows.size()));
  if (!granted_) {
    account_.grant(kFirstGrant * plain);
    granted_ = true;
  }
  for (Drafter* row : rows) {
    if (!row->granted) {
      row->account.grant(kRowGrant * plain);
      row->granted = true;
    }
  }
}

void Speculator::measured(std::span<Drafter* const> rows, double seconds) {
  const int count = static_cast<int>(rows.size());
  if (count == 0) {
    return;
  }
  if (alone_) {
    cost_.measured(count, guesses_, seconds);
  }
  // By what such steps cost, not by this one: a machine has its moments.
  const double plain = cost_.plain(count);
  const double step = plain + cost_.extra(count, guesses_);
  int accepted = 0;
  for (Drafter* row : rows) {
    const double worth = plain * row->came();
    row->account.charge(step, worth);
    account_.charge(step, worth);
    accepted += row->accepted();
  }
  counts_.drafted += static_cast<uint64_t>(guesses_);
  counts_.accepted += static_cast<uint64_t>(accepted);
}

}  // namespace rapid
