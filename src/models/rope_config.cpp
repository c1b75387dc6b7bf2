#include "models/rope_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <optional>

#include "models/config.h"

namespace rapid {

namespace {

constexpr double kTurn = 2 * std::numbers::pi;

Error bad_rope(std::string_view key, std::string_view expected) {
  return Error{
      ErrorCode::corrupt,
      fmt::format("model configuration: expected {} in {}", expected, key),
      "the model's config.json or GGUF metadata is incomplete",
      std::string(key)};
}

Error unsupported_kind(const Json& kind) {
  return Error{
      ErrorCode::unsupported,
      fmt::format("rope scaling {} is not supported", dump_json(kind)),
      "supported: default, linear, llama3, yarn, longrope, dynamic, "
      "proportional",
      "rope_scaling"};
}

// One object's numbers in double precision, as the formulas want them.
class RopeReader {
 public:
  explicit RopeReader(const Json& rope) : in_(rope) {}

  bool has(std::string_view key) const { return in_.has(key); }
  const Json& at(std::string_view key) const { return in_.at(key); }
  bool flag_or(std::string_view key, bool fallback) const {
    return in_.flag_or(key, fallback);
  }

  Result<double> number(
      std::string_view key, std::optional<double> fallback = {}) const {
    const Json& value = in_.at(key);
    if (value.is_null() && fallback) {
      return *fallback;
    }
    if (!value.is_number() || !std::isfinite(value.get<double>())) {
      return bad_rope(key, "a number");
    }
    return value.get<double>();
  }

  Result<double> positive(
      std::string_view key, std::optional<double> fallback = {}) const {
    RAPID_TRY(const double value, number(key, fallback));
    if (value <= 0) {
      return bad_rope(key, "a positive number");
    }
    return value;
  }

  // What the model was trained for before it was stretched.
  Result<double> original() const {
    RAPID_TRY(const double whole, positive("max_position_embeddings", 8192.0));
    return positive("original_max_position_embeddings", whole);
  }

  // How far it was stretched, said or in the ratio of the contexts.
  Result<double> stretch() const {
    if (has("factor")) {
      return positive("factor");
    }
    RAPID_TRY(const double before, original());
    RAPID_TRY(const double after, positive("max_position_embeddings"));
    return after / before;
  }

 private:
  ConfigReader in_;
};

double frequency(const RopeOptions& rope, size_t pair) {
  return std::pow(
      static_cast<double>(rope.base),
      -2.0 * static_cast<double>(pair) / rope.dims);
}

// Long wavelengths are divided by `factor`, short ones kept, those between are
// interpolated.
Status add_llama3(const RopeReader& in, RopeOptions& rope) {
  RAPID_TRY(const double factor, in.positive("factor", 8.0));
  RAPID_TRY(const double low, in.number("low_freq_factor", 1.0));
  RAPID_TRY(const double high, in.number("high_freq_factor", 4.0));
  RAPID_TRY(const double trained, in.original());
  for (size_t i = 0; i < static_cast<size_t>(rope.dims / 2); ++i) {
    const double turns = trained * frequency(rope, i) / kTurn;
    double scale = 1.0;
    if (turns < low) {
      scale = 1.0 / factor;
    } else if (turns <= high) {
      const double smooth = (turns - low) / (high - low);
      scale = (1 - smooth) / factor + smooth;
    }
    rope.frequency_factors.push_back(static_cast<float>(1.0 / scale));
  }
  return {};
}

double yarn_scale(double factor, double weight) {
  return factor <= 1 ? 1.0 : 0.1 * weight * std::log(factor) + 1.0;
}

Result<double> yarn_amplitude(const RopeReader& in, double factor) {
  if (in.has("attention_factor")) {
    return in.number("attention_factor");
  }
  RAPID_TRY(const double mine, in.number("mscale", 0.0));
  RAPID_TRY(const double all, in.number("mscale_all_dim", 0.0));
  if (mine != 0 && all != 0) {
    return yarn_scale(factor, mine) / yarn_scale(factor, all);
  }
  return yarn_scale(factor, 1.0);
}

// Pairs that turn often are kept, those that turn seldom are divided by
// `factor`, with a ramp between (Peng et al. 2023).
Status add_yarn(const RopeReader& in, RopeOptions& rope) {
  RAPID_TRY(const double factor, in.stretch());
  RAPID_TRY(const double amplitude, yarn_amplitude(in, factor));
  RAPID_TRY(const double fast, in.positive("beta_fast", 32.0));
  RAPID_TRY(const double slow, in.positive("beta_slow", 1.0));
  RAPID_TRY(const double trained, in.original());
  const auto pair_with = [&](double turns) {
    return rope.dims * std::log(trained / (turns * kTurn)) /
           (2 * std::log(static_cast<double>(rope.base)));
  };
  double low = pair_with(fast);
  double high = pair_with(slow);
  if (in.flag_or("truncate", true)) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, rope.dims - 1.0);
  if (low == high) {
    high += 0.001;
  }
  for (int i = 0; i < rope.dims / 2; ++i) {
    const double ramp = std::clamp((i - low) / (high - low), 0.0, 1.0);
    const double kept = ramp / factor + (1 - ramp);
    rope.frequency_factors.push_back(static_cast<float>(1.0 / kept));
  }
  rope.amplitude = static_cast<float>(amplitude);
  return {};
}

Status take_factors(
    const RopeReader& in,
    std::string_view key,
    int pairs,
    std::vector<float>& factors) {
  const Json& list = in.at(key);
  if (!list.is_array() || list.size() != static_cast<size_t>(pairs)) {
    return bad_rope(key, fmt::format("{} numbers", pairs));
  }
  factors.clear();
  for (const Json& value : list) {
    if (!value.is_number() || value.get<float>() <= 0) {
      return bad_rope(key, "positive numbers");
    }
    factors.push_back(value.get<float>());
  }
  return {};
}

// Sequences beyond the trained length have factors of their own, where the
// context lets any get so long.
Status add_longrope(const RopeReader& in, RopeOptions& rope) {
  RAPID_TRY(const double factor, in.stretch());
  RAPID_TRY(const double trained, in.original());
  const double wanted =
      factor <= 1 ? 1.0 : std::sqrt(1 + std::log(factor) / std::log(trained));
  RAPID_TRY(const double amplitude, in.number("attention_factor", wanted));
  RAPID_TRY(const double reach, in.positive("context", trained));
  const int pairs = rope.dims / 2;
  RAPID_CHECK(take_factors(in, "short_factor", pairs, rope.frequency_factors));
  if (reach > trained) {
    RAPID_CHECK(take_factors(in, "long_factor", pairs, rope.long_factors));
    rope.border = static_cast<int>(trained);
  }
  rope.amplitude = static_cast<float>(amplitude);
  return {};
}

// The first pairs turn as in a rotation of the whole head, the rest not at all.
Status add_proportional(
    const RopeReader& in, int head_dim, double part, RopeOptions& rope) {
  RAPID_TRY(const double factor, in.positive("factor", 1.0));
  rope.dims = head_dim;
  rope.scale = static_cast<float>(1.0 / factor);
  const auto turned = static_cast<size_t>(part * head_dim / 2);
  rope.frequency_factors.assign(
      static_cast<size_t>(head_dim / 2),
      std::numeric_limits<float>::infinity());
  std::fill_n(
      rope.frequency_factors.begin(),
      std::min(turned, rope.frequency_factors.size()),
      1.0f);
  return {};
}

Status add_kind(const RopeReader& in, const Json& kind, RopeOptions& rope) {
  if (kind == "default" || kind == "none" || kind == "mrope" ||
      kind == "dynamic") {
    return {};
  }
  if (kind == "linear") {
    RAPID_TRY(const double factor, in.positive("factor", 1.0));
    rope.scale = static_cast<float>(1.0 / factor);
    return {};
  }
  if (kind == "llama3") {
    return add_llama3(in, rope);
  }
  if (kind == "yarn") {
    return add_yarn(in, rope);
  }
  if (kind == "longrope" || kind == "su") {
    return add_longrope(in, rope);
  }
  return unsupported_kind(kind);
}

Json kind_of(const RopeReader& in) {
  for (const auto* key : {"rope_type", "type"}) {
    if (in.has(key)) {
      return in.at(key);
    }
  }
  return "default";
}

void set_default(Json& object, const char* key, const Json& value) {
  const auto found = object.find(key);
  if (!value.is_null() && (found == object.end() || found->is_null())) {
    object[key] = value;
  }
}

}  // namespace

