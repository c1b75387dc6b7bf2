#include "hub/quant_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace rapid {

namespace {

struct ModeInfo {
  std::string_view name;
  QuantMode mode;
  int bits;  // the default, and the only ones but for affine
  int group_size;
};

constexpr std::array<ModeInfo, 4> kModes = {{
    {"affine", QuantMode::affine, 4, 64},
    {"mxfp4", QuantMode::mxfp4, 4, 32},
    {"mxfp8", QuantMode::mxfp8, 8, 32},
    {"nvfp4", QuantMode::nvfp4, 4, 16},
}};

Error unsupported(std::string what) {
  return Error{
      ErrorCode::unsupported,
      std::move(what),
      "use a model quantised by MLX (affine 2, 3, 4, 5, 6 or 8 bits in groups "
      "of 32, 64 or 128; mxfp4; mxfp8; nvfp4) or an unquantised one",
      "config.json"};
}

Result<int> read_int(
    const Json& object, const char* key, int fallback, std::string_view where) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) {
    return fallback;
  }
  if (!found->is_number_integer() || found->get<int64_t>() < 0 ||
      found->get<int64_t>() > 1024) {
    return Error{
        ErrorCode::corrupt,
        fmt::format(
            "config.json: {} of the quantisation of {} is not a small number",
            key,
            where),
        "",
        "config.json"};
  }
  return found->get<int>();
}

template <size_t N>
bool one_of(int value, const std::array<int, N>& known) {
  return std::ranges::find(known, value) != known.end();
}

// What an object leaves out comes from its mode's defaults, not from the base
// scheme: mlx-lm passes an override as it stands to to_quantized().
Result<QuantScheme> read_scheme(const Json& object, std::string_view where) {
  std::string mode = "affine";
  if (const auto m = object.find("mode"); m != object.end() && !m->is_null()) {
    mode = m->is_string() ? m->get<std::string>() : dump_json(*m);
  }
  const auto info = std::ranges::find(kModes, mode, &ModeInfo::name);
  if (info == kModes.end()) {
    return unsupported(fmt::format(
        "quantisation mode {} of {} is not supported", mode, where));
  }
  QuantScheme scheme{info->mode};
  RAPID_TRY(scheme.bits, read_int(object, "bits", info->bits, where));
  RAPID_TRY(
      scheme.group_size,
      read_int(object, "group_size", info->group_size, where));
  constexpr std::array kBits = {2, 3, 4, 5, 6, 8};
  constexpr std::array kGroups = {32, 64, 128};
  const bool affine = info->mode == QuantMode::affine;
  if (affine ? !one_of(scheme.bits, kBits) : scheme.bits != info->bits) {
    return unsupported(fmt::format(
        "{} quantisation with {} bits of {} is not supported",
        mode,
        scheme.bits,
        where));
  }
  if (affine ? !one_of(scheme.group_size, kGroups)
             : scheme.group_size != info->group_size) {
    return unsupported(fmt::format(
        "{} quantisation in groups of {} of {} is not supported",
        mode,
        scheme.group_size,
        where));
  }
  return scheme;
}

// The object that MLX wrote, or null; other makers' quantisation is an error.
Result<const Json*> find_quantisation(const Json& config) {
  for (const char* key : {"quantization", "quantization_config"}) {
    const auto found = config.find(key);
    if (found == config.end() || found->is_null()) {
      continue;
    }
    if (!found->is_object()) {
      return Error{
          ErrorCode::corrupt,
          fmt::format("config.json: {} is not an object", key),
          "",
          "config.json"};
    }
    if (const auto m = found->find("quant_method"); m != found->end()) {
      if (*m == "fp8") {
        return nullptr;  // e4m3 bytes that are made plain at load
      }
      if (*m == "mxfp4") {
        return nullptr;  // its blocks have names of their own
      }
      return unsupported(fmt::format(
          "the model is quantised by {}, which is not supported",
          m->is_string() ? m->get<std::string>() : dump_json(*m)));
    }
    if (!found->contains("bits") && !found->contains("group_size") &&
        !found->contains("mode")) {
      return unsupported(fmt::format(
          "config.json: {} names neither bits nor group_size nor mode", key));
    }
    return &*found;
  }
  return nullptr;
}

}  // namespace

Result<QuantConfig> QuantConfig::from_config(const Json& config) {
  QuantConfig out;
  if (!config.is_object()) {
    return out;
  }
  RAPID_TRY(const Json* quantisation, find_quantisation(config));
  if (!quantisation) {
    return out;
  }
  RAPID_TRY(const QuantScheme base, read_scheme(*quantisation, "the model"));
  out.base_ = base;
  for (const auto& [module, value] : quantisation->items()) {
    if (value.is_object()) {
      RAPID_TRY(const QuantScheme scheme, read_scheme(value, module));
      out.overrides_.emplace(module, scheme);
    } else if (value.is_boolean()) {
      out.overrides_.emplace(
          module, value.get<bool>() ? out.base_ : std::nullopt);
    }
  }
  return out;
}

std::optional<QuantScheme> QuantConfig::scheme_for(
    std::string_view module) const {
  const auto found = overrides_.find(module);
  return found == overrides_.end() ? base_ : found->second;
}

}  // namespace rapid
