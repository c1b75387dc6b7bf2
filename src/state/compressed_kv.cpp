#include "state/compressed_kv.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "state/host_bytes.h"

namespace rapid {

namespace {

// The parts of the lists under the names of their units, and how many tokens
// a row tells of.
struct Part {
  const char* name;
  RowPages CompressedLists::* pages;
  int tokens;
};

std::vector<Part> parts_of(const CompressedShape& shape) {
  std::vector<Part> out = {{"window", &CompressedLists::window, 1}};
  if (shape.rate > 0) {
    out.push_back({"pending", &CompressedLists::pending, 1});
    out.push_back({"entries", &CompressedLists::entries, shape.rate});
  }
  if (shape.index_dim > 0) {
    out.push_back({"index", &CompressedLists::index, shape.rate});
  }
  return out;
}

// The smallest length that rows from `first` on are enough for.
int floor_of_window(const CompressedLists& lists) {
  const int first = lists.window.first_held();
  return first == 0 ? 0 : first + lists.shape.window - 1;
}

int floor_of_pending(const CompressedLists& lists) {
  const int first = lists.pending.first_held();
  const int rate = lists.shape.rate;
  return first == 0 || rate == 0
             ? 0
             : ((first + rate - 1) / rate + (lists.shape.overlap ? 1 : 0)) *
                   rate;
}

class CompressedSnapshot final : public StateSnapshot {
 public:
  explicit CompressedSnapshot(CompressedLists lists)
      : lists_(std::move(lists)) {}

  int length() const override { return lists_.length; }
  size_t bytes() const override { return lists_.bytes(); }
  const CompressedLists& lists() const { return lists_; }

  int rewind_floor() const override {
    return std::min(
        lists_.length,
        std::max(floor_of_window(lists_), floor_of_pending(lists_)));
  }

  std::shared_ptr<const StateSnapshot> trimmed(int length) const override {
    if (length < rewind_floor() || length > lists_.length) {
      return nullptr;
    }
    CompressedLists lists = lists_;
    lists.truncate(length);
    return std::make_shared<CompressedSnapshot>(std::move(lists));
  }

  std::shared_ptr<const StateSnapshot> sharing(
      const StateSnapshot& other, int tokens) const override {
    const auto* from = dynamic_cast<const CompressedSnapshot*>(&other);
    if (from == nullptr) {
      return nullptr;
    }
    std::shared_ptr<CompressedSnapshot> out;
    for (const Part& part : parts_of(lists_.shape)) {
      const auto& mine = (lists_.*part.pages).pages;
      const auto& theirs = (from->lists_.*part.pages).pages;
      const auto whole =
          static_cast<size_t>(tokens / (kRowsOfPage * part.tokens));
      const size_t count = std::min({whole, mine.size(), theirs.size()});
      for (size_t i = 0; i < count; ++i) {
        if (mine[i] && theirs[i] && mine[i] != theirs[i]) {
          if (!out) {
            out = std::make_shared<CompressedSnapshot>(lists_);
          }
          (out->lists_.*part.pages).pages[i] = theirs[i];
        }
      }
    }
    return out;
  }

  void visit_pages(const PageVisitor& visit) const override {
    for (const Part& part : parts_of(lists_.shape)) {
      for (const auto& page : (lists_.*part.pages).pages) {
        if (page) {
          visit(page.get(), page->data.nbytes());
        }
      }
    }
  }

  std::string kind() const override {
    const CompressedShape& s = lists_.shape;
    return fmt::format(
        "compressed {} of {}, window {}, one of {}{}, index of {}",
        s.dim,
        kRowsOfPage,
        s.window,
        s.rate,
        s.overlap ? " overlapping" : "",
        s.index_dim);
  }

  std::vector<StateUnit> units() const override {
    std::vector<StateUnit> out;
    for (const Part& part : parts_of(lists_.shape)) {
      const RowPages& rows = lists_.*part.pages;
      for (size_t i = 0; i < rows.pages.size(); ++i) {
        const auto& page = rows.pages[i];
        const int first = static_cast<int>(i) * kRowsOfPage;
        if (!page || first >= rows.count) {
          continue;
        }
        const int end = std::min(first + kRowsOfPage, rows.count);
        StateUnit unit = host_unit(
            part.name, first * part.tokens, end * part.tokens, page->data);
        // The page as a whole: while it is shared nobody writes it.
        unit.keep = std::make_shared<
            std::pair<std::shared_ptr<const void>, std::shared_ptr<RowPage>>>(
            std::move(unit.keep), page);
        out.push_back(std::move(unit));
      }
    }
    return out;
  }

 private:
  CompressedLists lists_;
};

class CompressedBuilder final : public SnapshotBuilder {
 public:
  explicit CompressedBuilder(const CompressedShape& shape) : lists_(shape) {}

