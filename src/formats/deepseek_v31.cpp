// DeepSeek V3.1: name and JSON, no type, no fence.
#include "formats/declared_format.h"
#include "formats/deepseek_calls.h"
#include "formats/registry.h"

namespace rapid {

void register_format_deepseek_v31(FormatRegistry& registry) {
  registry.add(declare(
      {.name = "deepseek_v31",
       .syntaxes = {deepseek_calls()},
       .signs = {"<｜tool▁sep｜>"},
       .rank = 5}));
}

}  // namespace rapid
