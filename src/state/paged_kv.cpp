#include "state/paged_kv.h"

#include <algorithm>

namespace rapid {

namespace {

class PagedSnapshot final : public StateSnapshot {
 public:
  explicit PagedSnapshot(PageList list) : list_(std::move(list)) {}
  int length() const override { return list_.length; }
  size_t bytes() const override { return list_.bytes(); }
  const PageList& list() const { return list_; }

 private:
  PageList list_;
};

}  // namespace

PagedKv::PagedKv(KvShape shape, int window) : window_(window) {
  list_.shape = shape;
}

bool PagedKv::trim(int n) {
  if (n <= 0) {
    return n == 0;
  }
  if (n > list_.length) {
    return false;
  }
  const int new_length = list_.length - n;
  if (window_ > 0 && new_length > 0) {
    // The next query, at new_length, still sees window - 1 tokens before it.
    const int first = std::max(0, new_length - window_ + 1);
    const int last = new_length - 1;
    for (int page = first / kPageTokens; page <= last / kPageTokens; ++page) {
      if (!list_.pages[static_cast<size_t>(page)]) {
        return false;
      }
    }
  }
  list_.truncate(new_length);
  return true;
}

std::shared_ptr<const StateSnapshot> PagedKv::snapshot() const {
  return std::make_shared<PagedSnapshot>(list_);
}

void PagedKv::restore(const StateSnapshot& snapshot) {
  list_ = dynamic_cast<const PagedSnapshot&>(snapshot).list();
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
