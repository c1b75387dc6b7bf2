// Our GPU kernels against the plain definitions. Those that need an NVIDIA GPU
// say so where there is none, and pass; the texts are compiled wherever NVRTC
// is.
#include <mlx/backend/cuda/cuda.h>

#include "kernels/attention.h"
#include "kernels/embedding.h"
#include "kernels/gated_conv.h"
#include "kernels/gated_delta.h"
#include "kernels/gated_mlp.h"
#include "kernels/gpu_compile.h"
#include "kernels/gpu_kernel.h"
#include "kernels/gpu_quantised.h"
#include "kernels/mamba2.h"
#include "kernels/support.h"

namespace rapid::testing {
namespace {

struct Variant {
  const char* name;
  Defines defines;
};

std::vector<Variant> variants() {
  const Defines delta = {{"KEY", 128}, {"VALUE", 128}, {"TAPS", 4}};
  const auto rows =
      [](int bits, int scales, int parts, int gated, int experts) {
        return Variant{
            "quantised_rows",
            {{"BITS", bits},
             {"SCALES", scales},
             {"PARTS", parts},
             {"GATED", gated},
             {"EXPERTS", experts}}};
      };
  const auto stream = [](Variant of, int stages, int bytes) {
    of.name = "quantised_stream";
    of.defines.insert(
        of.defines.end(), {{"STAGES", stages}, {"CHUNK_BYTES", bytes}});
    return of;
  };
  return {
      rows(4, 0, 4, 0, 0),
      rows(8, 1, 2, 1, 1),
      stream(rows(4, 1, 3, 0, 0), 4, 1024),
      stream(rows(8, 2, 2, 1, 1), 2, 2048),
      {"embedding_rows", {{"BITS", 4}, {"SCALES", 1}}},
      {"half_weights", {{"BITS", 4}, {"SCALES", 2}, {"PARTS", 4}}},
      {"half_rows", {{"GATED", 0}}},
      {"half_rows", {{"GATED", 1}}},
      {"half_results", {}},
      {"gated_delta_step", delta},
      {"gated_delta_inputs", delta},
      {"gated_delta_scan", delta},
      {"gated_delta_outputs", delta},
      {"mamba2_scan", {{"HEAD", 64}, {"STATE", 128}, {"TAPS", 4}}},
      {"mamba2_outputs", {}},
      {"gated_conv_rows", {{"TAPS", 3}}},
      {"chosen_experts", {{"EACH", 8}}},
      {"attention_step", {{"DIM", 64}, {"GROUP", 2}}},
      {"attention_rows", {{"DIM", 64}}},
      {"attention_tiles", {{"DIM", 64}}}};
}

TEST(GpuTexts, AreCudaSourceThatNamesItsFunction) {
  for (const Variant& v : variants()) {
    const std::string source = GpuKernel(v.name, v.defines).cuda_source();
    EXPECT_NE(source.find("KERNEL("), std::string::npos) << v.name;
    EXPECT_EQ(source.find('{') == std::string::npos, false) << v.name;
  }
  EXPECT_THROW(GpuKernel("no_such_text", {}), std::invalid_argument);
}

TEST(GpuTexts, Compile) {
  if (!cuda_compiler_found()) {
    GTEST_SKIP() << "no NVRTC here: kernel texts are not compiled";
  }
  for (const Variant& v : variants()) {
    const auto code =
        compile_cuda_afresh(GpuKernel(v.name, v.defines).cuda_source(), 90);
    ASSERT_TRUE(code) << v.name << ": " << code.error().what;
    EXPECT_GT(code->size(), 1000u);
  }
}

class OnGpu : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!mx::cu::is_available()) {
      GTEST_SKIP() << "no NVIDIA GPU here: kernels were not run";
    }
    mx::set_default_device(mx::Device::gpu);
    ASSERT_TRUE(cuda_kernels_active());
  }
  void TearDown() override { mx::set_default_device(mx::Device::cpu); }
};