  Status add(const StateUnit& unit) override {
    const auto parts = parts_of(lists_.shape);
    for (size_t i = 0; i < parts.size(); ++i) {
      if (unit.name == parts[i].name) {
        return add(unit, parts[i], ends_[i]);
      }
    }
    return no_unit(unit);
  }

  Result<std::shared_ptr<const StateSnapshot>> finish(int length) override {
    const auto parts = parts_of(lists_.shape);
    for (size_t i = 0; i < parts.size(); ++i) {
      forget_behind_hole(
          lists_.*parts[i].pages, ends_[i], length / parts[i].tokens);
    }
    lists_.advance(length);
    for (const Part& part : parts) {  // what has no unit is freed, not new
      RowPages& rows = lists_.*part.pages;
      rows.pages.resize(
          static_cast<size_t>((rows.count + kRowsOfPage - 1) / kRowsOfPage));
    }
    if (!lists_.holds(length)) {
      return Error{
          ErrorCode::corrupt,
          fmt::format("rows are missing before token {}", length)};
    }
    lists_.truncate(length);
    return std::shared_ptr<const StateSnapshot>(
        std::make_shared<CompressedSnapshot>(std::move(lists_)));
  }

 private:
  static Error no_unit(const StateUnit& unit) {
    return Error{
        ErrorCode::corrupt,
        fmt::format(
            "{} {} is not a page of this layer", unit.name, unit.first)};
  }

  Status add(const StateUnit& unit, const Part& part, std::vector<int>& ends) {
    RowPages& rows = lists_.*part.pages;
    const int page = kRowsOfPage * part.tokens;
    const mx::Shape shape = {kRowsOfPage, rows.width};
    if (unit.first < 0 || unit.first % page != 0 || unit.end <= unit.first ||
        unit.end > unit.first + page || unit.end % part.tokens != 0 ||
        unit.dtype != dtype_name(mx::float32) ||
        !std::equal(
            shape.begin(), shape.end(), unit.shape.begin(), unit.shape.end()) ||
        unit.bytes.size() !=
            static_cast<size_t>(kRowsOfPage) * rows.width * sizeof(float)) {
      return no_unit(unit);
    }
    const auto index = static_cast<size_t>(unit.first / page);
    if (rows.pages.size() <= index) {
      rows.pages.resize(index + 1);
    }
    rows.pages[index] = std::make_shared<RowPage>(
        RowPage{array_of(unit.bytes, shape, mx::float32)});
    ends.resize(rows.pages.size());
    ends[index] = unit.end / part.tokens;
    return {};
  }

  // Units of several snapshots may leave a hole between them; what lies before
  // it is of no use.
  static void forget_behind_hole(
      RowPages& rows, const std::vector<int>& ends, int count) {
    const auto last = static_cast<size_t>(std::max(count - 1, 0) / kRowsOfPage);
    for (size_t i = std::min(last + 1, ends.size()); i-- > 0;) {
      const int whole = static_cast<int>(i + 1) * kRowsOfPage;
      if (!rows.pages[i] || ends[i] < std::min(whole, count)) {
        std::fill_n(rows.pages.begin(), i + 1, nullptr);
        return;
      }
    }
  }

  CompressedLists lists_;
  std::array<std::vector<int>, 4> ends_;  // rows behind each page's last
};

}  // namespace

bool CompressedKv::trim(int n) {
  if (n <= 0) {
    return n == 0;
  }
  if (n > lists_.length || !lists_.holds(lists_.length - n)) {
    return false;
  }
  lists_.truncate(lists_.length - n);
  return true;
}

void CompressedKv::keep_way_back(int tokens) {
  way_back_ = std::max(tokens, least_back_);
}

std::shared_ptr<const StateSnapshot> CompressedKv::snapshot() const {
  return std::make_shared<CompressedSnapshot>(lists_);
}

void CompressedKv::restore(const StateSnapshot& snapshot) {
  lists_ = dynamic_cast<const CompressedSnapshot&>(snapshot).lists();
}

std::unique_ptr<SnapshotBuilder> CompressedKv::builder() const {
  return std::make_unique<CompressedBuilder>(lists_.shape);
}

std::unique_ptr<LayerState> CompressedKv::fork() const {
  return std::make_unique<CompressedKv>(*this);
}

void CompressedKv::collect(std::vector<mx::array>& out) const {
  for (const Part& part : parts_of(lists_.shape)) {
    for (const auto& page : (lists_.*part.pages).pages) {
      if (page && page->data.status() == mx::array::Status::unscheduled) {
        out.push_back(page->data);
      }
    }
  }
}

CompressedLists* CompressedKv::prepare(int count) {
  lists_.free_before(lists_.length - way_back_);
  lists_.prepare_append(count);
  return &lists_;
}

}  // namespace rapid
