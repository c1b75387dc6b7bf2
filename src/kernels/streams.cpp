#include "kernels/streams.h"

#include <stdexcept>

#include "kernels/streams_cpu.h"

namespace rapid {

namespace {

void check(bool fits, const char* what) {
  if (!fits) {
    throw std::invalid_argument(what);
  }
}

void check_gates(const mx::array& mixes, const StreamGates& how) {
  const int n = how.streams;
  const int width = mixes.ndim() == 2 ? mixes.shape(1) : 0;
  check(
      n > 0 && (width == n || width == (2 + n) * n) &&
          static_cast<int>(how.base.size()) == width &&
          how.scale.size() == (width == n ? 1u : 3u),
      "stream_gates: the shapes do not fit");
}

void check_map(const mx::array& routes, const StreamMap& map) {
  check(
      routes.ndim() == 2 && map.weight.ndim() == 2 &&
          routes.shape(1) == map.weight.shape(1) &&
          map.base.shape() == mx::Shape{map.weight.shape(0)},
      "stream_map: the shapes do not fit");
}

void check_rows(const mx::array& x, const mx::array& gates, int n) {
  check(
      x.ndim() == 2 && gates.ndim() == 2 && n > 0 && x.shape(1) % n == 0 &&
          x.shape(0) == gates.shape(0) && gates.shape(1) >= n,
      "stream_read: the shapes do not fit");
}

void check_write(
    const mx::array& y, const mx::array& gates, const mx::array& x, int n) {
  check_rows(x, gates, n);
  check(
      y.ndim() == 2 && y.shape(0) == x.shape(0) &&
          y.shape(1) * n == x.shape(1) && gates.shape(1) == (2 + n) * n,
      "stream_write: the shapes do not fit");
}

mx::array columns(const mx::array& a, int from, int to) {
  return mx::slice(a, {0, from}, {a.shape(0), to});
}

mx::array over_sum(const mx::array& a, int axis, float eps) {
  return mx::divide(a, mx::add(mx::sum(a, axis, true), mx::array(eps)));
}

}  // namespace

mx::array stream_gates_reference(
    const mx::array& mixes, const StreamGates& how) {
  check_gates(mixes, how);
  const int n = how.streams;
  const auto scaled = [&](int from, int to, int scale) {
    return mx::add(
        mx::multiply(columns(mixes, from, to), mx::take(how.scale, scale)),
        mx::slice(how.base, {from}, {to}));
  };
  const mx::array eps(how.eps);
  const mx::array pre = mx::add(mx::sigmoid(scaled(0, n, 0)), eps);
  if (mixes.shape(1) == n) {
    return pre;
  }
  const mx::array post =
      mx::multiply(mx::array(2.0f), mx::sigmoid(scaled(n, 2 * n, 1)));
  const int rows = mixes.shape(0);
  mx::array mix = mx::reshape(scaled(2 * n, (2 + n) * n, 2), {rows, n, n});
  mix = over_sum(mx::add(mx::softmax(mix, -1, true), eps), 1, how.eps);
  for (int i = 1; i < how.rounds; ++i) {
    mix = over_sum(over_sum(mix, 2, how.eps), 1, how.eps);
  }
  return mx::concatenate({pre, post, mx::reshape(mix, {rows, n * n})}, 1);
}

mx::array stream_map_reference(const mx::array& routes, const StreamMap& map) {
  check_map(routes, map);
  return mx::add(
      mx::matmul(mx::tanh(routes), mx::transpose(map.weight)), map.base);
}

mx::array stream_read_reference(
    const mx::array& x, const mx::array& gates, int n) {
  check_rows(x, gates, n);
  const mx::array streams = mx::reshape(x, {x.shape(0), n, -1});
  return mx::sum(
      mx::multiply(streams, mx::expand_dims(columns(gates, 0, n), 2)), 1);
}

mx::array stream_write_reference(
    const mx::array& y, const mx::array& gates, const mx::array& x, int n) {
  check_write(y, gates, x, n);
  const int rows = x.shape(0);
  const mx::array streams = mx::reshape(x, {rows, n, -1});
  const mx::array mix =
      mx::reshape(columns(gates, 2 * n, (2 + n) * n), {rows, n, n});
  const mx::array post = mx::expand_dims(columns(gates, n, 2 * n), 2);
  const mx::array out = mx::add(
      mx::multiply(post, mx::expand_dims(y, 1)),
      mx::matmul(mx::swapaxes(mix, 1, 2), streams));
  return mx::reshape(out, x.shape());
}

mx::array stream_gates(const mx::array& mixes, const StreamGatesPtr& how) {
  check_gates(mixes, *how);
  return cpu_kernels_active() ? stream_gates_cpu(mixes, how)
                              : stream_gates_reference(mixes, *how);
}

mx::array stream_map(const mx::array& routes, const StreamMapPtr& map) {
  check_map(routes, *map);
  return cpu_kernels_active() ? stream_map_cpu(routes, map)
                              : stream_map_reference(routes, *map);
}

mx::array stream_read(const mx::array& x, const mx::array& gates, int n) {
  check_rows(x, gates, n);
  return cpu_kernels_active() ? stream_read_cpu(x, gates, n)
                              : stream_read_reference(x, gates, n);
}

mx::array stream_write(
    const mx::array& y, const mx::array& gates, const mx::array& x, int n) {
  check_write(y, gates, x, n);
  return cpu_kernels_active() ? stream_write_cpu(y, gates, x, n)
                              : stream_write_reference(y, gates, x, n);
}

}  // namespace rapid