// What `make` gives on the GPU by our kernels, and by definition on the CPU.
template <typename Make>
std::pair<std::vector<float>, std::vector<float>> both(Make make) {
  mx::set_default_device(mx::Device::gpu);
  auto got = make();
  mx::set_default_device(mx::Device::cpu);
  const ScopedReference forced;
  auto want = make();
  mx::set_default_device(mx::Device::gpu);
  return {std::move(got), std::move(want)};
}

struct Case {
  TensorType scales;
  int bits, group, k;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {TensorType::f16, 4, 32, 96},
      {TensorType::bf16, 4, 64, 576},
      {TensorType::f32, 4, 128, 1024},
      {TensorType::f16, 8, 32, 160},
      {TensorType::bf16, 8, 64, 2560},
      {TensorType::f32, 8, 128, 256},
      {TensorType::f16, 4, 32, 512},     // some that the copy engine takes,
      {TensorType::bf16, 4, 64, 5120}};  // in pieces
  return all;
}

// Scales and biases that keep weights near 1 / sqrt(k), as those of models.
void make_small(const Case& c, TestWeight& made) {
  Random random(77);
  const float top = 4 / (std::sqrt(static_cast<float>(c.k)) *
                         static_cast<float>((1 << c.bits) - 1));
  const size_t size = tensor_bytes(c.scales, 1);
  for (size_t part = 1; part <= 2; ++part) {
    std::vector<std::byte>& to = *made.memory[part];
    for (size_t at = 0; at < to.size(); at += size) {
      const float range = random.uniform(0.7f, 1.0f) * top;
      const float value = part == 1 ? range : -range * (1 << c.bits) / 2;
      uint32_t bits;
      std::memcpy(&bits, &value, 4);
      const uint16_t brain = static_cast<uint16_t>(bits >> 16);
      const uint16_t half = half_bits(value);
      c.scales == TensorType::f32
          ? put(to, at, &value, 4)
          : put(to, at, c.scales == TensorType::f16 ? &half : &brain, 2);
    }
  }
}

Linear linear_of(const Case& c, int n, uint32_t seed, bool bias = false) {
  static std::vector<Bytes> kept;
  const Kind kind{c.scales, QuantScheme{QuantMode::affine, c.bits, c.group}};
  TestWeight made = make_weight(kind, n, c.k, seed);
  make_small(c, made);
  kept.insert(kept.end(), made.memory.begin(), made.memory.end());
  Linear out{made.weight, std::nullopt};
  if (bias) {
    out.bias = Random(seed + 1).array({n});
    out.bias->eval();
  }
  return out;
}

RmsNorm norm_of(int size, uint32_t seed) {
  RmsNorm norm{Random(seed).array({size}, 2), 1e-5f};
  norm.weight.eval();
  return norm;
}

// float16 operands: some 5e-4 of an element, less of a sum.
constexpr float kHalf = 2e-3f;

TEST_F(OnGpu, Projections) {
  for (const Case& c : cases()) {
    for (const int rows : {1, 2, 3, 8, 19, 70}) {
      for (const int parts : {1, 3}) {
        for (const bool full : {false, true}) {
          const auto [got, want] = both([&] {
            auto p = std::make_shared<Projection>();
            int n = 0;
            for (int i = 0; i < parts; ++i) {
              const int more = i == 0 ? 200 : 40 + i;
              p->parts.push_back(linear_of(c, more, 7 + i, full));
              n += more;
            }
            std::optional<mx::array> residual;
            if (full) {
              p->before = norm_of(c.k, 3);
              residual = Random(4).array({rows, n}, 3);
            }
            const mx::array x = Random(5).array({rows, c.k}, 40);
            return values(project(x, p, residual));
          });
          EXPECT_LT(distance(got, want), kHalf)
              << c.bits << " bits, group " << c.group << ", " << c.k
              << " columns, " << rows << " rows, " << parts << " parts "
              << full;
        }
      }
    }
  }
}

