// States without arrays, for the cache: each token's row is a hash of all
// tokens up to it, so that a state tells which tokens it is of. Three kinds:
// everything (rewinds anywhere), a window (as far as its pages are held) and
// fixed (nowhere).
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "state/snapshot.h"

namespace rapid::test {

using Tokens = std::vector<int32_t>;

constexpr int kFakePage = 4;

inline std::vector<uint64_t> prefix_hashes(std::span<const int32_t> tokens) {
  std::vector<uint64_t> out;
  uint64_t hash = 1469598103934665603u;
  for (const int32_t token : tokens) {
    hash = (hash ^ static_cast<uint64_t>(token + 1)) * 1099511628211u;
    out.push_back(hash);
  }
  return out;
}

inline std::span<const std::byte> raw_bytes(const std::vector<uint64_t>& rows) {
  return std::as_bytes(std::span(rows));
}

class FakeState final : public StateSnapshot {
 public:
  using Page = std::shared_ptr<const std::vector<uint64_t>>;

  FakeState(int length, int window, std::vector<Page> pages)
      : length_(length), window_(window), pages_(std::move(pages)) {}

  // window 0: everything.
  static std::shared_ptr<const StateSnapshot> of(
      std::span<const int32_t> tokens, int window = 0) {
    const auto rows = prefix_hashes(tokens);
    const int length = static_cast<int>(tokens.size());
    const int first = window > 0 ? std::max(0, length - window + 1) : 0;
    std::vector<Page> pages;
    for (int at = 0; at < length; at += kFakePage) {
      pages.emplace_back();
      if (at + kFakePage > first) {
        std::vector<uint64_t> page(kFakePage);
        std::copy(
            rows.begin() + at,
            rows.begin() + std::min(length, at + kFakePage),
            page.begin());
        pages.back() =
            std::make_shared<const std::vector<uint64_t>>(std::move(page));
      }
    }
    return std::make_shared<FakeState>(length, window, std::move(pages));
  }

  int length() const override { return length_; }
  size_t bytes() const override {
    size_t total = 0;
    visit_pages([&](const void*, size_t bytes) { total += bytes; });
    return total;
  }

  int rewind_floor() const override {
    int freed = 0;
    while (freed < static_cast<int>(pages_.size()) &&
           !pages_[static_cast<size_t>(freed)]) {
      ++freed;
    }
    return freed == 0 ? 0 : std::min(length_, freed * kFakePage + window_ - 1);
  }

  std::shared_ptr<const StateSnapshot> trimmed(int length) const override {
    if (length < rewind_floor() || length > length_) {
      return nullptr;
    }
    auto pages = pages_;
    pages.resize(static_cast<size_t>((length + kFakePage - 1) / kFakePage));
    return std::make_shared<FakeState>(length, window_, std::move(pages));
  }

  std::shared_ptr<const StateSnapshot> sharing(
      const StateSnapshot& other, int tokens) const override {
    const auto* from = dynamic_cast<const FakeState*>(&other);
    if (from == nullptr) {
      return nullptr;
    }
    auto pages = pages_;
    const size_t count = std::min(
        {static_cast<size_t>(tokens / kFakePage),
         pages.size(),
         from->pages_.size()});
    for (size_t i = 0; i < count; ++i) {
      if (pages[i] && from->pages_[i]) {
        pages[i] = from->pages_[i];
      }
    }
    return std::make_shared<FakeState>(length_, window_, std::move(pages));
  }

  void visit_pages(const PageVisitor& visit) const override {
    for (const auto& page : pages_) {
      if (page) {
        visit(page.get(), page->size() * sizeof(uint64_t));
      }
    }
  }

  std::string kind() const override {
    return "fake, window " + std::to_string(window_);
  }

  std::vector<StateUnit> units() const override {
    std::vector<StateUnit> out;
    for (size_t i = 0; i < pages_.size(); ++i) {
      if (pages_[i]) {
        const int first = static_cast<int>(i) * kFakePage;
        out.push_back(StateUnit{
            "page",
            first,
            std::min(first + kFakePage, length_),
            "U64",
            {kFakePage},
            raw_bytes(*pages_[i]),
            pages_[i]});
      }
    }
    return out;
  }

  // Whether it holds what a state of these tokens must.
  bool is_of(std::span<const int32_t> tokens) const {
    const auto rows = prefix_hashes(tokens);
    if (static_cast<int>(tokens.size()) != length_) {
      return false;
    }
    const int needed = window_ > 0 ? std::max(0, length_ - window_ + 1) : 0;
    for (int i = 0; i < length_; ++i) {
      const auto index = static_cast<size_t>(i / kFakePage);
      const auto& page = index < pages_.size() ? pages_[index] : nullptr;
      if (page ? (*page)[static_cast<size_t>(i % kFakePage)] !=
                     rows[static_cast<size_t>(i)]
               : i >= needed) {
        return false;
      }
    }
    return true;
  }

 private:
  int length_;
  int window_;
  std::vector<Page> pages_;
};

class FakeBuilder final : public SnapshotBuilder {
 public:
  explicit FakeBuilder(int window) : window_(window) {}

