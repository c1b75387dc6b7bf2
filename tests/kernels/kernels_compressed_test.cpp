#include "kernels/compressed.h"
#include "kernels/support.h"

namespace rapid::testing {
namespace {

class CompressedOp : public EveryIsa {};

struct Layer {
  const char* name;
  CompressedShape shape;
  int top = 0;
};

std::vector<Layer> kinds() {
  return {
      {"window", {.dim = 24, .window = 7}},
      {"heavy", {.dim = 24, .window = 70, .rate = 10}},
      {"all", {.dim = 24, .window = 7, .rate = 3, .overlap = true}},
      {"chosen",
       {.dim = 24, .window = 7, .rate = 4, .overlap = true, .index_dim = 12},
       5},
      {"chosen, apart",
       {.dim = 24, .window = 7, .rate = 5, .index_dim = 12},
       3}};
}

constexpr int kHeads = 10;  // more than a block of them
constexpr int kFirst = 3;

mx::array evaluated(mx::array a) {
  a.eval();
  return a;
}

CompressedAttentionPtr layer_of(const Layer& kind) {
  const CompressedShape& s = kind.shape;
  const auto rule = [&](int dim, uint32_t seed) {
    return EntryRule{
        evaluated(Random(seed).array({s.rate, s.series() * dim}, 2)),
        {evaluated(Random(seed + 1).array({dim}, 2)), 1e-5f}};
  };
  CompressedOptions o{
      .shape = s,
      .heads = kHeads,
      .scale = 0.3f,
      .key_norm = {evaluated(Random(30).array({s.dim}, 2)), 1e-5f},
      .rope = {.dims = 8, .base = 50.0f, .interleaved = true},
      .sinks = evaluated(Random(31).array({kHeads}, 2)),
      .first = kFirst};
  if (s.rate > 0) {
    o.entries = rule(s.dim, 32);
  }
  if (s.index_dim > 0) {
    o.index = rule(s.index_dim, 34);
    o.index_heads = 4;
    o.top = kind.top;
  }
  return std::make_shared<const CompressedAttention>(std::move(o));
}

struct Rows {
  mx::array q;
  mx::array in;