TEST_F(OnGpu, ManyOutputs) {  // so many that a group has several tiles
  for (const int bits : {4, 8}) {
    for (const int rows : {1, 2, 8, 20}) {
      const auto [got, want] = both([&] {
        auto p = std::make_shared<Projection>();
        p->before = norm_of(2048, 3);
        p->parts.push_back(
            linear_of({TensorType::bf16, bits, 64, 2048}, 14005, 9));
        return values(project(Random(5).array({rows, 2048}, 1), p));
      });
      EXPECT_LT(distance(got, want), kHalf) << bits << " bits, " << rows;
    }
  }
}

TEST_F(OnGpu, Embedding) {
  for (const Case& c : cases()) {
    const auto [got, want] = both([&] {
      const Linear table = linear_of(c, 50, 4);
      return values(
          embedding(mx::array({3, 49, 0, 3}, mx::int32), table.weight, 2.5f));
    });
    EXPECT_LT(distance(got, want), 1e-6f) << c.bits << " bits, " << c.k;
  }
}

TEST_F(OnGpu, LargeRowsDoNotOverflow) {
  const auto [got, want] = both([&] {
    auto p = std::make_shared<Projection>();
    p->parts.push_back(linear_of(cases()[1], 64, 9));
    const mx::array x = Random(5).array({3, 576}, 1e8f);
    return values(project(x, p));
  });
  EXPECT_LT(distance(got, want), kHalf);
}

TEST_F(OnGpu, GatedMlps) {
  for (const Case& c : cases()) {
    for (const int rows : {1, 5, 40}) {
      for (const Activation act : {Activation::silu, Activation::gelu_tanh}) {
        const auto [got, want] = both([&] {
          auto mlp = std::make_shared<GatedMlp>();
          Case back = c;
          back.k = 384;
          mlp->gate = linear_of(c, 384, 11);
          mlp->up = linear_of(c, 384, 12);
          mlp->down = linear_of(back, 100, 13);
          mlp->activation = act;
          mlp->before = norm_of(c.k, 3);
          const mx::array x = Random(5).array({rows, c.k}, 0.1f);
          return values(gated_mlp(x, mlp, Random(6).array({rows, 100}, 1)));
        });
        EXPECT_LT(distance(got, want), 3 * kHalf)
            << c.bits << " bits, " << rows << " rows";
      }
    }
  }
}

TEST_F(OnGpu, Experts) {
  for (const Case& c : cases()) {
    for (const int rows : {1, 6}) {
      const auto [got, want] = both([&] {
        auto moe = std::make_shared<MixtureOfExperts>();
        moe->experts = 5;
        moe->router.gate = linear_of(c, 5, 30);
        moe->router.top_k = 2;
        Case back = c;
        back.k = 128;
        const auto bank = [&](const Case& of, int n, uint32_t seed) {
          ExpertBank out;
          out.rows = n;
          for (uint32_t e = 0; e < 5; ++e) {
            out.weights.push_back(linear_of(of, n, seed + e).weight);
          }
          if (mx::default_device() == mx::Device::gpu) {
            stack_for_gpu(out, 5);
          }
          return out;
        };
        moe->gate = bank(c, 128, 40);
        moe->up = bank(c, 128, 50);
        moe->down = bank(back, 72, 60);
        return values(
            mixture_of_experts(Random(5).array({rows, c.k}, 0.1f), moe));
      });
      EXPECT_LT(distance(got, want), 3 * kHalf) << c.bits << " bits";
    }
  }
}

TEST_F(OnGpu, ChosenExperts) {
  for (const RouterScore score :
       {RouterScore::softmax,
        RouterScore::sigmoid,
        RouterScore::softmax_of_chosen}) {
    for (const bool more : {false, true}) {
      const auto [got, want] = both([&] {
        Router r;
        r.score = score;
        r.top_k = 6;
        r.renormalise = more;
        r.scale = more ? 2.5f : 1.0f;
        if (more) {
          r.correction = Random(3).array({100}, 0.5f);
          r.expert_scale = Random(8).array({100}, 2);
        }
        const Choice c = choose_experts(Random(4).array({9, 100}, 4), r);
        // By expert, so that their order does not matter.
        mx::array all = mx::zeros({9, 100});
        return values(mx::put_along_axis(
            all, mx::astype(c.experts, mx::int32), c.weights, 1));
      });
      EXPECT_LT(distance(got, want), 1e-5f);
    }
  }
}

