#include "api/sampling_fields.h"

#include <algorithm>

namespace rapid {

Status read_distribution(const Fields& fields, chat::Sampling& sampling) {
  RAPID_TRY(sampling.temperature, fields.real("temperature", 0, 2));
  RAPID_TRY(sampling.top_p, fields.real("top_p", 0, 1));
  if (sampling.top_p && *sampling.top_p <= 0) {
    return wrong_field(
        "top_p", "a number above 0, up to 1", *fields.find("top_p"));
  }
  RAPID_TRY(const auto top_k, fields.integer("top_k", -1, INT32_MAX));
  if (top_k) {
    sampling.top_k = static_cast<int>(std::max<int64_t>(*top_k, 0));
  }
  return {};
}

}  // namespace rapid
