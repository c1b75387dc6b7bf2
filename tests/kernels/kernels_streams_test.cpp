#include "kernels/streams.h"
#include "kernels/support.h"
#include "kernels/table_router.h"

namespace rapid::testing {
namespace {

class StreamsOp : public EveryIsa {};

constexpr int kWidth = 40;

StreamGatesPtr gates_of(int n, bool last) {
  mx::array base = Random(1).array({last ? n : (2 + n) * n});
  mx::array scale = Random(2).array({last ? 1 : 3}, 2);
  base.eval();
  scale.eval();
  return std::make_shared<const StreamGates>(StreamGates{
      .streams = n, .rounds = 4, .eps = 1e-4f, .base = base, .scale = scale});
}

mx::array mixes(int rows, const StreamGates& how) {
  return Random(3).array({rows, static_cast<int>(how.base.size())}, 3);
}

mx::array part(const mx::array& a, int first, int count) {
  return mx::slice(a, {first, 0}, {first + count, a.shape(1)});
}

TEST_P(StreamsOp, EqualTheirDefinitions) {
  for (const int n : {1, 2, 4}) {
    for (const int rows : {1, 37}) {
      const auto how = gates_of(n, false);
      const mx::array gates = stream_gates(mixes(rows, *how), how);
      EXPECT_LT(
          distance(
              values(gates),
              values(stream_gates_reference(mixes(rows, *how), *how))),
          1e-5f);
      const mx::array x = Random(4).array({rows, n * kWidth}, 2);
      const mx::array y = Random(5).array({rows, kWidth}, 2);
      EXPECT_LT(
          distance(
              values(stream_read(x, gates, n)),
              values(stream_read_reference(x, gates, n))),
          1e-6f);
      EXPECT_LT(
          distance(
              values(stream_write(y, gates, x, n)),
              values(stream_write_reference(y, gates, x, n))),
          1e-6f);
      const auto last = gates_of(n, true);
      EXPECT_LT(
          distance(
              values(stream_gates(mixes(rows, *last), last)),
              values(stream_gates_reference(mixes(rows, *last), *last))),
          1e-6f);
    }
  }
}

// What Sinkhorn's rounds are for.
TEST_P(StreamsOp, TheMixIsDoublyStochastic) {
  const int n = 4;
  const auto from = gates_of(n, false);
  const auto how = std::make_shared<const StreamGates>(StreamGates{
      .streams = n,
      .rounds = 400,
      .eps = 1e-7f,
      .base = from->base,
      .scale = from->scale});
  const std::vector<float> gates = values(stream_gates(mixes(9, *how), how));
  for (size_t row = 0; row < 9; ++row) {
    const float* mix = gates.data() + row * (2 + n) * n + 2 * n;
    for (int i = 0; i < n; ++i) {
      float across = 0;
      float down = 0;
      for (int j = 0; j < n; ++j) {
        across += mix[i * n + j];
        down += mix[j * n + i];
      }
      EXPECT_NEAR(across, 1.0f, 1e-3f);
      EXPECT_NEAR(down, 1.0f, 1e-3f);
    }
  }
}

TEST_P(StreamsOp, AMapEqualsItsDefinition) {
  mx::array weight = Random(6).array({24, 4}, 2);
  mx::array base = Random(7).array({24});
  mx::eval(weight, base);
  const auto map = std::make_shared<const StreamMap>(StreamMap{weight, base});
  const mx::array routes = Random(8).array({37, 4}, 2);
  const std::vector<float> all = values(stream_map(routes, map));
  EXPECT_LT(distance(all, values(stream_map_reference(routes, *map))), 1e-6f);
  EXPECT_TRUE(same_bits(
      {all.begin() + 20 * 24, all.begin() + 21 * 24},
      values(stream_map(part(routes, 20, 1), map))));
  EXPECT_THROW(stream_map(mx::zeros({2, 3}), map), std::invalid_argument);
}

TEST_P(StreamsOp, RowsDoNotDependOnTheirNumber) {
  const int n = 4;
  const int most = 90;
  const auto how = gates_of(n, false);
  const mx::array m = mixes(most, *how);
  const mx::array x = Random(4).array({most, n * kWidth}, 2);
  const mx::array y = Random(5).array({most, kWidth}, 2);
  const auto run = [&](int first, int count) {
    const mx::array gates = stream_gates(part(m, first, count), how);
    const mx::array in = part(x, first, count);
    std::vector<float> out = values(gates);
    for (const mx::array& a :
         {stream_read(in, gates, n),
          stream_write(part(y, first, count), gates, in, n)}) {
      const std::vector<float> more = values(a);
      out.insert(out.end(), more.begin(), more.end());
    }
    return out;
  };
  const std::vector<float> row = run(41, 1);
  for (const int threads : {1, 3}) {
    ThreadPool::set_global_threads(threads);
    const std::vector<float> all = run(0, most);
    size_t at = 0;
    size_t from = 0;
    for (const int width : {(2 + n) * n, kWidth, n * kWidth}) {
      const auto size = static_cast<size_t>(width);
      EXPECT_TRUE(same_bits(
          {all.begin() + static_cast<std::ptrdiff_t>(at + 41 * size),
           all.begin() + static_cast<std::ptrdiff_t>(at + 42 * size)},
          {row.begin() + static_cast<std::ptrdiff_t>(from),
           row.begin() + static_cast<std::ptrdiff_t>(from + size)}));
      at += most * size;
      from += size;
    }
  }
}

TEST_P(StreamsOp, RejectWrongShapes) {
  const auto how = gates_of(2, false);
  EXPECT_THROW(stream_gates(mx::zeros({2, 7}), how), std::invalid_argument);
  EXPECT_THROW(
      stream_read(mx::zeros({2, 9}), mx::zeros({2, 8}), 2),
      std::invalid_argument);
  EXPECT_THROW(
      stream_write(mx::zeros({2, 3}), mx::zeros({2, 8}), mx::zeros({2, 8}), 2),
      std::invalid_argument);
}

INSTANTIATE_TEST_SUITE_P(
    , StreamsOp, ::testing::ValuesIn(available_isas()), isa_of);

TableRouterPtr table_of(RouterScore score) {
  // Token 1 names expert 3 twice.
  mx::array table({0, 2, 3, 3, 4, 1}, {3, 2}, mx::int32);
  table.eval();
  return std::make_shared<const TableRouter>(
      TableRouter{std::move(table), score, 1.5f});
}

TEST(TableRouter, EqualsItsDefinition) {
  mx::set_default_device(mx::Device::cpu);
  const mx::array logits = Random(6).array({4, 5}, 3);
  const mx::array ids({1, 0, 2, 1}, mx::int32);
  for (const RouterScore score :
       {RouterScore::sqrt_softplus,
        RouterScore::sigmoid,
        RouterScore::softmax}) {
    const auto router = table_of(score);
    const std::vector<float> got = values(table_weights(logits, ids, router));
    EXPECT_LT(
        distance(got, values(table_weights_reference(logits, ids, *router))),
        1e-6f);
    // The expert that is named twice has all of it.
    EXPECT_FLOAT_EQ(got[3], 1.5f);
    EXPECT_EQ(got[0], 0.0f);
    EXPECT_FLOAT_EQ(got[5] + got[7], 1.5f);
    // A row alone.
    EXPECT_TRUE(same_bits(
        values(table_weights(
            part(logits, 2, 1), mx::array({2}, mx::int32), router)),
        {got.begin() + 10, got.begin() + 15}));
  }
}

TEST(TableRouter, RejectsWrongShapes) {
  mx::set_default_device(mx::Device::cpu);
  EXPECT_THROW(
      table_weights(
          mx::zeros({2, 5}),
          mx::array({1}, mx::int32),
          table_of(RouterScore::sigmoid)),
      std::invalid_argument);
}

}  // namespace
}  // namespace rapid::testing
