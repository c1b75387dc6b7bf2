// DeepSeek V2 and R1: V3's calls, the type at times missing.
#include "formats/declared_format.h"
#include "formats/deepseek_calls.h"
#include "formats/registry.h"

namespace rapid {

void register_format_deepseek(FormatRegistry& registry) {
  registry.add(declare(
      {.name = "deepseek",
       .aliases = {"deepseek_r1"},
       .syntaxes = {deepseek_typed_calls()}}));
}

}  // namespace rapid
