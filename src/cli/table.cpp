#include "cli/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace rapid {

namespace {

// Characters, not bytes; wide scripts would need a table we do not carry.
size_t width_of(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](unsigned char c) {
        return (c & 0xC0) != 0x80;
      }));
}

std::string scaled(double value, const char* const* units, int count) {
  int unit = 0;
  // 999.96 would print as "1000.0".
  while (unit + 1 < count && value >= 999.95) {
    value /= 1000;
    ++unit;
  }
  return unit == 0 ? fmt::format("{:.0f}{}", value, units[0])
                   : fmt::format("{:.1f}{}", value, units[unit]);
}

}  // namespace

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

void Table::row(std::vector<std::string> cells) {
  if (cells.size() != columns_.size()) {
    throw std::logic_error("a row has as many cells as the table columns");
  }
  rows_.push_back(std::move(cells));
}

std::string Table::text() const {
  std::vector<size_t> widths;
  for (size_t c = 0; c < columns_.size(); ++c) {
    widths.push_back(width_of(columns_[c].title));
    for (const auto& row : rows_) {
      widths[c] = std::max(widths[c], width_of(row[c]));
    }
  }
  std::string out;
  const auto line = [&](const auto& cell_of) {
    std::string text;
    for (size_t c = 0; c < columns_.size(); ++c) {
      const std::string& cell = cell_of(c);
      const std::string gap(widths[c] - width_of(cell), ' ');
      text += columns_[c].align == Align::right ? gap + cell : cell + gap;
      text += "  ";
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + "\n";
  };
  line([&](size_t c) -> const std::string& { return columns_[c].title; });
  for (const auto& row : rows_) {
    line([&](size_t c) -> const std::string& { return row[c]; });
  }
  return out;
}

std::string human_bytes(uint64_t bytes) {
  static constexpr const char* kUnits[] = {" B", " kB", " MB", " GB", " TB"};
  return scaled(static_cast<double>(bytes), kUnits, 5);
}

std::string human_count(double count) {
  static constexpr const char* kUnits[] = {"", " k", " M", " B", " T"};
  return scaled(count, kUnits, 5);
}

std::string human_seconds(double seconds) {
  if (seconds < 0.9995) {
    return fmt::format("{:.0f} ms", seconds * 1e3);
  }
  if (seconds < 59.95) {
    return fmt::format("{:.1f} s", seconds);
  }
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  if (whole < 3600) {
    return fmt::format("{} min {} s", whole / 60, whole % 60);
  }
  return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
}

}  // namespace rapid