// What comes out of chunks of some sizes, then the arrays behind them.
template <typename Op>
std::vector<float> in_chunks(std::vector<mx::array> arrays, int width, Op op) {
  std::vector<float> out;
  const auto keep = [&](const mx::array& a) {
    const std::vector<float> y = values(a);
    out.insert(out.end(), y.begin(), y.end());
  };
  uint32_t seed = 1;
  for (const int n : {41, 1, 2, 1, 8}) {
    const mx::array x = Random(++seed).array({n + 2, width}, 2);
    const std::vector<FoldRows> rows = {{arrays, 1, n}};
    Folded folded = op(x, rows);
    keep(folded.out);
    arrays = folded.next[0];
  }
  for (const mx::array& a : arrays) {
    keep(a);
  }
  return out;
}

TEST_F(OnGpu, GatedDelta) {
  struct Shape {
    GatedDeltaShape shape;
    bool by_key;
  };
  for (const Shape& s : std::vector<Shape>{
           {{2, 4, 128, 128, 4}, false},
           {{3, 3, 64, 64, 3}, true},
           {{1, 2, 32, 256, 4}, false},
           {{2, 2, 256, 32, 2}, false}}) {
    const auto [got, want] = both([&] {
      const GatedDeltaLayout at = s.by_key
                                      ? GatedDeltaLayout::by_key_head(s.shape)
                                      : GatedDeltaLayout::in_turn(s.shape);
      mx::array decay =
          mx::negative(mx::abs(Random(24).array({s.shape.value_heads}, 1)));
      decay.eval();
      const auto layer = std::make_shared<const GatedDelta>(GatedDelta{
          s.shape,
          at,
          Random(21).array({s.shape.kernel, s.shape.channels()}, 1),
          decay,
          Random(22).array({s.shape.value_heads}, 2),
          norm_of(s.shape.value_dim, 23)});
      return in_chunks(
          {mx::zeros({s.shape.kernel - 1, s.shape.channels()}),
           mx::zeros(
               {s.shape.value_heads, s.shape.key_dim, s.shape.value_dim})},
          at.width,
          [&](const mx::array& x, std::span<const FoldRows> rows) {
            return gated_delta(x, layer, rows);
          });
    });
    EXPECT_LT(distance(got, want), 1e-4f)
        << s.shape.key_dim << " " << s.shape.value_dim;
  }
}

TEST_F(OnGpu, Mamba2) {
  for (const Mamba2Shape& s : std::vector<Mamba2Shape>{
           {4, 64, 2, 128, 4}, {2, 32, 1, 64, 3}, {6, 128, 3, 256, 2}}) {
    const auto [got, want] = both([&] {
      mx::array decay = mx::negative(mx::abs(Random(24).array({s.heads}, 1)));
      decay.eval();
      const auto layer = std::make_shared<const Mamba2>(Mamba2{
          s,
          Random(21).array({s.kernel, s.channels()}, 1),
          s.groups > 1 ? std::optional(Random(25).array({s.channels()}, 1))
                       : std::nullopt,
          decay,
          Random(22).array({s.heads}, 2),
          Random(26).array({s.heads}, 2),
          norm_of(s.inner(), 23),
          0.001f,
          2.0f});
      return in_chunks(
          {mx::zeros({s.kernel - 1, s.channels()}),
           mx::zeros({s.heads, s.state_dim, s.head_dim})},
          s.width(),
          [&](const mx::array& x, std::span<const FoldRows> rows) {
            return mamba2(x, layer, rows);
          });
    });
    EXPECT_LT(distance(got, want), 1e-4f) << s.head_dim;
  }
}

