#include "nn/altup.h"

#include <vector>

#include "nn/moe.h"
#include "nn/rms_norm.h"

namespace rapid {

namespace {

// The gates of stream_read() and stream_write() that a StreamMap makes.
class MapMaker {
 public:
  MapMaker(int streams, int active)
      : n_(streams),
        weight_(static_cast<size_t>((2 + n_) * n_ * n_)),
        base_(static_cast<size_t>((2 + n_) * n_)) {
    base_[static_cast<size_t>(active)] = 1;  // what is read
    for (int i = 0; i < n_; ++i) {
      base(mix(i, i)) = 1;
    }
  }

  int post(int to) const { return n_ + to; }
  int mix(int from, int to) const { return 2 * n_ + from * n_ + to; }
  float& base(int gate) { return base_[static_cast<size_t>(gate)]; }
  // Adds `by` times a row [N] of a matrix to a gate's.
  void add(int gate, const float* row, float by) {
    for (int i = 0; i < n_; ++i) {
      weight_[static_cast<size_t>(gate * n_ + i)] += by * row[i];
    }
  }
  StreamMapPtr made() const {
    const int gates = (2 + n_) * n_;
    mx::array weight(weight_.data(), {gates, n_});
    mx::array base(base_.data(), {gates});
    mx::eval(weight, base);
    return std::make_shared<const StreamMap>(
        StreamMap{std::move(weight), std::move(base)});
  }

 private:
  int n_;
  std::vector<float> weight_;  // [(2 + N) N, N]
  std::vector<float> base_;
};

StreamMapPtr prediction(const AltUpOptions& o, const float* coefs) {
  const int n = o.streams;
  MapMaker out(n, o.active);
  for (int from = 0; from < n; ++from) {
    for (int to = 0; to < n; ++to) {
      const int row = to * n + from;
      out.add(out.mix(from, to), coefs + static_cast<size_t>(row) * n, 1);
    }
  }
  return out.made();
}

StreamMapPtr correction(const AltUpOptions& o, const float* coefs) {
  const int n = o.streams;
  MapMaker out(n, o.active);
  for (int to = 0; to < n; ++to) {
    const float* row = coefs + static_cast<size_t>(to) * n;
    out.base(out.post(to)) = 1;
    out.add(out.post(to), row, 1);
    out.base(out.mix(o.active, to)) -= 1;
    out.add(out.mix(o.active, to), row, -1);
  }
  return out.made();
}

StreamMapPtr addition(const AltUpOptions& o) {
  MapMaker out(o.streams, o.active);
  for (int to = 1; to < o.streams; ++to) {
    out.base(out.post(to)) = 1;
  }
  return out.made();
}

}  // namespace

Result<AltUp> AltUp::load(const WeightCursor& cursor, const AltUpOptions& o) {
  const int n = o.streams;
  AltUp out(o);
  auto router = std::make_shared<Projection>();
  RAPID_TRY(
      Linear matrix, load_exact(cursor, {"modality_router", o.hidden, n}));
  router->parts.push_back(std::move(matrix));
  RAPID_TRY(
      RmsNorm norm,
      load_rms_norm(cursor, "router_norm", {o.hidden, o.norm_eps}));
  norm.weight =
      mx::multiply(norm.weight, mx::array(1.0f / static_cast<float>(o.hidden)));
  norm.weight.eval();
  router->before = std::move(norm);
  out.router_ = std::move(router);
  RAPID_TRY(
      const mx::array forward,
      cursor.floats("prediction_coefs.weight", {n * n, n}));
  RAPID_TRY(
      const mx::array back, cursor.floats("correction_coefs.weight", {n, n}));
  mx::eval(forward, back);
  out.predict_ = prediction(o, forward.data<float>());
  out.correct_ = correction(o, back.data<float>());
  out.add_ = addition(o);
  RAPID_TRY(mx::array scale, cursor.vector("correct_output_scale", o.hidden));
  scale.eval();
  if (o.scaled) {
    out.scale_ = std::move(scale);
  }
  return out;
}

mx::array AltUp::routes(const mx::array& v) const {
  return project(v, router_);
}

AltUp::Streams AltUp::predict(const mx::array& x) const {
  const int first = o_.active * o_.hidden;
  const mx::array active =
      mx::slice(x, {0, first}, {x.shape(0), first + o_.hidden});
  const mx::array gates = stream_map(routes(active), predict_);
  const mx::array all = stream_write(active, gates, x, o_.streams);
  return {all, stream_read(all, gates, o_.streams)};
}

AltUp::Streams AltUp::correct(
    const mx::array& predicted, const mx::array& y) const {
  const mx::array gates = stream_map(routes(y), correct_);
  const mx::array all = stream_write(y, gates, predicted, o_.streams);
  const mx::array active = stream_read(all, gates, o_.streams);
  return {all, scale_ ? mx::multiply(active, *scale_) : active};
}

mx::array AltUp::add(const mx::array& y, const mx::array& x) const {
  const mx::array none = mx::slice(y, {0, 0}, {y.shape(0), o_.streams});
  return stream_write(y, stream_map(none, add_), x, o_.streams);
}

}  // namespace rapid
