// Plain tables and human units for the terminal. Pure: text in, text out.
//
//   Table table({{"MODEL"}, {"SIZE", Table::Align::right}});
//   table.row({"a", human_bytes(1 << 20)});
//   table.text();  // columns padded with two spaces between, no trailing ones
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rapid {

class Table {
 public:
  enum class Align { left, right };
  struct Column {
    std::string title;
    Align align = Align::left;
  };

  explicit Table(std::vector<Column> columns);
  void row(std::vector<std::string> cells);  // one per column
  std::string text() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

std::string human_bytes(uint64_t bytes);    // "98.4 MB": powers of 1000
std::string human_seconds(double seconds);  // "450 ms" "4.2 s" "3 min 20 s"
std::string human_count(double count);      // "134.5 M"

}  // namespace rapid
