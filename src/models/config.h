// config.json's keys as the architectures read them. GGUF metadata comes
// mapped to the same keys first (gguf_config.h).
//
// null counts as absent. Errors are `corrupt` and name the key.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace rapid {

class ConfigReader {
 public:
  explicit ConfigReader(const Json& config) : config_(&config) {}

  bool has(std::string_view key) const;
  // A count: 1 .. 2^30.
  Result<int> count(std::string_view key) const;
  Result<int> count_or(std::string_view key, int fallback) const;
  Result<float> number_or(std::string_view key, float fallback) const;
  bool flag_or(std::string_view key, bool fallback) const;
  const Json& at(std::string_view key) const;  // null when absent

 private:
  const Json* config_;
};

// What every decoder-only transformer says about itself.
struct DecoderConfig {
  int hidden = 0;
  int inner = 0;
  int layers = 0;
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  int vocabulary = 0;
  int context_length = 0;
  float norm_eps = 1e-6f;
  int sliding_window = 0;    // 0 = none
  std::optional<bool> tied;  // tie_word_embeddings, where it is said
  std::vector<int32_t> end_tokens;
};

Result<DecoderConfig> read_decoder_config(const Json& config);

// Files may leave out what equals their family's defaults.
Json with_defaults(Json config, const Json& defaults);

// `unsupported` when hidden_act or hidden_activation is there and says
// something else.
Status check_activation(const Json& config, std::string_view expected);

}  // namespace rapid
