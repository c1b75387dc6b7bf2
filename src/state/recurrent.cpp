#include "state/recurrent.h"

#include <fmt/format.h>

#include <algorithm>

#include "state/host_bytes.h"

namespace rapid {

namespace {

size_t bytes_of(const Arrays& arrays) {
  size_t total = 0;
  for (const auto& array : arrays) {
    total += array.nbytes();
  }
  return total;
}

class RecurrentSnapshot final : public StateSnapshot {
 public:
  RecurrentSnapshot(std::string kind, int length, Arrays arrays)
      : kind_(std::move(kind)), length_(length), arrays_(std::move(arrays)) {}

  int length() const override { return length_; }
  size_t bytes() const override { return bytes_of(arrays_); }
  int rewind_floor() const override { return length_; }
  const Arrays& arrays() const { return arrays_; }
  std::string kind() const override { return kind_; }

  std::shared_ptr<const StateSnapshot> trimmed(int length) const override {
    return length == length_ ? std::make_shared<RecurrentSnapshot>(*this)
                             : nullptr;
  }
  std::shared_ptr<const StateSnapshot> sharing(
      const StateSnapshot&, int) const override {
    return nullptr;
  }
  void visit_pages(const PageVisitor& visit) const override {
    for (const auto& array : arrays_) {
      visit(array.data<char>(), array.nbytes());
    }
  }
  std::vector<StateUnit> units() const override {
    std::vector<StateUnit> out;
    for (size_t i = 0; length_ > 0 && i < arrays_.size(); ++i) {
      out.push_back(
          host_unit(fmt::format("array{}", i), 0, length_, arrays_[i]));
    }
    return out;
  }

 private:
  std::string kind_;
  int length_;
  Arrays arrays_;
};

class RecurrentBuilder final : public SnapshotBuilder {
 public:
  RecurrentBuilder(std::string kind, Arrays like)
      : kind_(std::move(kind)),
        arrays_(std::move(like)),
        ends_(arrays_.size(), 0) {}

  Status add(const StateUnit& unit) override {
    for (size_t i = 0; i < arrays_.size(); ++i) {
      const mx::Shape shape = arrays_[i].shape();
      if (unit.name == fmt::format("array{}", i) && unit.first == 0 &&
          unit.dtype == dtype_name(arrays_[i].dtype()) &&
          unit.bytes.size() == arrays_[i].nbytes() &&
          std::equal(
              shape.begin(),
              shape.end(),
              unit.shape.begin(),
              unit.shape.end())) {
        arrays_[i] = array_of(unit.bytes, shape, arrays_[i].dtype());
        ends_[i] = unit.end;
        return {};
      }
    }
    return Error{
        ErrorCode::corrupt, unit.name + " is not an array of this layer"};
  }

  Result<std::shared_ptr<const StateSnapshot>> finish(int length) override {
    for (const int end : ends_) {
      if (end != length) {
        return Error{
            ErrorCode::corrupt,
            fmt::format("an array at token {} is missing", length)};
      }
    }
    return std::shared_ptr<const StateSnapshot>(
        std::make_shared<RecurrentSnapshot>(kind_, length, std::move(arrays_)));
  }

 private:
  std::string kind_;
  Arrays arrays_;
  std::vector<int> ends_;
};

Arrays first_rows(const Arrays& rows, int count) {
  Arrays out;
  for (const auto& row : rows) {
    mx::Shape stop = row.shape();
    stop[0] = count;
    out.push_back(mx::slice(row, mx::Shape(row.ndim(), 0), stop));
  }
  return out;
}

}  // namespace

Recurrent::Recurrent(std::shared_ptr<const RecurrentRule> rule, int tape_tokens)
    : rule_(std::move(rule)),
      least_tape_(tape_tokens),
      tape_tokens_(tape_tokens),
      arrays_(rule_->start()) {
  mx::eval(arrays_);
}

size_t Recurrent::bytes() const {
  size_t total = bytes_of(arrays_);
  for (const Step& step : tape_) {
    total += bytes_of(step.before) + bytes_of(step.rows);
  }
  return total;
}

void Recurrent::append(int count, Arrays rows, Arrays next) {
  Step step{length_, {}, std::move(rows), count};
  length_ += count;
  if (count > tape_tokens_) {
    tape_.clear();
    arrays_ = std::move(next);
    return;
  }
  // Arrays are kept every tape_tokens tokens, so two or three times.
  const auto kept =
      std::find_if(tape_.rbegin(), tape_.rend(), [](const Step& s) {
        return !s.before.empty();
      });
  if (kept == tape_.rend() || step.first - kept->first >= tape_tokens_) {
    step.before = arrays_;
  }
  tape_.push_back(std::move(step));
  arrays_ = std::move(next);
  // The front goes once a later start reaches far enough back.
  for (size_t i = tape_.size(); i-- > 1;) {
    if (!tape_[i].before.empty() && length_ - tape_[i].first >= tape_tokens_) {
      tape_.erase(tape_.begin(), tape_.begin() + static_cast<ptrdiff_t>(i));
      break;
    }
  }
}

void Recurrent::keep_way_back(int tokens) {
  tape_tokens_ = std::max(tokens, least_tape_);
  if (tape_tokens_ == 0) {
    tape_.clear();
  }
}

bool Recurrent::trim(int n) {
  if (n <= 0) {
    return n == 0;
  }
  const int target = length_ - n;
  if (tape_.empty() || target < tape_.front().first) {
    return false;
  }
  while (tape_.back().first > target) {
    tape_.pop_back();
  }
  size_t start = tape_.size() - 1;
  while (tape_[start].before.empty()) {
    --start;
  }
  Arrays arrays = tape_[start].before;
  for (size_t i = start; i < tape_.size(); ++i) {
    Step& step = tape_[i];
    step.count = std::min(step.count, target - step.first);
    if (step.count > 0) {
      step.rows = first_rows(step.rows, step.count);
      arrays = rule_->advance(arrays, step.rows);
    }
  }
  if (tape_.back().count == 0) {
    tape_.pop_back();
  }
  arrays_ = std::move(arrays);
  length_ = target;
  std::vector<mx::array> pending;
  collect(pending);
  mx::eval(pending);
  return true;
}

std::shared_ptr<const StateSnapshot> Recurrent::snapshot() const {
  return std::make_shared<RecurrentSnapshot>(
      "recurrent " + rule_->name(), length_, arrays_);
}

void Recurrent::restore(const StateSnapshot& snapshot) {
  const auto& from = dynamic_cast<const RecurrentSnapshot&>(snapshot);
  arrays_ = from.arrays();
  length_ = from.length();
  tape_.clear();
}

std::unique_ptr<SnapshotBuilder> Recurrent::builder() const {
  return std::make_unique<RecurrentBuilder>(
      "recurrent " + rule_->name(), rule_->start());
}

std::unique_ptr<LayerState> Recurrent::fork() const {
  return std::make_unique<Recurrent>(*this);
}

void Recurrent::collect(std::vector<mx::array>& out) const {
  const auto add = [&](const Arrays& arrays) {
    for (const auto& array : arrays) {
      if (array.status() == mx::array::Status::unscheduled) {
        out.push_back(array);
      }
    }
  };
  add(arrays_);
  for (const Step& step : tape_) {
    add(step.rows);
  }
}

}  // namespace rapid