  Status add(const StateUnit& unit) override {
    if (unit.name != "page" || unit.first % kFakePage != 0 ||
        unit.bytes.size() != kFakePage * sizeof(uint64_t)) {
      return Error{ErrorCode::corrupt, "not a page"};
    }
    std::vector<uint64_t> rows(kFakePage);
    std::memcpy(rows.data(), unit.bytes.data(), unit.bytes.size());
    const auto index = static_cast<size_t>(unit.first / kFakePage);
    pages_.resize(std::max(pages_.size(), index + 1));
    pages_[index] =
        std::make_shared<const std::vector<uint64_t>>(std::move(rows));
    ends_.resize(pages_.size());
    ends_[index] = unit.end;
    return {};
  }

  Result<std::shared_ptr<const StateSnapshot>> finish(int length) override {
    pages_.resize(static_cast<size_t>((length + kFakePage - 1) / kFakePage));
    ends_.resize(pages_.size());
    for (size_t i = pages_.size(); i-- > 0;) {
      const int whole = (static_cast<int>(i) + 1) * kFakePage;
      if (!pages_[i] || ends_[i] < std::min(whole, length)) {
        std::fill_n(pages_.begin(), i + 1, nullptr);
        break;
      }
    }
    return std::shared_ptr<const StateSnapshot>(
        std::make_shared<FakeState>(length, window_, std::move(pages_)));
  }

 private:
  int window_;
  std::vector<FakeState::Page> pages_;
  std::vector<int> ends_;
};

class FakeFixed final : public StateSnapshot {
 public:
  FakeFixed(int length, std::vector<uint64_t> rows)
      : length_(length), rows_(std::move(rows)) {}

  static std::shared_ptr<const StateSnapshot> of(
      std::span<const int32_t> tokens) {
    return std::make_shared<FakeFixed>(
        static_cast<int>(tokens.size()),
        std::vector<uint64_t>(16, prefix_hashes(tokens).back()));
  }

  int length() const override { return length_; }
  size_t bytes() const override { return rows_.size() * sizeof(uint64_t); }
  int rewind_floor() const override { return length_; }
  std::shared_ptr<const StateSnapshot> trimmed(int length) const override {
    return length == length_ ? std::make_shared<FakeFixed>(length_, rows_)
                             : nullptr;
  }
  std::shared_ptr<const StateSnapshot> sharing(
      const StateSnapshot&, int) const override {
    return nullptr;
  }
  void visit_pages(const PageVisitor& visit) const override {
    visit(rows_.data(), bytes());
  }
  std::string kind() const override { return "fake, fixed"; }
  std::vector<StateUnit> units() const override {
    auto copy = std::make_shared<const std::vector<uint64_t>>(rows_);
    return {
        StateUnit{"state", 0, length_, "U64", {16}, raw_bytes(*copy), copy}};
  }
  bool is_of(std::span<const int32_t> tokens) const {
    return static_cast<int>(tokens.size()) == length_ && rows_.size() == 16 &&
           rows_.front() == prefix_hashes(tokens).back() &&
           rows_.back() == rows_.front();
  }

 private:
  int length_;
  std::vector<uint64_t> rows_;
};

class FakeFixedBuilder final : public SnapshotBuilder {
 public:
  Status add(const StateUnit& unit) override {
    if (unit.name != "state" || unit.bytes.size() != 16 * sizeof(uint64_t)) {
      return Error{ErrorCode::corrupt, "not a fixed state"};
    }
    rows_.resize(16);
    std::memcpy(rows_.data(), unit.bytes.data(), unit.bytes.size());
    end_ = unit.end;
    return {};
  }
  Result<std::shared_ptr<const StateSnapshot>> finish(int length) override {
    if (length != end_) {
      return Error{ErrorCode::corrupt, "a fixed state of another length"};
    }
    return std::shared_ptr<const StateSnapshot>(
        std::make_shared<FakeFixed>(length, std::move(rows_)));
  }

 private:
  int end_ = 0;
  std::vector<uint64_t> rows_;
};

// A model: windows of its layers, 0 for everything, -1 for fixed.
using Layers = std::vector<int>;

inline SnapshotSet fake_set(
    const Layers& layers, std::span<const int32_t> tokens) {
  SnapshotSet out;
  for (const int window : layers) {
    out.push_back(
        window < 0 ? FakeFixed::of(tokens) : FakeState::of(tokens, window));
  }
  return out;
}

inline std::vector<std::unique_ptr<SnapshotBuilder>> fake_builders(
    const Layers& layers) {
  std::vector<std::unique_ptr<SnapshotBuilder>> out;
  for (const int window : layers) {
    if (window < 0) {
      out.push_back(std::make_unique<FakeFixedBuilder>());
    } else {
      out.push_back(std::make_unique<FakeBuilder>(window));
    }
  }
  return out;
}

inline bool set_is_of(const SnapshotSet& set, std::span<const int32_t> tokens) {
  return !set.empty() &&
         std::all_of(set.begin(), set.end(), [&](const auto& s) {
           if (const auto* fixed = dynamic_cast<const FakeFixed*>(s.get())) {
             return fixed->is_of(tokens);
           }
           const auto* paged = dynamic_cast<const FakeState*>(s.get());
           return paged != nullptr && paged->is_of(tokens);
         });
}

}  // namespace rapid::test
