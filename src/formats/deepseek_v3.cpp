// DeepSeek V3: a type, a name and a fence of JSON for each call.
#include "formats/declared_format.h"
#include "formats/deepseek_calls.h"
#include "formats/registry.h"

namespace rapid {

void register_format_deepseek_v3(FormatRegistry& registry) {
  registry.add(declare(
      {.name = "deepseek_v3",
       .aliases = {"deepseek_r1_0528"},
       .syntaxes = {deepseek_typed_calls()},
       .signs = {"<｜tool▁sep｜>"},
       .rank = 6}));
}

}  // namespace rapid
