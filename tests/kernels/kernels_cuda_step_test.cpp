// Steps that run again as a CUDA graph against the same steps by MLX, bit for
// bit. Without an NVIDIA GPU nothing is run.
#include <mlx/backend/cuda/cuda.h>

#include "kernels/cuda_graph.h"
#include "kernels/cuda_step.h"
#include "kernels/embedding.h"
#include "kernels/gated_mlp.h"
#include "kernels/gpu_kernel.h"
#include "kernels/support.h"

namespace rapid::testing {
namespace {

constexpr int kHidden = 256;
constexpr int kHeads = 4;
constexpr int kKvHeads = 2;
constexpr int kDim = 64;
constexpr int kVocabulary = 300;

std::vector<Bytes>& kept() {
  static std::vector<Bytes> all;
  return all;
}

Linear matrix(int rows, int cols, uint32_t seed) {
  const Kind kind{TensorType::f16, QuantScheme{QuantMode::affine, 4, 32}};
  TestWeight made = make_weight(kind, rows, cols, seed);
  kept().insert(kept().end(), made.memory.begin(), made.memory.end());
  return {made.weight, std::nullopt};
}

RmsNorm norm(uint32_t seed) {
  RmsNorm out{Random(seed).array({kHidden}, 1), 1e-5f};
  out.weight.eval();
  return out;
}

struct Layer {
  ProjectionPtr qkv;
  AttentionPtr attention;
  ProjectionPtr out;
  GatedMlpPtr mlp;
};

// A decoder of two layers, the second with a window.
struct Decoder {
  Decoder() {
    table = matrix(kVocabulary, kHidden, 1).weight;
    auto last = std::make_shared<Projection>();
    last->before = norm(2);
    last->parts = {matrix(kVocabulary, kHidden, 3)};
    head = last;
    for (uint32_t i = 0; i < 2; ++i) {
      layers.push_back(layer(10 + 10 * i, i == 0 ? 0 : 100));
    }
  }

  static Layer layer(uint32_t seed, int window) {
    auto qkv = std::make_shared<Projection>();
    qkv->before = norm(seed);
    qkv->parts = {
        matrix(kHeads * kDim, kHidden, seed + 1),
        matrix(kKvHeads * kDim, kHidden, seed + 2),
        matrix(kKvHeads * kDim, kHidden, seed + 3)};
    AttentionOptions o;
    o.heads = kHeads;
    o.scale = 0.02f;
    o.window = window;
    o.rope = {.dims = kDim};
    o.rope.long_factors.assign(kDim / 2, 3.0f);
    auto out = std::make_shared<Projection>();
    out->parts = {matrix(kHidden, kHeads * kDim, seed + 4)};
    auto mlp = std::make_shared<GatedMlp>();
    mlp->before = norm(seed + 5);
    mlp->gate = matrix(384, kHidden, seed + 6);
    mlp->up = matrix(384, kHidden, seed + 7);
    mlp->down = matrix(kHidden, 384, seed + 8);
    return {qkv, std::make_shared<const Attention>(o), out, mlp};
  }

  // rows[i]: new tokens of the i-th sequence.
  mx::array graph(
      const mx::array& ids,
      std::span<PageList* const> pages,
      const std::vector<int>& rows) const {
    mx::array x = embedding(ids, table);
    for (size_t l = 0; l < layers.size(); ++l) {
      std::vector<AttentionRows> batch;
      int first = 0;
      for (size_t i = 0; i < rows.size(); ++i) {
        PageList* list = pages[l * rows.size() + i];
        list->prepare_append(rows[i]);
        batch.push_back({list, first, rows[i]});
        first += rows[i];
      }
      const Layer& at = layers[l];
      const mx::array mixed =
          attention(project(x, at.qkv), at.attention, batch);
      x = project(mixed, at.out, x);
      x = gated_mlp(x, at.mlp, x);
    }
    return project(x, head);
  }

