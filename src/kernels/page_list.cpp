#include <algorithm>
#include <cstring>

#include "kernels/attention.h"

namespace rapid {

mx::Shape page_shape(const KvShape& shape) {
  const int block = shape.bits > 0 ? static_cast<int>(shape.codes().bytes)
                                   : kPageTokens * shape.dim;
  return {2, shape.heads, block};
}

namespace {

bool pages_on_cpu() {
  return mx::default_device() == mx::Device::cpu;
}

// On the CPU pages are written in place, so each owns its memory; elsewhere a
// page begins as a node of zeros, and a plain-ops update makes a new array.
std::shared_ptr<KvPage> new_page(const KvShape& shape) {
  const mx::Shape dims = page_shape(shape);
  if (!pages_on_cpu()) {
    return std::make_shared<KvPage>(KvPage{mx::zeros(dims, shape.dtype)});
  }
  const size_t bytes = static_cast<size_t>(dims[0]) * dims[1] * dims[2] *
                       mx::size_of(shape.dtype);
  mx::array data(mx::allocator::malloc(bytes), dims, shape.dtype);
  std::memset(data.data<char>(), 0, bytes);
  return std::make_shared<KvPage>(KvPage{std::move(data)});
}

std::shared_ptr<KvPage> copy_page(const KvPage& page, const KvShape& shape) {
  if (!pages_on_cpu()) {
    // Our GPU kernels write float16 pages in place; codes are replaced.
    return std::make_shared<KvPage>(
        shape.bits > 0 ? page
                       : KvPage{mx::multiply(
                             page.data, mx::array(1.0f, page.data.dtype()))});
  }
  mx::array from = page.data;
  from.eval();
  if (!from.flags().row_contiguous) {
    from = mx::contiguous(from);
    from.eval();
  }
  auto copy = new_page(shape);
  std::memcpy(copy->data.data<char>(), from.data<char>(), from.nbytes());
  return copy;
}

int pages_for(int tokens) {
  return (tokens + kPageTokens - 1) / kPageTokens;
}

}  // namespace

void PageList::prepare_append(int count) {
  // Pages from here on are about to be written: they must be ours alone.
  for (size_t i = static_cast<size_t>(length / kPageTokens); i < pages.size();
       ++i) {
    if (pages[i] && pages[i].use_count() > 1) {
      pages[i] = copy_page(*pages[i], shape);
    }
  }
  const auto need = static_cast<size_t>(pages_for(length + count));
  while (pages.size() < need) {
    pages.push_back(new_page(shape));
  }
}

void PageList::truncate(int new_length) {
  length = std::min(length, new_length);
  pages.resize(std::min(pages.size(), static_cast<size_t>(pages_for(length))));
}

void PageList::free_before(int first) {
  const int whole = std::max(first, 0) / kPageTokens;
  const auto count = std::min(pages.size(), static_cast<size_t>(whole));
  for (size_t i = 0; i < count; ++i) {
    pages[i].reset();
  }
}

size_t PageList::bytes() const {
  size_t total = 0;
  for (const auto& page : pages) {
    total += page ? page->data.nbytes() : 0;
  }
  return total;
}

}  // namespace rapid