TEST_F(OnGpu, GatedConvolution) {
  for (const bool bias : {false, true}) {
    const auto [got, want] = both([&] {
      const auto layer = std::make_shared<const GatedConv>(GatedConv{
          Random(1).array({3, 200}),
          bias ? std::optional(Random(2).array({200})) : std::nullopt});
      return in_chunks(
          {mx::zeros({2, 200})},
          600,
          [&](const mx::array& x, std::span<const FoldRows> rows) {
            return gated_conv(x, layer, rows);
          });
    });
    EXPECT_LT(distance(got, want), 1e-5f);
  }
}

struct AttentionCase {
  int heads, kv_heads, dim;
  AttentionOptions options;
};

std::vector<AttentionCase> attention_cases() {
  std::vector<AttentionCase> out;
  const auto with = [&](int heads, int kv_heads, int dim) -> AttentionOptions& {
    AttentionCase c{heads, kv_heads, dim, {}};
    c.options.heads = heads;
    c.options.scale = 0.3f / std::sqrt(static_cast<float>(dim));
    c.options.rope = {.dims = dim};
    out.push_back(c);
    return out.back().options;
  };
  with(4, 2, 64);
  AttentionOptions& qwen = with(8, 2, 128);
  qwen.q_norm = norm_of(128, 1);
  qwen.k_norm = norm_of(128, 2);
  AttentionOptions& gated = with(4, 1, 256);
  gated.gated = true;
  gated.rope.dims = 64;
  gated.q_norm = norm_of(256, 1);
  gated.k_norm = norm_of(256, 2);
  gated.norm_last = true;
  AttentionOptions& window = with(6, 2, 64);
  window.window = 70;
  window.rope.interleaved = true;
  window.sinks = Random(9).array({6}, 1);
  window.sinks->eval();
  AttentionOptions& capped = with(8, 1, 128);
  capped.softcap = 5.0f;
  capped.rope.amplitude = 1.2f;
  AttentionOptions& longer = with(4, 2, 128);
  longer.rope.long_factors.assign(64, 3.0f);
  return out;
}

TEST_F(OnGpu, Attention) {
  int which = 0;
  for (const AttentionCase& c : attention_cases()) {
    const auto [got, want] = both([&] {
      const auto layer = std::make_shared<const Attention>(c.options);
      const KvShape shape = KvShape::of(c.kv_heads, c.dim, mx::float16, 0);
      PageList a{shape, {}, 0};
      // One form of the rotation beside the other, where there are two.
      PageList b{shape, {}, 0, c.options.rope.long_factors.empty() ? 0 : 1};
      const int width =
          ((c.options.gated ? 2 : 1) * c.heads + 2 * c.kv_heads) * c.dim;
      std::vector<float> out;
      uint32_t seed = 100;
      const auto feed = [&](int rows_a, int rows_b) {
        std::vector<AttentionRows> batch;
        a.prepare_append(rows_a);
        batch.push_back({&a, 0, rows_a});
        if (rows_b > 0) {
          b.prepare_append(rows_b);
          batch.push_back({&b, rows_a, rows_b});
        }
        const mx::array qkv = Random(++seed).array({rows_a + rows_b, width}, 2);
        const std::vector<float> y = values(attention(qkv, layer, batch));
        out.insert(out.end(), y.begin(), y.end());
      };
      feed(1, 0);
      feed(1, 0);
      feed(70, 3);
      feed(1, 1);
      feed(1, 1);
      feed(130, 1);
      feed(400, 70);
      feed(1, 1);
      const PageList shared = a;  // from now on a's last page is not its own
      feed(1, 1);
      a.truncate(500);
      feed(1, 0);
      return out;
    });
    EXPECT_LT(distance(got, want), 4e-3f) << "case " << which;
    ++which;
  }
}

}  // namespace
}  // namespace rapid::testing