  WeightPtr table;
  ProjectionPtr head;
  std::vector<Layer> layers;
};

// The pages of some sequences, by layer and then by sequence.
struct Sequences {
  explicit Sequences(size_t count)
      : lists(
            2 * count,
            PageList{KvShape::of(kKvHeads, kDim, mx::float16, 0), {}, 0}) {}
  std::vector<PageList*> pages(size_t count) {
    std::vector<PageList*> out;
    for (size_t layer = 0; layer < 2; ++layer) {
      for (size_t i = 0; i < count; ++i) {
        out.push_back(&lists[layer * lists.size() / 2 + i]);
      }
    }
    return out;
  }
  std::vector<PageList> lists;
};

std::vector<float> values_now(mx::array a) {
  a.eval();
  return {a.data<float>(), a.data<float>() + a.size()};
}

class CudaStep : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!mx::cu::is_available()) {
      GTEST_SKIP() << "no NVIDIA GPU here: steps were not run";
    }
    mx::set_default_device(mx::Device::gpu);
    ASSERT_TRUE(cuda_kernels_active() && cuda_graphs_possible());
  }
  void TearDown() override { mx::set_default_device(mx::Device::cpu); }

  // A step of the first `count` sequences, by both; true if bits are equal.
  bool same(size_t count) {
    std::vector<int32_t> ids;
    for (size_t i = 0; i < count; ++i) {
      ids.push_back(static_cast<int32_t>((seed_ += 37) % kVocabulary));
    }
    const std::vector<int> rows(count, 1);
    const auto plain = ours_.pages(count);
    const std::vector<float> want = values_now(decoder_.graph(
        mx::array(ids.data(), {static_cast<int>(count)}, mx::int32),
        plain,
        rows));
    CudaSteps::Inputs inputs{ids, theirs_.pages(count)};
    for (PageList* list : inputs.pages) {
      list->prepare_append(1);
    }
    EXPECT_TRUE(steps_.takes(static_cast<int>(count)));
    const std::vector<float> got =
        values_now(steps_.run(inputs, [&](const mx::array& row) {
          ++built_;
          return decoder_.graph(row, inputs.pages, rows);
        }));
    return same_bits(got, want);
  }

  // A prompt of the i-th sequence.
  void prompt(size_t at, int length) {
    std::vector<int32_t> ids(static_cast<size_t>(length));
    for (int32_t& id : ids) {
      id = static_cast<int32_t>((seed_ += 11) % kVocabulary);
    }
    const mx::array row(ids.data(), {length}, mx::int32);
    for (Sequences* all : {&ours_, &theirs_}) {
      PageList* pages[] = {&all->lists[at], &all->lists[2 + at]};
      values_now(decoder_.graph(row, pages, {length}));
    }
  }

  Decoder decoder_;
  Sequences ours_{2};
  Sequences theirs_{2};
  CudaSteps steps_;
  uint32_t seed_ = 1;
  int built_ = 0;
};

TEST_F(CudaStep, GivesTheBitsOfMlx) {
  prompt(0, 50);
  for (int i = 0; i < 150; ++i) {  // over pages, the window and a split
    ASSERT_TRUE(same(1)) << "step " << i;
  }
  EXPECT_EQ(built_, 1);
}

TEST_F(CudaStep, FollowsPagesSequencesAndPrompts) {
  prompt(0, 900);
  prompt(1, 64);
  ASSERT_TRUE(same(2));
  ASSERT_TRUE(same(2));
  ASSERT_TRUE(same(1));
  ASSERT_TRUE(same(2));
  EXPECT_EQ(built_, 2);
  const Sequences shared = theirs_;  // their last pages are not their own
  ASSERT_TRUE(same(2));
  prompt(1, 70);
  ASSERT_TRUE(same(2));
  for (Sequences* all : {&ours_, &theirs_}) {
    for (size_t i : {0, 2}) {
      all->lists[i].truncate(700);
    }
  }
  ASSERT_TRUE(same(2));
  theirs_.lists[0].pages[1]->data.data<char>();  // moves it
  ASSERT_TRUE(same(2));
  EXPECT_EQ(built_, 2);
  for (int i = 0; i < 40; ++i) {  // more pages than the tables have room for
    prompt(1, 64);
    ASSERT_TRUE(same(2)) << i;
  }
  EXPECT_EQ(built_, 3);
}

TEST_F(CudaStep, KnowsTheFormOfTheRotation) {
  prompt(0, 10);
  ASSERT_TRUE(same(1));
  for (Sequences* all : {&ours_, &theirs_}) {
    for (PageList& list : all->lists) {
      list.form = 1;
    }
  }
  ASSERT_TRUE(same(1));
  ASSERT_TRUE(same(1));
  EXPECT_EQ(built_, 2);
}

TEST_F(CudaStep, LeavesWhatItDoesNotKnow) {
  CudaSteps::Inputs inputs{{1}, ours_.pages(1)};
  for (PageList* list : inputs.pages) {
    list->prepare_append(1);
  }
  const auto build = [&](const mx::array& ids) {
    return mx::tanh(decoder_.graph(ids, inputs.pages, {1}));
  };
  EXPECT_EQ(values_now(steps_.run(inputs, build)).size(), kVocabulary);
  EXPECT_FALSE(steps_.takes(1));
  EXPECT_TRUE(steps_.takes(2));
}

}  // namespace
}  // namespace rapid::testing
