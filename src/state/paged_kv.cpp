#include "state/paged_kv.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "state/host_bytes.h"

namespace rapid {

namespace {

constexpr const char* kPage = "page";

// The next query, at `length`, still sees window - 1 tokens before it.
int first_needed_page(int length, int window) {
  return window > 0 ? std::max(0, length - window + 1) / kPageTokens : 0;
}

bool holds_window(const PageList& list, int length, int window) {
  const int last = (length - 1) / kPageTokens;
  for (int i = first_needed_page(length, window); length > 0 && i <= last;
       ++i) {
    if (!list.pages[static_cast<size_t>(i)]) {
      return false;
    }
  }
  return true;
}

class PagedSnapshot final : public StateSnapshot {
 public:
  PagedSnapshot(PageList list, int window)
      : list_(std::move(list)), window_(window) {}

  int length() const override { return list_.length; }
  size_t bytes() const override { return list_.bytes(); }
  const PageList& list() const { return list_; }

  int rewind_floor() const override {
    const auto held = std::find_if(
        list_.pages.begin(), list_.pages.end(), [](const auto& page) {
          return page != nullptr;
        });
    const auto freed =
        static_cast<int>(held - list_.pages.begin()) * kPageTokens;
    return freed == 0 ? 0 : std::min(list_.length, freed + window_ - 1);
  }

  std::shared_ptr<const StateSnapshot> trimmed(int length) const override {
    if (length < rewind_floor() || length > list_.length) {
      return nullptr;
    }
    PageList list = list_;
    list.truncate(length);
    return std::make_shared<PagedSnapshot>(std::move(list), window_);
  }

  std::shared_ptr<const StateSnapshot> sharing(
      const StateSnapshot& other, int tokens) const override {
    const auto* from = dynamic_cast<const PagedSnapshot*>(&other);
    if (from == nullptr) {
      return nullptr;
    }
    const auto whole = static_cast<size_t>(tokens / kPageTokens);
    const size_t count =
        std::min({whole, list_.pages.size(), from->list_.pages.size()});
    std::shared_ptr<PagedSnapshot> out;
    for (size_t i = 0; i < count; ++i) {
      const auto& page = from->list_.pages[i];
      if (page && list_.pages[i] && page != list_.pages[i]) {
        if (!out) {
          out = std::make_shared<PagedSnapshot>(list_, window_);
        }
        out->list_.pages[i] = page;
      }
    }
    return out;
  }

  void visit_pages(const PageVisitor& visit) const override {
    for (const auto& page : list_.pages) {
      if (page) {
        visit(page.get(), page->data.nbytes());
      }
    }
  }

  std::string kind() const override {
    return fmt::format(
        "kv {}x{} {} pages of {}, window {}",
        list_.shape.heads,
        list_.shape.dim,
        list_.shape.bits > 0 ? fmt::format("{} mixed bits", list_.shape.bits)
                             : dtype_name(list_.shape.dtype),
        kPageTokens,
        window_);
  }

  std::vector<StateUnit> units() const override {
    std::vector<StateUnit> out;
    for (size_t i = 0; i < list_.pages.size(); ++i) {
      const auto& page = list_.pages[i];
      const int first = static_cast<int>(i) * kPageTokens;
      if (page && first < list_.length) {
        const int end = std::min(first + kPageTokens, list_.length);
        StateUnit unit = host_unit(kPage, first, end, page->data);
        // The page as a whole: while it is shared nobody writes it.
        unit.keep = std::make_shared<
            std::pair<std::shared_ptr<const void>, std::shared_ptr<KvPage>>>(
            std::move(unit.keep), page);
        out.push_back(std::move(unit));
      }
    }
    return out;
  }

 private:
  PageList list_;
  int window_;
};

class PagedBuilder final : public SnapshotBuilder {
 public:
  PagedBuilder(KvShape shape, int window) : window_(window) {
    list_.shape = shape;
  }

