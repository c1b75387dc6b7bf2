// Three recurrences in plain operations, to test states with: what the layers
// of hybrids fold, without projections, gates and norms. Models bring the rules
// of their kernels (kernels/gated_delta.h and its like).
//
// Gated delta rule (Yang et al. 2024, "Gated Delta Networks"), per head:
//   S <- exp(g) S;  S <- S + beta (v - S k) k^T
//   arrays: S [H, Dv, Dk]; rows: k [T, H, Dk], v [T, H, Dv], g [T, H],
//   beta [T, H]
// Mamba2 (Dao & Gu 2024), per head: S <- exp(a) S + x b^T
//   arrays: S [H, P, N]; rows: x [T, H, P] (times dt), b [T, H, N], a [T, H]
// Short convolution: the last K - 1 inputs
//   arrays: C [K - 1, D]; rows: x [T, D]
// Everything is float32.
#pragma once

#include <fmt/format.h>

#include <utility>

#include "state/recurrent.h"

namespace rapid {

namespace {

// Token t of [T, ...], without the first axis.
mx::array row_of(const mx::array& rows, int t) {
  return mx::take(rows, t, 0);
}

class GatedDelta final : public RecurrentRule {
 public:
  GatedDelta(int heads, int value_dim, int key_dim)
      : shape_{heads, value_dim, key_dim} {}
  std::string name() const override {
    return fmt::format("gated delta {}x{}x{}", shape_[0], shape_[1], shape_[2]);
  }
  Arrays start() const override { return {mx::zeros(shape_)}; }
  Arrays advance(const Arrays& arrays, const Arrays& rows) const override {
    mx::array s = arrays[0];  // [H, Dv, Dk]
    for (int t = 0; t < rows[0].shape(0); ++t) {
      const auto k = mx::expand_dims(row_of(rows[0], t), 1);  // [H, 1, Dk]
      const auto v = row_of(rows[1], t);                      // [H, Dv]
      const auto g = mx::expand_dims(row_of(rows[2], t), {1, 2});
      const auto beta = mx::expand_dims(row_of(rows[3], t), 1);
      s = mx::multiply(s, mx::exp(g));
      const auto seen = mx::sum(mx::multiply(s, k), -1);  // [H, Dv]
      const auto error = mx::multiply(mx::subtract(v, seen), beta);
      s = mx::add(s, mx::multiply(mx::expand_dims(error, 2), k));
    }
    return {s};
  }

 private:
  mx::Shape shape_;
};

class Mamba2 final : public RecurrentRule {
 public:
  Mamba2(int heads, int head_dim, int state_dim)
      : shape_{heads, head_dim, state_dim} {}
  std::string name() const override {
    return fmt::format("mamba2 {}x{}x{}", shape_[0], shape_[1], shape_[2]);
  }
  Arrays start() const override { return {mx::zeros(shape_)}; }
  Arrays advance(const Arrays& arrays, const Arrays& rows) const override {
    mx::array s = arrays[0];  // [H, P, N]
    for (int t = 0; t < rows[0].shape(0); ++t) {
      const auto x = mx::expand_dims(row_of(rows[0], t), 2);  // [H, P, 1]
      const auto b = mx::expand_dims(row_of(rows[1], t), 1);  // [H, 1, N]
      const auto a = mx::expand_dims(row_of(rows[2], t), {1, 2});
      s = mx::add(mx::multiply(s, mx::exp(a)), mx::multiply(x, b));
    }
    return {s};
  }

 private:
  mx::Shape shape_;
};

class ShortConv final : public RecurrentRule {
 public:
  ShortConv(int kernel, int channels) : shape_{kernel - 1, channels} {}
  std::string name() const override {
    return fmt::format("short conv {}x{}", shape_[0], shape_[1]);
  }
  Arrays start() const override { return {mx::zeros(shape_)}; }
  Arrays advance(const Arrays& arrays, const Arrays& rows) const override {
    const auto all = mx::concatenate({arrays[0], rows[0]}, 0);
    const int end = all.shape(0);
    const auto last = mx::slice(all, {end - shape_[0], 0}, {end, shape_[1]});
    return {mx::contiguous(last)};
  }

 private:
  mx::Shape shape_;
};

class Joined final : public RecurrentRule {
 public:
  Joined(
      std::vector<std::shared_ptr<const RecurrentRule>> parts,
      std::vector<int> rows)
      : parts_(std::move(parts)), rows_(std::move(rows)) {}
  std::string name() const override {
    std::string out;
    for (const auto& part : parts_) {
      out += (out.empty() ? "" : ", ") + part->name();
    }
    return out;
  }
  Arrays start() const override {
    Arrays out;
    for (const auto& part : parts_) {
      const Arrays more = part->start();
      out.insert(out.end(), more.begin(), more.end());
    }
    return out;
  }
  Arrays advance(const Arrays& arrays, const Arrays& rows) const override {
    Arrays out;
    auto array = arrays.begin();
    auto row = rows.begin();
    for (size_t i = 0; i < parts_.size(); ++i) {
      const auto count = static_cast<ptrdiff_t>(parts_[i]->start().size());
      const Arrays next = parts_[i]->advance(
          Arrays(array, array + count), Arrays(row, row + rows_[i]));
      out.insert(out.end(), next.begin(), next.end());
      array += count;
      row += rows_[i];
    }
    return out;
  }

 private:
  std::vector<std::shared_ptr<const RecurrentRule>> parts_;
  std::vector<int> rows_;
};

}  // namespace

inline std::shared_ptr<const RecurrentRule> gated_delta_rule(
    int heads, int value_dim, int key_dim) {
  return std::make_shared<GatedDelta>(heads, value_dim, key_dim);
}

inline std::shared_ptr<const RecurrentRule> mamba2_rule(
    int heads, int head_dim, int state_dim) {
  return std::make_shared<Mamba2>(heads, head_dim, state_dim);
}

inline std::shared_ptr<const RecurrentRule> short_conv_rule(
    int kernel, int channels) {
  return std::make_shared<ShortConv>(kernel, channels);
}

inline std::shared_ptr<const RecurrentRule> joined_rules(
    std::vector<std::shared_ptr<const RecurrentRule>> parts,
    std::vector<int> rows_of_each) {
  return std::make_shared<Joined>(std::move(parts), std::move(rows_of_each));
}

}  // namespace rapid
