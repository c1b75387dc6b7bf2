#include "kernels/row_pages.h"

#include <algorithm>
#include <cstring>

namespace rapid {

namespace {

bool pages_on_cpu() {
  return mx::default_device() == mx::Device::cpu;
}

// On the CPU pages are written in place, so each owns its memory; elsewhere a
// page begins as a node of zeros, and an update makes a new array.
std::shared_ptr<RowPage> new_page(int width) {
  const mx::Shape shape = {kRowsOfPage, width};
  if (!pages_on_cpu()) {
    return std::make_shared<RowPage>(RowPage{mx::zeros(shape, mx::float32)});
  }
  const size_t bytes = static_cast<size_t>(kRowsOfPage) * width * sizeof(float);
  mx::array data(mx::allocator::malloc(bytes), shape, mx::float32);
  std::memset(data.data<char>(), 0, bytes);
  return std::make_shared<RowPage>(RowPage{std::move(data)});
}

std::shared_ptr<RowPage> copy_page(const RowPage& page, int width) {
  if (!pages_on_cpu()) {
    return std::make_shared<RowPage>(page);  // its array is replaced
  }
  mx::array from = page.data;
  from.eval();
  if (!from.flags().row_contiguous) {
    from = mx::contiguous(from);
    from.eval();
  }
  auto copy = new_page(width);
  std::memcpy(copy->data.data<char>(), from.data<char>(), from.nbytes());
  return copy;
}

int pages_for(int rows) {
  return (rows + kRowsOfPage - 1) / kRowsOfPage;
}

}  // namespace

void RowPages::prepare_append(int rows) {
  for (auto i = static_cast<size_t>(count / kRowsOfPage); i < pages.size();
       ++i) {
    if (pages[i] && pages[i].use_count() > 1) {
      pages[i] = copy_page(*pages[i], width);
    }
  }
  const auto need = static_cast<size_t>(pages_for(count + rows));
  while (pages.size() < need) {
    pages.push_back(new_page(width));
  }
}

void RowPages::truncate(int new_count) {
  count = std::min(count, new_count);
  pages.resize(std::min(pages.size(), static_cast<size_t>(pages_for(count))));
}

void RowPages::free_before(int first) {
  const auto whole = static_cast<size_t>(std::max(first, 0) / kRowsOfPage);
  std::fill_n(pages.begin(), std::min(pages.size(), whole), nullptr);
}

bool RowPages::holds(int first, int last) const {
  if (last % kRowsOfPage != 0) {
    first = std::min(first, last - 1);
  }
  if (first >= last) {
    return true;
  }
  const auto end = static_cast<size_t>(pages_for(last));
  if (last > count || end > pages.size()) {
    return false;
  }
  const auto from = pages.begin() + first / kRowsOfPage;
  return std::all_of(
      from,
      pages.begin() + static_cast<std::ptrdiff_t>(end),
      [](const auto& page) { return page != nullptr; });
}

int RowPages::first_held() const {
  const auto held = std::find_if(
      pages.begin(), pages.end(), [](const auto& page) { return !!page; });
  return static_cast<int>(held - pages.begin()) * kRowsOfPage;
}

size_t RowPages::bytes() const {
  size_t total = 0;
  for (const auto& page : pages) {
    total += page ? page->data.nbytes() : 0;
  }
  return total;
}

void RowPages::append(const mx::array& rows) {
  for (int done = 0; done < rows.shape(0);) {
    const int at = count % kRowsOfPage;
    const int n = std::min(kRowsOfPage - at, rows.shape(0) - done);
    RowPage& page = *pages[static_cast<size_t>(count / kRowsOfPage)];
    page.data = mx::slice_update(
        page.data,
        mx::slice(rows, {done, 0}, {done + n, width}),
        mx::Shape{at, 0},
        mx::Shape{at + n, width});
    done += n;
    count += n;
  }
}

mx::array RowPages::rows(int first, int last) const {
  if (first >= last) {
    return mx::zeros({0, width}, mx::float32);
  }
  const int page = first / kRowsOfPage;
  std::vector<mx::array> parts;
  for (int i = page; i < pages_for(last); ++i) {
    parts.push_back(pages[static_cast<size_t>(i)]->data);
  }
  const int base = page * kRowsOfPage;
  return mx::slice(
      mx::concatenate(std::move(parts), 0),
      {first - base, 0},
      {last - base, width});
}

}  // namespace rapid
