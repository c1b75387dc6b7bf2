#include "cache/snapshot_placement.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace rapid {

namespace {

// The choice is quadratic in them; the lightest of more are left out.
constexpr size_t kMostBorders = 256;

struct Site {
  int position = 0;
  double weight = 0;
  bool existing = false;
};

std::vector<Site> sites_of(
    std::span<const Border> borders, std::span<const int> existing) {
  std::vector<Border> kept(borders.begin(), borders.end());
  std::erase_if(
      kept, [](const Border& b) { return b.position <= 0 || !(b.weight > 0); });
  if (kept.size() > kMostBorders) {
    const auto cut = kept.begin() + kMostBorders;
    std::nth_element(
        kept.begin(), cut, kept.end(), [](const Border& a, const Border& b) {
          return a.weight > b.weight;
        });
    kept.erase(cut, kept.end());
  }
  std::map<int, Site> sites;
  for (const Border& border : kept) {
    sites[border.position].weight += border.weight;
  }
  for (const int position : existing) {
    sites[position].existing = true;
  }
  std::vector<Site> out;
  for (auto& [position, site] : sites) {
    site.position = position;
    out.push_back(site);
  }
  return out;
}

}  // namespace

double weight_of(BorderKind kind, int back) {
  switch (kind) {
    case BorderKind::end:
      return 1.0;
    case BorderKind::branch:
    case BorderKind::turn:
      return 0.5;
    case BorderKind::front:
      return 0.5;
    case BorderKind::message:
      return 0.05 * std::pow(0.5, back);
  }
  return 0;
}

// best[n][i]: the most that sites before and at i can bring when the last
// snapshot is at i and n of them are new; the sites from i on are served by
// it until the next one.
std::vector<int> place_snapshots(
    std::span<const Border> borders,
    std::span<const int> existing,
    const PlacementOptions& options) {
  const std::vector<Site> sites = sites_of(borders, existing);
  const size_t count = sites.size();
  const size_t each = std::max<size_t>(options.bytes_per_snapshot, 1);
  const size_t most = std::min(options.byte_budget / each, count);
  const double price = options.min_seconds_per_byte * static_cast<double>(each);
  std::vector<double> weight_before(count + 1, 0.0);
  for (size_t i = 0; i < count; ++i) {
    weight_before[i + 1] = weight_before[i] + sites[i].weight;
  }
  // Seconds that a snapshot at i saves to the sites [i, end).
  const auto served = [&](size_t i, size_t end) {
    return (weight_before[end] - weight_before[i]) * sites[i].position *
           options.seconds_per_token;
  };
  constexpr double kNever = -std::numeric_limits<double>::infinity();
  // Index count stands for "none yet".
  std::vector<std::vector<double>> best(
      most + 1, std::vector<double>(count + 1, kNever));
  std::vector<std::vector<size_t>> before(
      most + 1, std::vector<size_t>(count + 1, count));
  best[0][count] = 0;
  double top = kNever;
  size_t top_n = 0;
  size_t top_i = count;
  for (size_t i = 0; i <= count; ++i) {
    for (size_t n = 0; n <= most; ++n) {
      const bool fresh = i < count && !sites[i].existing;
      // Back over what can stand last before i: never past an existing one.
      if (i < count && (!fresh || n > 0)) {
        const size_t from = fresh ? n - 1 : n;
        bool open = true;
        for (size_t j = i; open && j-- > 0;) {
          const double value = best[from][j] + served(j, i);
          if (value > best[n][i]) {
            best[n][i] = value;
            before[n][i] = j;
          }
          open = !sites[j].existing;
        }
        if (open && best[from][count] > best[n][i]) {
          best[n][i] = best[from][count];
          before[n][i] = count;
        }
        best[n][i] -= fresh ? price : 0;
      }
      // As the last of all, if no existing one follows.
      const bool last = std::none_of(
          sites.begin() + static_cast<ptrdiff_t>(i < count ? i + 1 : 0),
          sites.end(),
          [](const Site& s) { return s.existing; });
      const double whole = best[n][i] + (i < count ? served(i, count) : 0.0);
      if (last && whole > top + 1e-12) {
        top = whole;
        top_n = n;
        top_i = i;
      }
    }
  }
  std::vector<int> out;
  while (top_i < count) {
    const size_t i = top_i;
    top_i = before[top_n][i];
    if (!sites[i].existing) {
      out.push_back(sites[i].position);
      --top_n;
    }
  }
  std::reverse(out.begin(), out.end());
  return out;
}

double expected_seconds(
    std::span<const Border> borders,
    std::span<const int> snapshots,
    double seconds_per_token) {
  double total = 0;
  for (const Border& border : borders) {
    int from = 0;
    for (const int at : snapshots) {
      from = at <= border.position ? std::max(from, at) : from;
    }
    total += border.weight * from * seconds_per_token;
  }
  return total;
}

}  // namespace rapid