Result<RopeOptions> rope_from_config(
    const Json& rope, float base, int head_dim) {
  const RopeReader in(rope);
  RopeOptions out;
  RAPID_TRY(const double theta, in.positive("rope_theta", base));
  RAPID_TRY(const double part, in.number("partial_rotary_factor", 1.0));
  const Json kind = kind_of(in);
  out.base = static_cast<float>(theta);
  out.dims = static_cast<int>(head_dim * part);
  if (part < 0 || part > 1 || head_dim % 2 != 0) {
    return bad_rope("partial_rotary_factor", "a part of an even head_dim");
  }
  if (kind == "proportional") {
    RAPID_CHECK(add_proportional(in, head_dim, part, out));
    return out;
  }
  if (out.dims % 2 != 0) {
    return bad_rope("partial_rotary_factor", "an even number of dimensions");
  }
  RAPID_CHECK(add_kind(in, kind, out));
  // GGUF's tensor rope_freqs.weight.
  if (in.has("frequency_factors")) {
    RAPID_CHECK(take_factors(
        in, "frequency_factors", out.dims / 2, out.frequency_factors));
  }
  return out;
}

Result<RopeOptions> read_rope(const Json& config, const RopeRequest& request) {
  const ConfigReader in(config);
  const auto* form =
      in.has("rope_scaling") ? "rope_scaling" : "rope_parameters";
  Json rope = in.at(form);
  const ConfigReader by_kind(rope);
  if (!request.kind.empty() && by_kind.at(request.kind).is_object()) {
    const Json truncate = by_kind.at("truncate");
    rope = Json(by_kind.at(request.kind));
    // The reference looks for it beside the kinds only.
    rope["truncate"] = truncate.is_boolean() ? truncate : Json(true);
  }
  if (!rope.is_object()) {
    rope = Json::object();
  }
  for (const auto* key :
       {"rope_theta", "partial_rotary_factor", "max_position_embeddings"}) {
    set_default(rope, key, in.at(key));
  }
  // Where a model says it outside, that counts.
  const auto* original = "original_max_position_embeddings";
  if (in.has(original)) {
    rope[original] = in.at(original);
  }
  RAPID_TRY(const int longest, in.count_or("max_position_embeddings", 0));
  const int reach = request.context > 0 && longest > 0
                        ? std::min(request.context, longest)
                        : std::max(request.context, longest);
  if (reach > 0) {
    rope["context"] = reach;
  }
  return rope_from_config(rope, request.base, request.head_dim);
}

Result<RopeOptions> rope_of_model(
    const Json& config, float base, int head_dim) {
  return read_rope(config, {.base = base, .head_dim = head_dim});
}

}  // namespace rapid