  Status add(const StateUnit& unit) override {
    const mx::Shape shape = page_shape(list_.shape);
    const size_t bytes = static_cast<size_t>(shape[0]) * shape[1] * shape[2] *
                         mx::size_of(list_.shape.dtype);
    if (unit.name != kPage || unit.first < 0 || unit.first % kPageTokens != 0 ||
        unit.end <= unit.first || unit.end > unit.first + kPageTokens ||
        unit.dtype != dtype_name(list_.shape.dtype) ||
        !std::equal(
            shape.begin(), shape.end(), unit.shape.begin(), unit.shape.end()) ||
        unit.bytes.size() != bytes) {
      return Error{
          ErrorCode::corrupt,
          fmt::format(
              "{} {} is not a page of this layer", unit.name, unit.first)};
    }
    const auto index = static_cast<size_t>(unit.first / kPageTokens);
    if (list_.pages.size() <= index) {
      list_.pages.resize(index + 1);
    }
    list_.pages[index] = std::make_shared<KvPage>(
        KvPage{array_of(unit.bytes, shape, list_.shape.dtype)});
    ends_.resize(list_.pages.size());
    ends_[index] = unit.end;
    list_.length = std::max(list_.length, unit.end);
    return {};
  }

  Result<std::shared_ptr<const StateSnapshot>> finish(int length) override {
    forget_behind_hole(length);
    if (length > list_.length || !holds_window(list_, length, window_)) {
      return Error{
          ErrorCode::corrupt,
          fmt::format("pages are missing before token {}", length)};
    }
    list_.truncate(length);
    return std::shared_ptr<const StateSnapshot>(
        std::make_shared<PagedSnapshot>(std::move(list_), window_));
  }

 private:
  // Units of several snapshots of a window may leave a hole between them; what
  // lies before it is of no use.
  void forget_behind_hole(int length) {
    const size_t last = static_cast<size_t>(std::max(length - 1, 0)) /
                        static_cast<size_t>(kPageTokens);
    for (size_t i = std::min(last + 1, ends_.size()); i-- > 0;) {
      const int whole = static_cast<int>(i + 1) * kPageTokens;
      if (!list_.pages[i] || ends_[i] < std::min(whole, length)) {
        std::fill_n(list_.pages.begin(), i + 1, nullptr);
        return;
      }
    }
  }

  PageList list_;
  std::vector<int> ends_;  // of the tokens in each page
  int window_;
};

}  // namespace

PagedKv::PagedKv(KvShape shape, int window, int form) : window_(window) {
  list_.shape = shape;
  list_.form = form;
}

bool PagedKv::trim(int n) {
  if (n <= 0) {
    return n == 0;
  }
  if (n > list_.length) {
    return false;
  }
  const int new_length = list_.length - n;
  if (!holds_window(list_, new_length, window_)) {
    return false;
  }
  list_.truncate(new_length);
  return true;
}

std::shared_ptr<const StateSnapshot> PagedKv::snapshot() const {
  return std::make_shared<PagedSnapshot>(list_, window_);
}

void PagedKv::restore(const StateSnapshot& snapshot) {
  const int form = list_.form;  // a snapshot from disk does not know it
  list_ = dynamic_cast<const PagedSnapshot&>(snapshot).list();
  list_.form = form;
}

std::unique_ptr<SnapshotBuilder> PagedKv::builder() const {
  return std::make_unique<PagedBuilder>(list_.shape, window_);
}

std::unique_ptr<LayerState> PagedKv::fork() const {
  return std::make_unique<PagedKv>(*this);
}

void PagedKv::collect(std::vector<mx::array>& out) const {
  for (const auto& page : list_.pages) {
    if (page && page->data.status() == mx::array::Status::unscheduled) {
      out.push_back(page->data);
    }
  }
}

PageList* PagedKv::prepare(int count) {
  if (window_ > 0) {
    list_.free_before(list_.length - window_ + 1);
  }
  list_.prepare_append(count);
  return &list_;
}

}  // namespace rapid