  Rows part(int first, int count) const {
    const auto of = [&](const mx::array& a) {
      return mx::slice(a, {first, 0}, {first + count, a.shape(1)});
    };
    return {of(q), of(in)};
  }
};

Rows rows_of(const CompressedAttention& layer, int count, uint32_t seed = 40) {
  return {
      Random(seed).array({count, layer.q_width()}, 2),
      Random(seed + 1).array({count, layer.in_width()}, 2)};
}

std::vector<float> run(
    const CompressedAttentionPtr& layer,
    CompressedLists& lists,
    const Rows& rows) {
  lists.prepare_append(rows.q.shape(0));
  const CompressedRows part{&lists, 0, rows.q.shape(0)};
  return values(compressed_attention(rows.q, rows.in, layer, {&part, 1}));
}

constexpr int kMost = 170;  // over two pages

TEST_P(CompressedOp, EqualsItsDefinition) {
  for (const Layer& kind : kinds()) {
    SCOPED_TRACE(kind.name);
    const auto layer = layer_of(kind);
    const Rows rows = rows_of(*layer, kMost);
    CompressedLists lists(kind.shape);
    const std::vector<float> got = run(layer, lists, rows);
    CompressedLists plain(kind.shape);
    const ScopedReference reference;
    EXPECT_LT(distance(got, run(layer, plain, rows)), 2e-5f);
    EXPECT_EQ(plain.length, lists.length);
    EXPECT_EQ(plain.entries.count, lists.entries.count);
    // The definition goes on from its own pages, too.
    const Rows more = rows_of(*layer, 9, 50);
    const std::vector<float> next = run(layer, plain, more);
    CompressedLists whole(kind.shape);
    std::vector<float> all =
        run(layer,
            whole,
            {mx::concatenate({rows.q, more.q}, 0),
             mx::concatenate({rows.in, more.in}, 0)});
    all.erase(all.begin(), all.end() - std::ssize(next));
    EXPECT_LT(distance(next, all), 2e-5f);
  }
}

TEST_P(CompressedOp, ChunksAndThreadsChangeNoBit) {
  for (const Layer& kind : kinds()) {
    SCOPED_TRACE(kind.name);
    const auto layer = layer_of(kind);
    const Rows rows = rows_of(*layer, kMost);
    ThreadPool::set_global_threads(1);
    CompressedLists lists(kind.shape);
    const std::vector<float> whole = run(layer, lists, rows);
    for (const int threads : {1, 3}) {
      ThreadPool::set_global_threads(threads);
      for (const int chunk : {1, 5, 64, 100}) {
        CompressedLists again(kind.shape);
        std::vector<float> got;
        for (int at = 0; at < kMost; at += chunk) {
          const auto next =
              run(layer, again, rows.part(at, std::min(chunk, kMost - at)));
          got.insert(got.end(), next.begin(), next.end());
        }
        EXPECT_TRUE(same_bits(got, whole)) << chunk << " rows at once";
      }
    }
  }
}

TEST_P(CompressedOp, SequencesOfABatchAreAlone) {
  for (const Layer& kind : kinds()) {
    SCOPED_TRACE(kind.name);
    const auto layer = layer_of(kind);
    const Rows a = rows_of(*layer, 33);
    const Rows b = rows_of(*layer, 21, 60);
    CompressedLists one(kind.shape);
    CompressedLists two(kind.shape);
    std::vector<float> alone = run(layer, one, a.part(0, 20));
    alone = run(layer, one, a.part(20, 13));
    const std::vector<float> other = run(layer, two, b);
    alone.insert(alone.end(), other.begin(), other.end());
    CompressedLists mine(kind.shape);
    CompressedLists theirs(kind.shape);
    run(layer, mine, a.part(0, 20));
    mine.prepare_append(13);
    theirs.prepare_append(21);
    const std::vector<CompressedRows> batch = {
        {&mine, 0, 13}, {&theirs, 13, 21}};
    const Rows rest = a.part(20, 13);
    EXPECT_TRUE(same_bits(
        values(compressed_attention(
            mx::concatenate({rest.q, b.q}, 0),
            mx::concatenate({rest.in, b.in}, 0),
            layer,
            batch)),
        alone));
  }
}

// A query sees the window and the entries that were whole by then, no more.
TEST_P(CompressedOp, OnlyTheChosenEntriesCount) {
  const Layer kind = kinds()[3];
  const auto layer = layer_of(kind);
  const Rows rows = rows_of(*layer, kMost);
  CompressedLists lists(kind.shape);
  const std::vector<float> whole = run(layer, lists, rows);
  EXPECT_EQ(lists.entries.count, kMost / 4);
  auto all = std::make_shared<CompressedAttention>(*layer);
  all->options.top = kMost;
  CompressedLists again(kind.shape);
  const std::vector<float> seen = run(all, again, rows);
  // The same while there are no more than `top` entries, another after that.
  const auto width = static_cast<size_t>(kHeads * kind.shape.dim);
  const size_t same = 23 * width;  // entry 5 is whole behind token 23
  EXPECT_TRUE(std::equal(
      whole.begin(),
      whole.begin() + static_cast<std::ptrdiff_t>(same),
      seen.begin()));
  EXPECT_GT(distance(whole, seen), 1e-2f);
}

TEST_P(CompressedOp, RejectsWhatDoesNotFit) {
  const Layer kind = kinds()[3];
  const auto layer = layer_of(kind);
  const Rows rows = rows_of(*layer, 4);
  CompressedLists lists(kind.shape);
  const CompressedRows part{&lists, 0, 4};
  EXPECT_THROW(
      compressed_attention(rows.q, rows.in, layer, {&part, 1}),
      std::invalid_argument);  // no room
  lists.prepare_append(4);
  EXPECT_THROW(
      compressed_attention(rows.in, rows.in, layer, {&part, 1}),
      std::invalid_argument);
  CompressedLists others(kinds()[1].shape);
  others.prepare_append(4);
  const CompressedRows foreign{&others, 0, 4};
  EXPECT_THROW(
      compressed_attention(rows.q, rows.in, layer, {&foreign, 1}),
      std::invalid_argument);
}

INSTANTIATE_TEST_SUITE_P(
    , CompressedOp, ::testing::ValuesIn(available_isas()), isa_of);

}  // namespace
}  // namespace rapid::testing
